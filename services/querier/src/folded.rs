//! Has the leaders of shards compute a part of a query with what is in their heads, so that only what comes of it travels.
//!
//! Lines are counted one by one, so it does not matter which are where. A series must be seen whole: that is so if no object
//! has samples of the same time, and if the series is in one shard only. It may be in two: a shard is chosen by the bytes
//! that were sent, and two senders may write the same labels in two ways. Where rows may be hidden, they are read.

use crate::error::QueryError;
use crate::heads::{HeadRows, Question};
use crate::source::{Snapshot, TenantRows};
use eval::source::Said;
use model::{Matcher, Reason, ShardId, Signal, TimeRange};
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use transport::v1::{Folded, What, select_reply::Reply};

/// What one leader answered.
struct Answer {
    said: Said,
    series: Vec<u64>,
}

impl TenantRows {
    /// What each leader that has any of the series made of them; `None` if they are to be read.
    pub(crate) async fn folded(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        work: &[u8],
    ) -> Result<Option<Vec<Said>>, QueryError> {
        if self.parts.catalog.known().newest(Signal::Metrics, &self.tenant, range).is_some() {
            return Ok(None);
        }
        let question = Question { work, ..self.question(What::Folded, matchers, range) };
        let Ok(Snapshot { heads, objects, hidden, .. }) = self.try_snapshot(&question).await? else { return Ok(None) };
        if !objects.is_empty() || !hidden.is_empty() {
            return Ok(None);
        }
        let Some(all) = self.answers(heads.heads).await? else { return Ok(None) };
        let with_series = all.iter().filter(|answer| !answer.series.is_empty());
        let mut seen = HashSet::new();
        if with_series.count() > 1 && !all.iter().flat_map(|answer| &answer.series).all(|id| seen.insert(*id)) {
            return Ok(None);
        }
        self.parts.others.folded.fetch_add(1, Relaxed);
        Ok(Some(all.into_iter().map(|answer| answer.said).collect()))
    }

    /// What each leader made of the lines of its head, and the objects that have the other lines; `None` if all lines are to
    /// be read.
    pub(crate) async fn folded_lines(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        work: &[u8],
    ) -> Result<Option<(Vec<Said>, Snapshot)>, QueryError> {
        let question = Question { signal: Signal::Logs, work, ..self.question(What::Folded, matchers, range) };
        let Ok(mut snapshot) = self.try_snapshot(&question).await? else { return Ok(None) };
        if snapshot.hidden.may_touch(matchers) {
            return Ok(None);
        }
        let heads = std::mem::take(&mut snapshot.heads.heads);
        let Some(all) = self.answers(heads).await? else { return Ok(None) };
        self.parts.others.folded.fetch_add(1, Relaxed);
        Ok(Some((all.into_iter().map(|answer| answer.said).collect(), snapshot)))
    }

    /// What all leaders answer; `None` if one is of another version.
    async fn answers(&self, heads: Vec<HeadRows>) -> Result<Option<Vec<Answer>>, QueryError> {
        let answers = futures::future::join_all(heads.into_iter().map(|head| self.answer(head))).await;
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            match answer {
                Ok(Some(answer)) => all.push(answer),
                Ok(None) => return Ok(None),
                Err((_, error)) if error.reason == Reason::Internal => return Ok(None),
                // It went while it answered; without it the answer is partial.
                Err((shard, error)) => self.partial.without(shard, error)?,
            }
        }
        Ok(Some(all))
    }

    /// `None` if it is not whole: of an older version.
    async fn answer(&self, mut head: HeadRows) -> Result<Option<Answer>, (ShardId, QueryError)> {
        let mut said = Said::default();
        loop {
            self.reading.check().map_err(|error| (head.shard, error))?;
            match head.next().await {
                Ok(Some(Reply::Said(message))) => {
                    self.reading.keep(message.len()).map_err(|error| (head.shard, error))?;
                    said.messages.push(message.into());
                }
                Ok(Some(Reply::Folded(Folded { series, pages, lines, bytes }))) => {
                    return Ok(Some(Answer { said: Said { pages, lines, bytes, ..said }, series }));
                }
                Ok(_) => return Ok(None),
                Err(error) => return Err((head.shard, error)),
            }
        }
    }
}
