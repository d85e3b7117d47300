//! Logs behind the door: batches stay in the log, the head is an index over them.

use crate::error::Error;
use crate::fold;
use crate::signal::{Admission, Emit, Head, Means, Question, Reply, Rest, Stats, Values, emit_labels};
use block::Part;
use bytes::Bytes;
use metrics::Bounds;
use std::sync::Arc;
use tenancy::LimitTable;
use transport::{rows, v1};
use wire::batch::Batch;

/// An answer about what arrived ends with the log entry with which it has so many bytes: who asked comes back.
const ARRIVED: usize = 4 << 20;

pub struct LogsHead(logs::Head);

/// What heads of logs are made with.
#[derive(Clone)]
pub struct Settings {
    /// How a flush writes them.
    pub encoding: logs::Settings,
    /// Streams are named as their tenants want it.
    pub limits: Arc<LimitTable>,
}

impl logs::Payload for Rest {
    fn read(&self) -> std::io::Result<Bytes> {
        let slice = self.slice.as_ref().ok_or_else(|| std::io::Error::other("the entry is no longer in the log"))?;
        let entry = slice.read().map_err(std::io::Error::other)?;
        if self.range.end > entry.len() {
            return Err(std::io::Error::other("the entry is shorter than its batch"));
        }
        Ok(entry.slice(self.range.clone()))
    }
}

impl Head for LogsHead {
    type Settings = Settings;
    type Frozen = logs::Frozen;
    type View = logs::View;

    fn new(settings: &Settings) -> LogsHead {
        LogsHead(logs::Head::naming(settings.encoding.clone(), settings.limits.clone()))
    }

    /// Lines are accepted in any order and age, so there is nothing to look at.
    fn admit(&self, batch: Batch, _: &Bounds) -> Result<Admission, Error> {
        Ok(Admission { batch: Some(batch), body: None, refused: Vec::new() })
    }

    fn apply(&self, index: u64, batch: &Batch, _: Option<Bytes>, rest: Rest) -> Result<(), Error> {
        Ok(self.0.apply(index, &batch.header, &batch.payload, Arc::new(rest))?)
    }

    fn cut(&self, through: u64) -> logs::Frozen {
        self.0.cut(through)
    }

    fn encode(frozen: &logs::Frozen) -> Result<Vec<Part>, Error> {
        Ok(frozen.encode().collect::<Result<_, _>>()?)
    }

    fn drop_frozen(&self, through: u64) {
        self.0.drop_frozen(through);
    }

    /// Streams go with their generation.
    fn forget_idle(&self) {}

    fn view(&self) -> logs::View {
        self.0.snapshot()
    }

    fn stats(&self) -> Stats {
        let stats = self.0.stats();
        Stats {
            rows: stats.active.rows,
            raw_bytes: stats.active.raw_bytes,
            memory_bytes: stats.active.memory_bytes + stats.frozen.memory_bytes,
            series: 0,
        }
    }

    // They go through it.
    const ROWS_LIMIT: &str = "limits.query_bytes";

    fn select(view: &logs::View, question: &Question, means: &Means, emit: Emit<'_>) -> Result<(), Error> {
        let Question { tenant, what, matchers, range, contains, limit, newest, after, .. } = question;
        let selection =
            || logs::Selection { matchers: matchers.clone(), range: *range, contains: contains.clone(), lines: true };
        match what {
            v1::What::Series => emit_labels(view.series(tenant, matchers, *range), emit),
            v1::What::Values => {
                let mut values = Values::new(question, emit);
                view.each_series(tenant, matchers, *range, |labels| values.add(labels));
                values.end();
            }
            v1::What::Rows => {
                let selection = selection();
                let mut pages = match (limit, newest) {
                    (None, _) => view.pages(tenant, &selection),
                    (Some(limit), false) => view.oldest(tenant, &selection, *limit),
                    (Some(limit), true) => view.newest(tenant, &selection, *limit),
                };
                while let Some(page) = pages.next() {
                    let page = page?;
                    let size = page.size();
                    let page = v1::LogRows { reach: pages.reach(), ..rows::log_rows(page) };
                    if !emit(Reply::Logs(page), size) {
                        return Ok(());
                    }
                }
            }
            v1::What::Arrived => {
                let mut pages = view.arrived(tenant, &selection(), *after);
                let (mut sent, mut through) = (0, *after);
                while let Some(page) = pages.next() {
                    let page = page?;
                    if sent >= ARRIVED && pages.index() != through {
                        emit(Reply::Through(through), 0);
                        return Ok(());
                    }
                    (sent, through) = (sent + page.size(), pages.index());
                    let size = page.size();
                    if !emit(Reply::Logs(rows::log_rows(page)), size) {
                        return Ok(());
                    }
                }
            }
            v1::What::Folded => fold::logs(view, question, means, emit)?,
            v1::What::Metadata | v1::What::Exemplars | v1::What::Oldest | v1::What::Unspecified => {}
        }
        Ok(())
    }
}
