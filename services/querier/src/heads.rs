//! Asks the leaders of all shards that may hold a tenant's rows, side by side.

use crate::error::QueryError;
use crate::partial::Partial;
use bytes::Bytes;
use mesh::Directory;
use model::{Matcher, Reason, ShardId, Signal, TenantId, TimeRange};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Streaming;
use transport::v1::{SelectReply, SelectRequest, View, What, read_client::ReadClient, select_reply::Reply};
use transport::{Link, link::MAX_MESSAGE, rows};

/// How long a shard's leader is looked for: longer than an election takes.
const PATIENCE: Duration = Duration::from_secs(8);
/// … by a reader that comes back: others have waited for it meanwhile.
const AWHILE: Duration = Duration::from_secs(2);

pub struct Heads {
    directory: Directory,
}

/// What is asked of every shard of a signal.
#[derive(Clone, Copy)]
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
    /// What arrived: of log entries after this one.
    pub after: u64,
    /// Of all shards together.
    pub max_bytes: u64,
    /// What is to be computed with the series.
    pub work: &'a [u8],
}

/// One shard's answer: where its head begins, and what was asked for, message by message.
pub struct HeadRows {
    pub shard: ShardId,
    /// The head has the rows after this log index; segments have those before.
    pub flushed: u64,
    /// A catalog of this version knows these segments.
    pub version: u64,
    /// … and none yet after this one.
    pub applied: u64,
    messages: Streaming<SelectReply>,
}

impl HeadRows {
    /// The next message; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Reply>, QueryError> {
        Ok(self.messages.message().await?.and_then(|message| message.reply))
    }
}

impl Heads {
    pub fn new(directory: Directory) -> Heads {
        Heads { directory }
    }

    /// The beginning of every shard's answer. One whose leader cannot be asked is left out if `partial` allows that,
    /// which then knows of it: an answer that silently lacks a shard would not be true.
    pub async fn ask(&self, question: &Question<'_>, partial: &Partial) -> Result<Vec<HeadRows>, QueryError> {
        let count = self.directory.table().readable();
        if count.of(question.signal) == 0 {
            let text = format!("no shard of {} is known yet: no ingester has been heard from", question.signal);
            return Err(QueryError::new(Reason::Unavailable, text));
        }
        let shards = count.shards(question.signal);
        let asked =
            futures::future::join_all(shards.map(async |shard| (shard, self.ask_one(shard, question, PATIENCE).await)))
                .await;
        let mut heads = Vec::with_capacity(asked.len());
        for (shard, answer) in asked {
            match answer {
                Ok(head) => heads.push(head),
                Err(error) => partial.without(shard, error)?,
            }
        }
        Ok(heads)
    }

    /// What arrived in each shard after a place in its log; in a shard without one, since its beginning. One whose leader
    /// cannot be asked is left out: it is asked again.
    pub async fn arrived(
        &self,
        question: &Question<'_>,
        places: &BTreeMap<ShardId, u64>,
    ) -> Result<Vec<HeadRows>, QueryError> {
        let shards = self.directory.table().readable().shards(question.signal);
        let asked = shards.map(async |shard| {
            let after = places.get(&shard).copied().unwrap_or(0);
            self.ask_one(shard, &Question { after, ..*question }, AWHILE).await
        });
        let answers = futures::future::join_all(asked).await;
        answers.into_iter().filter(|answer| !matches!(answer, Err(error) if error.is_passing())).collect()
    }

    async fn ask_one(
        &self,
        shard: ShardId,
        question: &Question<'_>,
        patience: Duration,
    ) -> Result<HeadRows, QueryError> {
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
            after: question.after,
            work: Bytes::copy_from_slice(question.work),
        };
        let call = |link: Link| {
            let mut client = ReadClient::new(link).max_decoding_message_size(MAX_MESSAGE);
            let request = request.clone();
            async move {
                let mut messages = client.select(request).await?.into_inner();
                let first = messages.message().await?.and_then(|message| message.reply);
                Ok((first, messages))
            }
        };
        let (first, messages) = self.directory.ask(shard, Instant::now() + patience, call).await?;
        let Some(Reply::View(View { flushed, version, applied })) = first else {
            return Err(QueryError::new(Reason::Internal, format!("shard {shard} did not say where its head begins")));
        };
        Ok(HeadRows { shard, flushed, version, applied, messages })
    }
}
