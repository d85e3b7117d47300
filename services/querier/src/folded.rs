//! Has the leaders of shards compute a part of a query, where all its samples are in heads.
//!
//! Each leader folds the series of its shard, and only what comes of that travels. That is right if no object has samples of
//! the same time, nothing is hidden, and no series is in two shards, which happens: a shard is chosen by the bytes that
//! were sent, and two senders may write the same labels in two ways.

use crate::error::QueryError;
use crate::heads::{HeadRows, Question};
use crate::source::{Snapshot, TenantRows};
use model::{Matcher, Reason, ShardId, Signal, TimeRange};
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use transport::v1::{What, select_reply::Reply};

/// What one leader answered.
struct Answer {
    messages: Vec<Vec<u8>>,
    series: Vec<u64>,
}

impl TenantRows {
    /// What each leader that has any of the series made of them; `None` if they are to be read.
    pub(crate) async fn folded(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        work: &[u8],
    ) -> Result<Option<Vec<Vec<Vec<u8>>>>, QueryError> {
        if self.parts.catalog.known().newest(Signal::Metrics, &self.tenant, range).is_some() {
            return Ok(None);
        }
        let question = Question { work, ..self.question(What::Folded, matchers, range) };
        let Ok(Snapshot { heads, objects, hidden, .. }) = self.try_snapshot(&question).await? else { return Ok(None) };
        if !objects.is_empty() || !hidden.is_empty() {
            return Ok(None);
        }
        let answers = futures::future::join_all(heads.heads.into_iter().map(|head| self.answer(head))).await;
        let mut all: Vec<Answer> = Vec::with_capacity(answers.len());
        for answer in answers {
            match answer {
                Ok(Some(answer)) => all.push(answer),
                Ok(None) => return Ok(None),
                // It is of another version.
                Err((_, error)) if error.reason == Reason::Internal => return Ok(None),
                // It went while it answered; without it the answer is partial.
                Err((shard, error)) => self.partial.without(shard, error)?,
            }
        }
        let with_series = all.iter().filter(|answer| !answer.series.is_empty());
        let mut seen = HashSet::new();
        if with_series.count() > 1 && !all.iter().flat_map(|answer| &answer.series).all(|id| seen.insert(*id)) {
            return Ok(None);
        }
        self.parts.slices.folded.fetch_add(1, Relaxed);
        Ok(Some(all.into_iter().map(|answer| answer.messages).collect()))
    }

    /// `None` if it is not whole: of an older version.
    async fn answer(&self, mut head: HeadRows) -> Result<Option<Answer>, (ShardId, QueryError)> {
        let mut messages = Vec::new();
        loop {
            self.reading.check().map_err(|error| (head.shard, error))?;
            match head.next().await {
                Ok(Some(Reply::Said(message))) => {
                    self.reading.keep(message.len()).map_err(|error| (head.shard, error))?;
                    messages.push(message.into());
                }
                Ok(Some(Reply::Folded(folded))) => return Ok(Some(Answer { messages, series: folded.series })),
                Ok(_) => return Ok(None),
                Err(error) => return Err((head.shard, error)),
            }
        }
    }
}
