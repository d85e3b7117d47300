//! A consistent look at a head, and reads through it.

use crate::error::Error;
use crate::head::{BatchIndex, Generation, Names, Streams};
use crate::rows;
use crate::selection::{Quota, Selection};
use memchr::memmem::Finder;
use model::{Labels, LogPage, Matcher, Packed, TenantId, TimeRange};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Rows that were in a head when it was taken; later ones stay out. It keeps its rows readable while it lives.
#[derive(Clone)]
pub struct View {
    generations: Vec<Arc<Generation>>,
    /// Batches with a higher number came later.
    bound: u64,
}

impl View {
    pub(crate) fn new(generations: Vec<Arc<Generation>>, bound: u64) -> View {
        View { generations, bound }
    }

    /// The selected rows of a tenant, oldest batches first. Only batches that overlap the range and have a matching
    /// stream are read.
    pub fn pages(&self, tenant: &TenantId, selection: &Selection) -> HeadPages {
        self.select(tenant, selection, None)
    }

    /// The `limit` newest selected rows and, as it happens, others: batches that cannot have any of them are not read.
    /// The batches with the newest rows come first.
    pub fn newest(&self, tenant: &TenantId, selection: &Selection, limit: usize) -> HeadPages {
        self.select(tenant, selection, Some(Quota::new(limit, true)))
    }

    /// As `newest`, from the other end.
    pub fn oldest(&self, tenant: &TenantId, selection: &Selection, limit: usize) -> HeadPages {
        self.select(tenant, selection, Some(Quota::new(limit, false)))
    }

    /// The selected rows that came with log entries after `after`, in the order of the log.
    pub fn arrived(&self, tenant: &TenantId, selection: &Selection, after: u64) -> HeadPages {
        self.select_after(tenant, selection, None, after)
    }

    fn select(&self, tenant: &TenantId, selection: &Selection, quota: Option<Quota>) -> HeadPages {
        self.select_after(tenant, selection, quota, 0)
    }

    fn select_after(&self, tenant: &TenantId, selection: &Selection, quota: Option<Quota>, after: u64) -> HeadPages {
        let mut work: Vec<Work> = Vec::new();
        for generation in &self.generations {
            let Some((streams, mut chunks)) = generation.batches(tenant) else { continue };
            chunks.retain(|chunk| chunk.last().is_some_and(|batch| batch.index > after));
            if chunks.is_empty() {
                continue;
            }
            let names = streams.names();
            let wanted: Arc<[bool]> = names.iter().map(|labels| selection.matches(labels)).collect();
            for batch in self.batches(&chunks, selection.range).filter(|batch| batch.index > after) {
                // A stream that came after the view was taken has no number in it.
                let wants = |id: u32| wanted.get(id as usize).copied().unwrap_or(false);
                let wanted_streams =
                    batch.streams.iter().filter(|s| wants(s.stream) && s.times.overlaps(selection.range));
                let times = wanted_streams.fold(TimeRange::EMPTY, |all, stream| all.union(stream.times));
                if !times.is_empty() {
                    let (streams, names, wanted) = (streams.clone(), names.clone(), wanted.clone());
                    work.push(Work { streams, names, wanted, batch: batch.clone(), times });
                }
            }
        }
        if let Some(quota) = &quota {
            work.sort_by_key(|work| quota.rank(work.times));
        }
        let finders = selection.contains.iter().map(|text| Finder::new(text.as_bytes()).into_owned()).collect();
        HeadPages {
            work: work.into(),
            finders,
            range: selection.range,
            quota,
            ready: VecDeque::new(),
            index: after,
            reach: 0,
        }
    }

    /// The label sets that meet all matchers and have rows in batches that overlap the range.
    pub fn series(&self, tenant: &TenantId, matchers: &[Matcher], range: TimeRange) -> Vec<Labels> {
        let mut found = BTreeSet::new();
        self.each_series(tenant, matchers, range, |labels| found.extend([labels.to_labels()]));
        found.into_iter().collect()
    }

