//! The samples that a head took between two cuts.
//!
//! A generation only grows, and after its cut not even that; whoever holds it sees its rows for as long as they like.

use crate::bytes_io::Cursor;
use crate::chunk::{Arena, Chain, Value, walk};
use crate::histogram;
use hashbrown::HashMap;
use model::rows::HistogramSample;
use model::{Exemplar, Metadata, Series, TimeRange};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const STRIPES: usize = 16;
/// So many series with consecutive numbers share a stripe: series that are sent together are taken under one lock.
const NEIGHBOURS: u32 = 1024;

pub struct Generation {
    stripes: [RwLock<Stripe>; STRIPES],
    /// By tenant, by family.
    metadata: RwLock<HashMap<u32, BTreeMap<String, Metadata>>>,
    pub counts: Counts,
    /// The last log index of this generation; set by the cut.
    through: AtomicU64,
}

/// What a generation holds in all.
pub struct Counts {
    /// Samples that were taken in; the few that a late duplicate makes too many are found when they are read.
    pub rows: AtomicU64,
    /// Bytes of the bodies.
    pub raw_bytes: AtomicU64,
    min_time: AtomicI64,
    max_time: AtomicI64,
}

#[derive(Default)]
pub struct Stripe {
    /// By series, within this stripe: one more than the place in `data`; 0 where there is none.
    places: Vec<u32>,
    data: Vec<Data>,
    arena: Arena,
    extra_bytes: usize,
}

/// Samples of one series.
struct Data {
    chain: Chain,
    extra: Option<Box<Extra>>,
    series: u32,
}

/// What few series have.
#[derive(Default)]
struct Extra {
    /// Samples that came too late for the main chain, but in order among themselves.
    late: Chain,
    /// Samples that came too late for both, sorted by time.
    stray: Vec<Stray>,
    exemplars: Vec<Exemplar>,
}

struct Stray {
    time: i64,
    start: i64,
    value: Owned,
}

enum Owned {
    Float(u64),
    Histogram(Box<[u8]>),
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    InOrder,
    Late,
    /// One of the same time is there already, and stays.
    Duplicate,
}

impl Default for Generation {
    fn default() -> Generation {
        Generation {
            stripes: Default::default(),
            metadata: RwLock::default(),
            counts: Counts {
                rows: AtomicU64::new(0),
                raw_bytes: AtomicU64::new(0),
                min_time: AtomicI64::new(i64::MAX),
                max_time: AtomicI64::new(i64::MIN),
            },
            through: AtomicU64::new(u64::MAX),
        }
    }
}

impl Counts {
    pub fn times(&self) -> TimeRange {
        TimeRange::new(self.min_time.load(Ordering::Relaxed), self.max_time.load(Ordering::Relaxed))
    }

    pub fn include(&self, times: TimeRange) {
        self.min_time.fetch_min(times.min, Ordering::Relaxed);
        self.max_time.fetch_max(times.max, Ordering::Relaxed);
    }
}

/// Which stripe has a series, and where in it.
fn place(series: u32) -> (usize, usize) {
    let group = series / NEIGHBOURS;
    let within = (group / STRIPES as u32) * NEIGHBOURS + series % NEIGHBOURS;
    (group as usize % STRIPES, within as usize)
}

impl Generation {
    pub fn through(&self) -> u64 {
        self.through.load(Ordering::Acquire)
    }

    pub fn close(&self, through: u64) {
        self.through.store(through, Ordering::Release);
    }

    /// The number of the stripe that has a series, for whoever keeps it locked from one series to the next.
    pub fn stripe_of(series: u32) -> usize {
        place(series).0
    }

    pub fn lock(&self, stripe: usize) -> RwLockWriteGuard<'_, Stripe> {
        self.stripes[stripe].write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read(&self, stripe: usize) -> RwLockReadGuard<'_, Stripe> {
        self.stripes[stripe].read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has(&self, series: u32) -> bool {
        self.read(place(series).0).data(series).is_some()
    }

    /// All series that have anything here.
    pub fn series(&self) -> Vec<u32> {
        (0..STRIPES).flat_map(|at| self.read(at).data.iter().map(|data| data.series).collect::<Vec<_>>()).collect()
    }

