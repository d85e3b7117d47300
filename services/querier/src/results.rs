//! What range queries answered for days that are over, kept in memory together with what it was made of.
//!
//! Nothing here grows old: whoever finds something compares the objects that it was made of with those that there are
//! now ([`crate::days`]), and takes it only if they are the same.

use crate::settings::Settings;
use eval::value::{SeriesPoints, Warnings};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use telemetry::Exposition;

/// The names of the objects that have all rows of some time, of each tenant, oldest first; then those of the delete
/// requests that hide some.
pub type Objects = Vec<Vec<String>>;

/// What one day of an answer depends on, besides the rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub query: Arc<Query>,
    /// Days since 1970, in UTC.
    pub day: i64,
}

/// What all days of an answer have in common. Times are milliseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// All tenants that are asked, as the request names them.
    pub tenants: String,
    /// As [`promql::Expr`] is displayed.
    pub text: String,
    pub step: i64,
    /// The steps are at these times, modulo `step`.
    pub phase: i64,
    pub lookback: i64,
    pub experimental: bool,
    pub delayed_name_removal: bool,
}

/// The steps of one day, or some of them.
#[derive(Debug)]
pub struct Part {
    /// The times of its first and last step.
    pub first: i64,
    pub last: i64,
    pub objects: Objects,
    pub series: Vec<SeriesPoints>,
    pub warnings: Warnings,
    /// The query as it was written: remarks name places in it.
    pub written: String,
}

impl Part {
    fn size(&self) -> usize {
        let names: usize = self.objects.iter().flatten().map(|name| name.len() + 24).sum();
        let texts = self.warnings.warnings.iter().chain(&self.warnings.infos);
        let series: usize = self.series.iter().map(held).sum();
        names + texts.map(|text| text.len() + 24).sum::<usize>() + series + self.written.len() + size_of::<Part>()
    }
}

/// The bytes of a series and its labels.
pub fn held(series: &SeriesPoints) -> usize {
    series.size() + series.labels.as_ref().map_or(0, |labels| labels.packed().len())
}

/// What is used least goes first, so that all together stay below `querier.results`.
pub struct Results {
    parts: Cache<Key, Arc<Part>, Weight>,
    /// Queries of which several days were read at once and had remarks.
    remarked: Cache<Arc<Query>, ()>,
    asked: AtomicU64,
    found: AtomicU64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Part>> for Weight {
    fn weight(&self, key: &Key, part: &Arc<Part>) -> u64 {
        (part.size() + key.query.text.len() + key.query.tenants.len() + size_of::<Query>()) as u64
    }
}

/// About how large a part is, for the cache's tables.
const USUAL: u64 = 32 << 10;
/// How many queries are known to have remarks.
const REMARKED: usize = 1000;

impl Results {
    /// `None` when the settings turn it off.
    pub fn new(settings: &Settings) -> Option<Arc<Results>> {
        let bytes = settings.results.0;
        let parts = Cache::with_weighter((bytes / USUAL) as usize + 1, bytes, Weight);
        let (remarked, asked, found) = (Cache::new(REMARKED), AtomicU64::new(0), AtomicU64::new(0));
        (bytes > 0).then(|| Arc::new(Results { parts, remarked, asked, found }))
    }

    /// What is kept of a day, if it still holds.
    pub fn get(&self, key: &Key, holds: impl FnOnce(&Part) -> bool) -> Option<Arc<Part>> {
        self.asked.fetch_add(1, Relaxed);
        let part = self.parts.get(key).filter(|part| holds(part))?;
        self.found.fetch_add(1, Relaxed);
        Some(part)
    }

    pub fn insert(&self, key: Key, part: Arc<Part>) {
        self.parts.insert(key, part);
    }

    /// Notes that days of a query had remarks that cannot be told apart.
    pub fn remark(&self, query: &Arc<Query>) {
        self.remarked.insert(query.clone(), ());
    }

    /// Whether days of a query are to be read one by one, for each to have its own remarks.
    pub fn is_remarked(&self, query: &Arc<Query>) -> bool {
        self.remarked.get(query).is_some()
    }

    /// How many parts were asked for, and how many of them were there.
    #[cfg(test)]
    pub fn counts(&self) -> (u64, u64) {
        (self.asked.load(Relaxed), self.found.load(Relaxed))
    }

    pub fn meters(&self, out: &mut Exposition) {
        let (asked, found) = (self.asked.load(Relaxed), self.found.load(Relaxed));
        out.counter("ouro_querier_result_days_total", "Days of range queries that were looked for.", &[], asked);
        out.counter("ouro_querier_result_days_found_total", "Those whose answer was kept and still held.", &[], found);
        let bytes = self.parts.weight() as f64;
        out.gauge("ouro_querier_results_bytes", "Bytes of answers in memory.", &[], bytes);
        let limit = self.parts.capacity() as f64;
        out.gauge("ouro_querier_results_limit_bytes", "The most there may be (querier.results).", &[], limit);
    }
}
