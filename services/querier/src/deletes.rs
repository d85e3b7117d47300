//! Rows that are to be deleted: they are hidden from the moment the catalog knows of them, wherever they still are.
//!
//! Every head says which version of the catalog a reader must know at least, and counts delete requests in: so a request
//! hides its rows, whoever asks, as soon as the ingesters have applied it.

use crate::error::QueryError;
use crate::querier::Parts;
use crate::source::TenantRows;
use deletes::{Command, Reply};
use eval::source::{LogSelection, Order, PageIter, PageSource, Rows, SeriesIter, SeriesSource, SourceError, Take};
use hidden::Hidden;
use model::{Labels, Matcher, Reason, Signal, TimeRange};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use transport::v1::{DeleteRequest, control_client::ControlClient};

/// How long the control group may take to commit.
const COMMIT: Duration = Duration::from_secs(10);

impl Parts {
    /// Has the control group commit a command of a tenant. Queries of this querier know of it when this returns.
    pub async fn delete(&self, command: &Command) -> Result<Reply, QueryError> {
        let internal = |e: serde_json::Error| QueryError::new(Reason::Internal, e.to_string());
        let command = serde_json::to_vec(command).map_err(internal)?.into();
        let mut control = ControlClient::new(self.control.clone());
        let reply = timeout(COMMIT, control.delete(DeleteRequest { command })).await.map_err(|_| {
            let text = format!("the control group did not take the request within {COMMIT:?}: it may do so later");
            QueryError::new(Reason::Unavailable, text)
        })??;
        let reply = reply.into_inner();
        self.catalog.at_least(reply.version).await?;
        serde_json::from_slice(&reply.reply).map_err(internal)
    }
}

/// What of these series is shown.
pub fn series<'a>(hidden: Arc<Hidden>, all: SeriesIter<'a>) -> SeriesIter<'a> {
    if hidden.is_empty() {
        return all;
    }
    Box::new(all.filter_map(move |series| match series {
        Ok(mut series) => {
            hidden.take_from(&mut series);
            (!series.is_empty()).then_some(Ok(series))
        }
        Err(error) => Some(Err(error)),
    }))
}

/// What of these pages is shown.
pub fn pages<'a>(hidden: Arc<Hidden>, all: PageIter<'a>) -> PageIter<'a> {
    if hidden.is_empty() {
        return all;
    }
    let shown = move |page: Result<_, _>| page.map(|page| hidden.shown(page));
    Box::new(all.map(shown).filter(|page| !page.as_ref().is_ok_and(|page| page.is_empty())))
}

/// Hands on the rows that are shown.
pub struct Shown<'t> {
    hidden: Arc<Hidden>,
    take: Take<'t>,
    ended: Result<(), SourceError>,
}

impl<'t> Shown<'t> {
    pub fn new(hidden: Arc<Hidden>, take: Take<'t>) -> Shown<'t> {
        Shown { hidden, take, ended: Ok(()) }
    }

    /// Rows that are kept taken apart stay so unless some of them may be hidden.
    pub fn take(&mut self, rows: Rows<'_>) -> ControlFlow<()> {
        let page = match rows {
            Rows::Lines(page) => page,
            Rows::Shredded(part) => {
                let times = part.times();
                let (first, last) = (times.first().copied(), times.last().copied());
                let range = TimeRange::new(first.unwrap_or(i64::MAX), last.unwrap_or(i64::MIN));
                if !self.hidden.touches(part.labels(), range) {
                    return (self.take)(Rows::Shredded(part));
                }
                let all: Vec<usize> = (0..times.len()).collect();
                match part.lines(&all) {
                    Ok(page) => page,
                    Err(error) => {
                        self.ended = Err(error);
                        return ControlFlow::Break(());
                    }
                }
            }
        };
        let shown = self.hidden.shown(page);
        if shown.is_empty() { ControlFlow::Continue(()) } else { (self.take)(Rows::Lines(shown)) }
    }

    /// Why it ended, if not because nobody wanted more.
    pub fn ended(self) -> Result<(), SourceError> {
        self.ended
    }
}

impl TenantRows {
    /// Those label sets that have rows which are shown. For those that a request names, their rows are looked at.
    pub(crate) fn without_hidden(
        &self,
        signal: Signal,
        matchers: &[Matcher],
        range: TimeRange,
        hidden: &Hidden,
        all: HashSet<Labels>,
    ) -> Result<HashSet<Labels>, QueryError> {
        let (touched, mut shown): (HashSet<Labels>, HashSet<Labels>) =
            all.into_iter().partition(|labels| hidden.touches(labels, range));
        if touched.is_empty() {
            return Ok(shown);
        }
        let failed = |e: SourceError| QueryError::new(e.reason, e.text);
        let mut see = |labels: &Labels| {
            if touched.contains(labels) && !shown.contains(labels) {
                shown.insert(labels.clone());
            }
        };
        match signal {
            Signal::Metrics => {
                for series in SeriesSource::select(self, matchers, range).map_err(failed)? {
                    see(&series.map_err(failed)?.labels());
                }
            }
            Signal::Logs => {
                let (matchers, contains, lines) = (matchers.to_vec(), Vec::new(), false);
                let selection = LogSelection {
                    matchers,
                    range,
                    contains,
                    lines,
                    order: Order::Forward,
                    limit: None,
                    horizon: None,
                };
                for page in PageSource::select(self, &selection).map_err(failed)? {
                    see(&page.map_err(failed)?.labels);
                }
            }
        }
        Ok(shown)
    }
}