    pub fn add_metadata(&self, tenant: u32, metadata: Metadata) {
        let known = |all: &HashMap<u32, BTreeMap<String, Metadata>>| {
            all.get(&tenant).and_then(|families| families.get(&metadata.family)) == Some(&metadata)
        };
        if known(&self.metadata.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut all = self.metadata.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(tenant).or_default().insert(metadata.family.clone(), metadata);
    }

    pub fn metadata(&self, tenant: u32) -> Vec<Metadata> {
        let all = self.metadata.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&tenant).map(|families| families.values().cloned().collect()).unwrap_or_default()
    }

    pub fn metadata_tenants(&self) -> Vec<u32> {
        self.metadata.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    pub fn memory_bytes(&self) -> usize {
        let text = |m: &Metadata| 2 * m.family.len() + m.help.len() + m.kind.len() + m.unit.len() + 160;
        let metadata: usize = {
            let all = self.metadata.read().unwrap_or_else(PoisonError::into_inner);
            all.values().flat_map(BTreeMap::values).map(text).sum()
        };
        (0..STRIPES).map(|at| self.read(at).memory_bytes()).sum::<usize>() + metadata + size_of::<Generation>()
    }
}

impl Stripe {
    fn data(&self, series: u32) -> Option<&Data> {
        let at = *self.places.get(place(series).1)?;
        self.data.get((at as usize).checked_sub(1)?)
    }

    /// Whether a series has anything here yet.
    pub fn has(&self, series: u32) -> bool {
        self.data(series).is_some()
    }

    fn data_mut(&mut self, series: u32) -> (&mut Data, &mut Arena, &mut usize) {
        let within = place(series).1;
        if self.places.len() <= within {
            self.places.resize(within + 1, 0);
        }
        let at = &mut self.places[within];
        if *at == 0 {
            self.data.push(Data { chain: Chain::default(), extra: None, series });
            *at = self.data.len() as u32;
        }
        (&mut self.data[*at as usize - 1], &mut self.arena, &mut self.extra_bytes)
    }

    /// Adds a sample. Of two at one time, the first stays.
    pub fn push(&mut self, series: u32, time: i64, start: i64, value: Value<'_>) -> Taken {
        let (data, arena, extra_bytes) = self.data_mut(series);
        if time > data.chain.last_time() || data.chain.is_empty() {
            data.chain.push(arena, time, start, value);
            return Taken::InOrder;
        }
        if time == data.chain.last_time() {
            return Taken::Duplicate;
        }
        let extra = data.extra.get_or_insert_with(|| {
            *extra_bytes += size_of::<Extra>();
            Box::default()
        });
        if time > extra.late.last_time() || extra.late.is_empty() {
            extra.late.push(arena, time, start, value);
            return Taken::Late;
        }
        match extra.stray.binary_search_by_key(&time, |stray| stray.time) {
            Ok(_) => Taken::Duplicate,
            Err(_) if time == extra.late.last_time() => Taken::Duplicate,
            Err(at) => {
                let (value, size) = match value {
                    Value::Float(bits) => (Owned::Float(bits), 0),
                    Value::Histogram(bytes) => (Owned::Histogram(bytes.into()), bytes.len()),
                };
                *extra_bytes += size_of::<Stray>() + size;
                extra.stray.insert(at, Stray { time, start, value });
                Taken::Late
            }
        }
    }

    /// Adds an exemplar; when there are `limit`, the oldest goes. One that is there already is not added.
    pub fn push_exemplar(&mut self, series: u32, exemplar: Exemplar, limit: usize) {
        let (data, _, extra_bytes) = self.data_mut(series);
        let extra = data.extra.get_or_insert_with(Box::default);
        if limit == 0 || extra.exemplars.contains(&exemplar) {
            return;
        }
        if extra.exemplars.len() >= limit {
            extra.exemplars.remove(0);
        } else {
            *extra_bytes += 160;
        }
        extra.exemplars.push(exemplar);
    }

    pub fn exemplars(&self, series: u32) -> &[Exemplar] {
        self.data(series).and_then(|data| data.extra.as_deref()).map_or(&[], |extra| &extra.exemplars)
    }

    /// Whether a series may have samples in a range: the range meets the time from its first to its last.
    pub fn may_have(&self, series: u32, range: TimeRange) -> bool {
        self.times(series).is_some_and(|times| range.overlaps(times))
    }

