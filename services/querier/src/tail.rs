//! Follows a tenant's lines: each new row once, of all shards, whatever is flushed and whoever leads meanwhile.
//!
//! A tail remembers for each shard the place in its log up to which it has all rows, and asks the leader again and again
//! for what came after it. It begins with a query whose view of the heads says where these places are. Rows that were
//! flushed before they were asked for are read from objects (`gap`); what is in the same objects and was given already
//! is told by the fingerprints of rows (`seen`). Nobody waits for a slow reader: while one is written to nothing is read,
//! and what has gathered since is given up to [`MOST`], the rest is counted as dropped.

mod begun;
mod gap;
mod seen;
mod tails;

pub use begun::Begun;
pub use tails::{Place, Tails};

use crate::engine::{self, Asked};
use crate::error::QueryError;
use crate::heads::{HeadRows, Question};
use crate::kept::Kept;
use crate::partial::Partial;
use crate::querier::Querier;
use crate::reading::Reading;
use crate::source::TenantRows;
use eval::source::{LogSelection, Order, PageIter, PageSource, SourceError};
use hidden::Hidden;
use logql::{Entry, Expr, Options, StreamEntries};
use model::{Labels, LogPage, Matcher, ShardId, Signal, TimeRange};
use node::Pool;
use seen::Seen;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tenancy::{Admitted, Read};
use tokio::runtime::Handle;
use transport::rows;
use transport::v1::{What, select_reply::Reply};

/// The most lines that are given at once, and their bytes; older ones are dropped.
pub const MOST: usize = 10_000;
const MOST_BYTES: usize = 16 << 20;
/// Dropped lines that are named.
const NAMED: usize = 1000;
/// How often shards are asked in a row until they have nothing more.
const TURNS: usize = 16;

/// What somebody wants to follow.
pub struct Wanted {
    pub expr: Expr,
    /// Lines from then on are given at first, the newest `limit` of them; nanoseconds.
    pub start: i64,
    pub limit: usize,
    /// Whether lines are to have levels; a query that looks at them gets them in any case.
    pub levels: bool,
}

/// New lines, and what had to be left out before them.
#[derive(Debug, Default)]
pub struct Told {
    /// By labels; those of each oldest first.
    pub streams: Vec<StreamEntries>,
    /// All that was dropped.
    pub dropped: u64,
    /// The labels and times of some of it.
    pub named: Vec<(Labels, i64)>,
}

pub struct Tail {
    querier: Querier,
    admitted: Admitted<Read>,
    expr: Arc<Expr>,
    matchers: Vec<Matcher>,
    contains: Vec<String>,
    places: BTreeMap<ShardId, u64>,
    seen: Seen,
    levels: bool,
    gone: Arc<AtomicBool>,
    /// Held as long as it lives.
    _place: Place,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.gone.store(true, Relaxed);
    }
}

/// Lines that are at hand.
struct Held(Vec<LogPage>);

impl PageSource for Held {
    fn select(&self, _: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Ok(Box::new(self.0.iter().cloned().map(Ok)))
    }
}

impl Tail {
    /// Begins, with the newest lines that are there already.
    ///
    /// # Errors
    /// The query cannot be answered now, or asks for numbers; too many tails of the tenant are open.
    pub async fn begin(
        querier: &Querier,
        admitted: Admitted<Read>,
        wanted: Wanted,
    ) -> Result<(Tail, Told), QueryError> {
        let Wanted { expr, start, limit, levels } = wanted;
        let Expr::Log(log) = &expr else { return Err(QueryError::bad("only log selector is supported")) };
        let (matchers, contains) = (log.matchers.clone(), logql::entries::contains(&expr)?);
        let place = querier.inner.tails.take(admitted.tenant(), admitted.limits().max_tails)?;
        let levels = (levels || crate::levels::asked_for(&expr)) && admitted.limits().discover.levels;
        let (expr, begun) = (Arc::new(expr), Arc::new(Begun::default()));
        let (query, noted) = (expr.clone(), begun.clone());
        let work = move |context: &engine::Context| {
            let mut found = Vec::new();
            for rows in context.rows.tenants() {
                let rows = TenantRows { begun: Some(noted.clone()), levels, ..rows.clone() };
                let options = options(context.limits.query_memory.as_usize(), context.cancelled.clone());
                found.extend(logql::entries(&rows, &query, start, i64::MAX, limit, Order::Backward, &options)?);
            }
            Ok(found)
        };
        let asked = Asked { whole: true, timeout: None };
        let (found, _) = engine::run(querier, vec![admitted.clone()], asked, work).await?;
        let (places, seen) = begun.end(start, Kept::now(&admitted.limits().retention));
        let (querier, gone) = (querier.clone(), Arc::default());
        let tail = Tail { querier, admitted, expr, matchers, contains, places, seen, levels, gone, _place: place };
        let mut gathered = Gathered::default();
        gathered.add(found);
        Ok((tail, gathered.end()))
    }

    /// What has come since the last time; nothing, if nothing has. A shard whose leader cannot be asked now gives its
    /// rows later. Once begun it is to be waited for: what it has read is not read again.
    pub async fn next(&mut self) -> Result<Told, QueryError> {
        let mut gathered = Gathered::default();
        for _ in 0..TURNS {
            let Turn { mut pages, lost, is_more } = self.turn().await?;
            gathered.lost(lost);
            if !pages.is_empty() {
                let (expr, gone) = (self.expr.clone(), self.gone.clone());
                let (limits, levels) = (self.admitted.limits().clone(), self.levels);
                let memory = limits.query_memory.as_usize();
                let work = move || {
                    if levels {
                        pages.iter_mut().for_each(|page| crate::levels::add(page, &limits.discover));
                    }
                    let options = options(memory, Arc::new(move || gone.load(Relaxed)));
                    logql::entries(&Held(pages), &expr, i64::MIN, i64::MAX, usize::MAX, Order::Forward, &options)
                };
                gathered.add(self.querier.inner.compute.run(Pool::Reads, work).await?);
            }
            if !is_more {
                break;
            }
        }
        Ok(gathered.end())
    }