    /// Gives these label sets, some of them several times.
    pub fn each_series(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
        mut give: impl FnMut(Packed<'_>),
    ) {
        for generation in &self.generations {
            let Some((streams, chunks)) = generation.batches(tenant) else { continue };
            let names = streams.names();
            let mut present = vec![false; names.len()];
            for batch in self.batches(&chunks, range) {
                for stream in batch.streams.iter().filter(|s| s.times.overlaps(range)) {
                    if let Some(present) = present.get_mut(stream.stream as usize) {
                        *present = true;
                    }
                }
            }
            let labels = names.iter().zip(present).filter(|(_, present)| *present).map(|(labels, _)| labels);
            labels.filter(|labels| Matcher::all(matchers, *labels)).for_each(&mut give);
        }
    }

    /// How many rows the batches hold that overlap the range, at most.
    pub fn rows(&self, tenant: &TenantId, range: TimeRange) -> u64 {
        let batches = self.generations.iter().filter_map(|generation| generation.batches(tenant));
        batches.map(|(_, chunks)| self.batches(&chunks, range).map(|b| u64::from(b.rows)).sum::<u64>()).sum()
    }

    fn batches<'a>(
        &self,
        chunks: &'a [Arc<Vec<BatchIndex>>],
        range: TimeRange,
    ) -> impl Iterator<Item = &'a BatchIndex> + use<'a> {
        let bound = self.bound;
        let all = chunks.iter().flat_map(|chunk| chunk.iter());
        all.filter(move |batch| batch.sequence <= bound && batch.times.overlaps(range))
    }
}

/// Reads one batch at a time.
pub struct HeadPages {
    work: VecDeque<Work>,
    finders: Vec<Finder<'static>>,
    range: TimeRange,
    quota: Option<Quota>,
    ready: VecDeque<LogPage>,
    index: u64,
    reach: i64,
}

/// A batch to read.
struct Work {
    streams: Arc<Streams>,
    names: Names,
    wanted: Arc<[bool]>,
    batch: BatchIndex,
    /// Of the wanted streams.
    times: TimeRange,
}

impl Iterator for HeadPages {
    type Item = Result<LogPage, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(page) = self.ready.pop_front() {
                return Some(Ok(page));
            }
            let Work { streams, names, wanted, batch, times } = self.work.pop_front()?;
            if self.quota.as_ref().is_some_and(|quota| !quota.needs(times)) {
                continue;
            }
            self.index = batch.index;
            self.reach = self.quota.as_ref().map_or(0, |quota| quota.edge(times));
            if let Err(error) = self.read(&streams, &names, &wanted, &batch) {
                self.work.clear();
                return Some(Err(error));
            }
        }
    }
}

impl HeadPages {
    /// No row of the page given last, or of later ones, is newer than that (or older, where the oldest come first). Only where
    /// rows come in such an order.
    pub fn reach(&self) -> Option<i64> {
        self.quota.as_ref().map(|_| self.reach)
    }

    /// The log entry that the page given last came with.
    pub fn index(&self) -> u64 {
        self.index
    }

    fn read(&mut self, streams: &Streams, names: &Names, wanted: &[bool], batch: &BatchIndex) -> Result<(), Error> {
        let body = rows::read_body(batch)?;
        if !self.finders.iter().all(|finder| finder.find(&body).is_some()) {
            return Ok(());
        }
        let error = |source| Error::Body { index: batch.index, source };
        let mut places: HashMap<u32, usize> = HashMap::new();
        for stream in wire::loki::streams(&body) {
            let stream = stream.map_err(error)?;
            let Some(id) = streams.id(wire::loki::key(stream.labels)) else { continue };
            if !wanted.get(id as usize).copied().unwrap_or(false) {
                continue;
            }
            let Some(labels) = names.get(id) else { continue };
            let place = *places.entry(id).or_insert_with(|| {
                self.ready.push_back(LogPage::new(labels.to_labels()));
                self.ready.len() - 1
            });
            for entry in stream.entries() {
                let entry = entry.map_err(error)?;
                let line = entry.line.as_bytes();
                if self.range.contains(entry.time) && self.finders.iter().all(|f| f.find(line).is_some()) {
                    if let Some(quota) = &mut self.quota {
                        quota.note(entry.time);
                    }
                    self.ready[place].push(entry.time, entry.line, rows::metadata(batch.index, &entry)?);
                }
            }
        }
        self.ready.retain(|page| !page.is_empty());
        Ok(())
    }
}
