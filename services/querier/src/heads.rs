//! Asks the leaders of all shards that may hold a tenant's rows, side by side.

use crate::error::QueryError;
use model::{Matcher, Reason, ShardCounts, ShardId, Signal, TenantId, TimeRange};
use tonic::Streaming;
use transport::v1::{SelectReply, SelectRequest, View, What, read_client::ReadClient, select_reply::Reply};
use transport::{Link, link::MAX_MESSAGE, rows};

pub struct Heads {
    client: ReadClient<Link>,
    shards: ShardCounts,
}

/// What is asked of every shard of a signal.
pub struct Question<'a> {
    pub tenant: &'a TenantId,
    pub signal: Signal,
    pub what: What,
    pub matchers: &'a [Matcher],
    pub range: TimeRange,
    pub contains: &'a [String],
    /// Of logs, so many of the oldest or newest lines of each shard are enough; `None`: all of them.
    pub limit: Option<usize>,
    pub newest: bool,
    /// Of all shards together.
    pub max_bytes: u64,
}

/// One shard's answer: where its head begins, and what was asked for, message by message.
pub struct HeadRows {
    pub shard: ShardId,
    /// The head has the rows after this log index; segments have those before.
    pub flushed: u64,
    /// A catalog of this version knows these segments.
    pub version: u64,
    messages: Streaming<SelectReply>,
}

impl HeadRows {
    /// The next message; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Reply>, QueryError> {
        Ok(self.messages.message().await?.and_then(|message| message.reply))
    }
}

impl Heads {
    pub fn new(link: Link, shards: ShardCounts) -> Heads {
        Heads { client: ReadClient::new(link).max_decoding_message_size(MAX_MESSAGE), shards }
    }

    /// The beginning of every shard's answer, or the error of the first that has none: an answer that silently lacks a shard would
    /// not be true.
    pub async fn ask(&self, question: &Question<'_>) -> Result<Vec<HeadRows>, QueryError> {
        let shards = self.shards.shards(question.signal);
        futures::future::try_join_all(shards.map(|shard| self.ask_one(shard, question))).await
    }

    async fn ask_one(&self, shard: ShardId, question: &Question<'_>) -> Result<HeadRows, QueryError> {
        let request = SelectRequest {
            tenant: question.tenant.to_string(),
            shard: Some(rows::shard(shard)),
            what: question.what.into(),
            matchers: rows::matchers(question.matchers),
            min_time: question.range.min,
            max_time: question.range.max,
            contains: question.contains.to_vec(),
            max_bytes: question.max_bytes,
            limit: question.limit.map_or(0, |limit| limit as u64),
            newest: question.newest,
        };
        let mut client = self.client.clone();
        let mut messages = client.select(request).await?.into_inner();
        let Some(Reply::View(View { flushed, version })) = messages.message().await?.and_then(|m| m.reply) else {
            return Err(QueryError::new(Reason::Internal, format!("shard {shard} did not say where its head begins")));
        };
        Ok(HeadRows { shard, flushed, version, messages })
    }
}
