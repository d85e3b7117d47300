//! Takes the samples of a logged batch into the head.

use super::{Head, Shared};
use crate::chunk::Value;
use crate::error::Error;
use crate::generation::{Generation, Stripe, Taken};
use crate::histogram;
use crate::registry::Registry;
use model::labels::METRIC_NAME;
use model::{Labels, Metadata, TimeRange};
use std::sync::atomic::Ordering;
use std::sync::{RwLockReadGuard, RwLockWriteGuard};
use wire::batch::Header;
use wire::prometheus::{self, TimeSeries, Version};

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Samples of either kind that were taken in.
    pub rows: u32,
    /// Of these, how many were older than the newest of their series.
    pub late: u32,
    /// Samples that were left out since one of the same time was there.
    pub duplicates: u32,
    pub exemplars: u32,
    /// Series that the head did not know before.
    pub new_series: u32,
    /// Series and histograms that were left out since they are not valid.
    pub invalid: u32,
}

/// Buffers that one batch leaves to the next.
#[derive(Default)]
pub struct Scratch {
    histogram: Vec<u8>,
}

impl Head {
    /// Takes in a batch, whose uncompressed body is `body`. The outcome depends on the batches before it since the
    /// last cut and on nothing else, so every replica comes to the same. An error in the body leaves what was before
    /// it taken in.
    pub fn apply(&self, index: u64, header: &Header, body: &[u8]) -> Result<Outcome, Error> {
        let version = Version::of(header.format).ok_or(Error::Format)?;
        let mut scratch = self.writer();
        let generation = self.shared.generations().active.clone();
        debug_assert!(index <= generation.through(), "a batch is applied to a generation that was cut");
        let known = self.shared.registry().tenant(&header.tenant);
        let tenant = known.unwrap_or_else(|| self.shared.registry_mut().add_tenant(&header.tenant));
        let mut work = Work {
            shared: &self.shared,
            generation: &generation,
            tenant,
            registry: None,
            stripe: None,
            times: TimeRange::EMPTY,
            outcome: Outcome::default(),
        };
        let result = work.take_all(body, version, &mut scratch);
        let Work { outcome, times, .. } = work;
        let counts = &generation.counts;
        counts.include(times);
        counts.rows.fetch_add(u64::from(outcome.rows), Ordering::Relaxed);
        counts.raw_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        result.map(|()| outcome)
    }
}

/// A batch on its way in.
struct Work<'a> {
    shared: &'a Shared,
    generation: &'a Generation,
    tenant: u32,
    /// Locked from one series to the next, until an unknown series needs to write.
    registry: Option<RwLockReadGuard<'a, Registry>>,
    /// Likewise, until a series in another stripe comes.
    stripe: Option<(usize, RwLockWriteGuard<'a, Stripe>)>,
    times: TimeRange,
    outcome: Outcome,
}

impl<'a> Work<'a> {
    fn take_all(&mut self, body: &[u8], version: Version, scratch: &mut Scratch) -> Result<(), Error> {
        for series in prometheus::series(body, version) {
            self.take(&series?, version, scratch)?;
        }
        (self.registry, self.stripe) = (None, None);
        for metadata in prometheus::metadata(body, version) {
            self.generation.add_metadata(self.tenant, metadata?);
        }
        Ok(())
    }

    fn take(&mut self, series: &TimeSeries<'_>, version: Version, scratch: &mut Scratch) -> Result<(), Error> {
        let key = series.key();
        let registry = self.registry.get_or_insert_with(|| self.shared.registry());
        let number = match registry.find(self.tenant, key) {
            Some(number) => number,
            None => match self.learn(key, series)? {
                Some(number) => number,
                None => {
                    self.outcome.invalid += 1;
                    return Ok(());
                }
            },
        };
        let at = Generation::stripe_of(number);
        if self.stripe.as_ref().is_none_or(|(locked, _)| *locked != at) {
            self.stripe = None; // never two at once
            self.stripe = Some((at, self.generation.lock(at)));
        }
        let Some((_, stripe)) = &mut self.stripe else { return Ok(()) };
        let is_new = version == Version::V2 && !stripe.has(number);
        let mut newest = i64::MIN;
        for sample in series.samples() {
            let sample = sample?;
            let taken = stripe.push(number, sample.time, sample.start, Value::Float(sample.value.to_bits()));
            self.outcome.count(taken);
            self.times.include(sample.time);
            newest = newest.max(sample.time);
        }
        if version == Version::V2 || series.has_histograms() {
            for sample in series.histograms() {
                let Ok(sample) = sample else {
                    self.outcome.invalid += 1;
                    continue;
                };
                scratch.histogram.clear();
                histogram::encode(&sample.value, &mut scratch.histogram);
                let taken = stripe.push(number, sample.time, sample.start, Value::Histogram(&scratch.histogram));
                self.outcome.count(taken);
                self.times.include(sample.time);
                newest = newest.max(sample.time);
            }
        }
        for exemplar in series.exemplars() {
            stripe.push_exemplar(number, exemplar?, self.shared.settings.exemplars_per_series);
            self.outcome.exemplars += 1;
        }
        if let Some(registry) = &self.registry {
            registry.raise_newest(number, newest);
        }
        // Told with every series of every body, so it is looked at only with a series' first samples after a cut.
        if is_new && let Some(metadata) = series.metadata() {
            self.add_metadata(number, metadata);
        }
        Ok(())
    }

    /// Makes a series known that was not, at least not under this key. None when its labels are not valid.
    fn learn(&mut self, key: u128, series: &TimeSeries<'_>) -> Result<Option<u32>, Error> {
        (self.registry, self.stripe) = (None, None);
        let Some(labels) = read_labels(series)? else { return Ok(None) };
        let (number, is_new) = self.shared.registry_mut().learn(self.tenant, key, &labels);
        self.outcome.new_series += u32::from(is_new);
        self.registry = Some(self.shared.registry());
        Ok(Some(number))
    }

    fn add_metadata(&self, number: u32, metadata: prometheus::MetadataRef<'_>) {
        let Some(registry) = &self.registry else { return };
        let labels = registry.labels(number);
        let family = family(labels.value(METRIC_NAME), metadata.kind);
        let metadata = Metadata {
            family: family.to_owned(),
            kind: metadata.kind.to_owned(),
            help: metadata.help.to_owned(),
            unit: metadata.unit.to_owned(),
        };
        self.generation.add_metadata(self.tenant, metadata);
    }
}

impl Outcome {
    fn count(&mut self, taken: Taken) {
        match taken {
            Taken::InOrder => self.rows += 1,
            Taken::Late => {
                self.rows += 1;
                self.late += 1;
            }
            Taken::Duplicate => self.duplicates += 1,
        }
    }
}

/// The labels of a series as sent; none when there are none or a name comes twice, which a distributor lets no one
/// send.
pub(super) fn read_labels(series: &TimeSeries<'_>) -> Result<Option<Labels>, Error> {
    let mut pairs = Vec::with_capacity(16);
    for pair in series.labels() {
        pairs.push(pair?);
    }
    pairs.sort_unstable();
    Ok(Labels::from_sorted(pairs).filter(|labels| !labels.is_empty()))
}

/// The family to which a series belongs: without the endings that its kind gives to its series.
fn family<'a>(name: &'a str, kind: &str) -> &'a str {
    let endings: &[&str] = match kind {
        "histogram" | "gaugehistogram" => &["_bucket", "_count", "_sum"],
        "summary" => &["_count", "_sum"],
        _ => &[],
    };
    endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}