    /// Asks each shard once.
    async fn turn(&mut self) -> Result<Turn, QueryError> {
        let rows = self.rows();
        let range = rows.kept.of(Signal::Logs, TimeRange::ALL);
        let question = rows.question(What::Arrived, &self.matchers, range);
        let question = Question { signal: Signal::Logs, contains: &self.contains, ..question };
        let heads = rows.parts.heads.arrived(&question, &self.places).await?;
        let mut turn = Turn::default();
        for head in heads {
            match self.take(&rows, head, &mut turn).await {
                Err(error) if !error.is_passing() => return Err(error),
                // It is asked again from the same place.
                _ => {}
            }
        }
        Ok(turn)
    }

    /// Takes the answer of one shard, all of it or nothing.
    async fn take(&mut self, rows: &TenantRows, mut head: HeadRows, turn: &mut Turn) -> Result<(), QueryError> {
        let (mut through, mut is_more, mut pages) = (head.applied, false, Vec::new());
        while let Some(reply) = head.next().await? {
            match reply {
                Reply::Logs(message) => pages.push(rows::read_log_rows(message)?),
                Reply::Through(index) => (through, is_more) = (index, true),
                _ => {}
            }
        }
        let place = self.places.get(&head.shard).copied().unwrap_or(0);
        pages.iter().for_each(|page| self.seen.note(page));
        if head.flushed > place {
            let gap = gap::Gap { shard: head.shard, after: place, through: head.flushed, version: head.version };
            let mut found = gap.read(rows, &self.matchers, &self.contains, &mut self.seen, &self.querier).await?;
            turn.lost.append(&mut found.lost);
            turn.pages.append(&mut found.pages);
        }
        turn.pages.append(&mut pages);
        // As a query hides them; the head's version is that of the last request that it knows.
        let catalog = rows.parts.catalog.at_least(head.version).await?;
        let (signal, all) = (Signal::Logs, TimeRange::ALL);
        let requests = catalog.deletes().hiding(&rows.tenant, signal, all, head.version);
        let requests = requests.chain(rows.kept.hiding(signal, all));
        let hidden = Hidden::of(requests.map(|request| &**request))?;
        if !hidden.is_empty() {
            turn.pages = std::mem::take(&mut turn.pages).into_iter().map(|page| hidden.shown(page)).collect();
        }
        turn.is_more |= is_more;
        self.places.insert(head.shard, through.max(place));
        Ok(())
    }

    fn rows(&self) -> TenantRows {
        let (limits, gone) = (self.admitted.limits(), self.gone.clone());
        TenantRows {
            parts: self.querier.inner.parts.clone(),
            tenant: self.admitted.tenant().clone(),
            kept: Kept::now(&limits.retention),
            reading: Reading::new(limits.query_memory, limits.query_bytes, Arc::new(move || gone.load(Relaxed))),
            partial: Arc::new(Partial::new(true)),
            runtime: Handle::current(),
            closed: None,
            begun: None,
            limits: limits.clone(),
            levels: false,
        }
    }
}

fn options(max_memory: usize, cancelled: Arc<dyn Fn() -> bool + Send + Sync>) -> Options {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_nanos() as i64);
    Options { max_memory, cancelled, now, ..Options::default() }
}

/// What all shards gave at one time.
#[derive(Default)]
struct Turn {
    pages: Vec<LogPage>,
    /// Labels and times of rows that were too many to be looked at.
    lost: Vec<(Labels, i64)>,
    is_more: bool,
}

/// The newest lines of what comes together, until they are given.
#[derive(Default)]
struct Gathered {
    lines: Vec<(Labels, Entry)>,
    bytes: usize,
    told: Told,
}

fn size(labels: &Labels, entry: &Entry) -> usize {
    entry.line.len() + labels.packed().len() + size_of::<(Labels, Entry)>()
}

impl Gathered {
    fn add(&mut self, found: Vec<StreamEntries>) {
        for StreamEntries { labels, entries } in found {
            self.bytes += entries.iter().map(|entry| size(&labels, entry)).sum::<usize>();
            self.lines.extend(entries.into_iter().map(|entry| (labels.clone(), entry)));
        }
        self.lines.sort_by_key(|(_, entry)| entry.time_ns); // stable: rows of one time keep their order
        let (mut kept, mut bytes) = (self.lines.len(), self.bytes);
        for (labels, entry) in &self.lines {
            if kept <= MOST && bytes <= MOST_BYTES {
                break;
            }
            (kept, bytes) = (kept - 1, bytes - size(labels, entry));
        }
        self.bytes = bytes;
        let dropped = self.lines.drain(..self.lines.len() - kept);
        let dropped: Vec<_> = dropped.map(|(labels, entry)| (labels, entry.time_ns)).collect();
        self.lost(dropped);
    }

    fn lost(&mut self, rows: Vec<(Labels, i64)>) {
        self.told.dropped += rows.len() as u64;
        let room = NAMED.saturating_sub(self.told.named.len());
        self.told.named.extend(rows.into_iter().take(room));
    }

    fn end(self) -> Told {
        let mut streams: BTreeMap<Labels, Vec<Entry>> = BTreeMap::new();
        for (labels, entry) in self.lines {
            streams.entry(labels).or_default().push(entry);
        }
        let streams = streams.into_iter().map(|(labels, entries)| StreamEntries { labels, entries }).collect();
        Told { streams, ..self.told }
    }
}

#[cfg(test)]
mod tests;