    /// From a series' first sample to its last; `None` when it has none here.
    pub fn times(&self, series: u32) -> Option<TimeRange> {
        let data = self.data(series)?;
        let mut min = data.chain.first_time(&self.arena)?;
        if let Some(extra) = &data.extra {
            min = min.min(extra.late.first_time(&self.arena).unwrap_or(min));
            min = min.min(extra.stray.first().map_or(min, |stray| stray.time));
        }
        Some(TimeRange::new(min, data.chain.last_time()))
    }

    /// Copies the samples of a series into `samples`; false when it has none here. This is all that is done under
    /// the stripe's lock.
    pub fn copy(&self, series: u32, samples: &mut Copied) -> bool {
        samples.stray.clear();
        samples.late.clear();
        let Some(data) = self.data(series).filter(|data| !data.chain.is_empty()) else { return false };
        data.chain.collect(&self.arena, &mut samples.main);
        if let Some(extra) = &data.extra {
            extra.late.collect(&self.arena, &mut samples.late);
            for stray in &extra.stray {
                let value = match &stray.value {
                    Owned::Float(bits) => Owned::Float(*bits),
                    Owned::Histogram(bytes) => Owned::Histogram(bytes.clone()),
                };
                samples.stray.push(Stray { time: stray.time, start: stray.start, value });
            }
        }
        true
    }

    fn memory_bytes(&self) -> usize {
        self.places.capacity() * 4
            + self.data.capacity() * size_of::<Data>()
            + self.arena.memory_bytes()
            + self.extra_bytes
    }
}

/// Samples of one series as they were in a generation.
#[derive(Default)]
pub struct Copied {
    main: Vec<u8>,
    late: Vec<u8>,
    stray: Vec<Stray>,
}

impl Copied {
    /// Adds the samples within `range` to a series; of two at one time, what is there already stays.
    pub fn add_to(&self, series: &mut Series, range: TimeRange) {
        let mut main = Series::default();
        walk(&self.main, |time, start, value| push(&mut main, range, time, start, value));
        append(series, main);
        if !self.late.is_empty() {
            let mut late = Series::default();
            walk(&self.late, |time, start, value| push(&mut late, range, time, start, value));
            append(series, late);
        }
        if !self.stray.is_empty() {
            let mut stray = Series::default();
            for one in &self.stray {
                let value = match &one.value {
                    Owned::Float(bits) => Value::Float(*bits),
                    Owned::Histogram(bytes) => Value::Histogram(bytes),
                };
                push(&mut stray, range, one.time, one.start, value);
            }
            append(series, stray);
        }
    }
}

fn push(series: &mut Series, range: TimeRange, time: i64, start: i64, value: Value<'_>) {
    if !range.contains(time) {
        return;
    }
    match value {
        Value::Float(bits) => {
            if start != 0 && series.starts.is_empty() {
                series.starts.resize(series.times.len(), 0);
            }
            if start != 0 || !series.starts.is_empty() {
                series.starts.push(start);
            }
            series.times.push(time);
            series.values.push(f64::from_bits(bits));
        }
        Value::Histogram(bytes) => {
            if let Ok(value) = histogram::decode(&mut Cursor::new(bytes)) {
                series.histograms.push(HistogramSample { time, start, value: Arc::new(value) });
            }
        }
    }
}

/// Adds `more` to `series`, without what has the time of a sample that is there already, of whichever kind.
pub fn append(series: &mut Series, mut more: Series) {
    let last = |s: &Series| s.times.last().copied().max(s.histograms.last().map(|h| h.time));
    let first = [more.times.first().copied(), more.histograms.first().map(|h| h.time)].into_iter().flatten().min();
    let (Some(last), Some(first)) = (last(series), first) else {
        if series.is_empty() {
            more.labels = series.labels.take();
            *series = more;
        }
        return;
    };
    if first <= last {
        let has = |time: i64| {
            series.times.binary_search(&time).is_ok()
                || series.histograms.binary_search_by_key(&time, |h| h.time).is_ok()
        };
        let keep: Vec<bool> = more.times.iter().map(|&time| !has(time)).collect();
        if more.starts.len() == keep.len() {
            retain(&mut more.starts, &keep);
        }
        retain(more.times.own(), &keep);
        retain(&mut more.values, &keep);
        more.histograms.retain(|h| !has(h.time));
    }
    if series.is_empty() || !more.is_empty() {
        series.merge(more);
    }
}

fn retain<T>(all: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    all.retain(|_| flags.next().copied().unwrap_or(true));
}
