//! Says which samples of a batch may not be stored, before the batch is logged.

use super::Head;
use super::apply::read_labels;
use crate::error::Error;
use crate::generation::{Copied, Generation, append};
use model::{Series, TenantId, TimeRange};
use std::sync::Arc;
use std::time::Duration;
use wire::batch::Format;
use wire::prometheus::{self, Kind, Refused, TimeSeries, Version};

/// Of so many refused samples, the reasons are told.
const MOST_TEXTS: usize = 10;

/// What a leader says of a batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Admission {
    /// The samples that may not be stored, in the order of the body.
    pub refused: Vec<Refused>,
    /// Why, for the first of them; each names series, time and values or limit.
    pub texts: Vec<String>,
    /// Samples that are stored already, with the same value: applying them changes nothing.
    pub duplicates: u32,
}

impl Head {
    /// Which samples of an uncompressed body may not be stored: those older than the newest of their series by more
    /// than `window` (`None`: no limit), and those that have the time, but not the value, of another one that is
    /// still in the head. The check is of the moment: of batches that are admitted at once, each sees neither other.
    pub fn admit(
        &self,
        tenant: &TenantId,
        format: Format,
        body: &[u8],
        window: Option<Duration>,
    ) -> Result<Admission, Error> {
        let version = Version::of(format).ok_or(Error::Format)?;
        let mut admission = Admission::default();
        let Some(known) = self.shared.registry().tenant(tenant) else {
            // Nothing of this tenant is here; still, a series may contradict itself.
            for (ordinal, series) in (0u32..).zip(prometheus::series(body, version)) {
                self.admit_series(&mut admission, None, ordinal, &series?, window)?;
            }
            return Ok(admission);
        };
        let mut numbers = Vec::new();
        for (ordinal, series) in (0u32..).zip(prometheus::series(body, version)) {
            let series = series?;
            let key = series.key();
            numbers.push((ordinal, key, series));
            if numbers.len() == AT_ONCE {
                self.admit_some(&mut admission, known, &numbers, window)?;
                numbers.clear();
            }
        }
        self.admit_some(&mut admission, known, &numbers, window)?;
        Ok(admission)
    }

    /// Looks a few hundred series up under one lock.
    fn admit_some(
        &self,
        admission: &mut Admission,
        tenant: u32,
        some: &[(u32, u128, TimeSeries<'_>)],
        window: Option<Duration>,
    ) -> Result<(), Error> {
        let mut found = [None; AT_ONCE];
        {
            let registry = self.shared.registry();
            for (found, (_, key, series)) in found.iter_mut().zip(some) {
                let number = match registry.find(tenant, *key) {
                    Some(number) => Some(number),
                    // A new series, or a known one that was never sent this way.
                    None => read_labels(series)?.and_then(|labels| registry.find_labels(tenant, &labels)),
                };
                *found = number.map(|number| (number, registry.newest(number)));
            }
        }
        for (found, (ordinal, _, series)) in found.iter().zip(some) {
            self.admit_series(admission, *found, *ordinal, series, window)?;
        }
        Ok(())
    }

    /// `known`: the series' number and newest time.
    fn admit_series(
        &self,
        admission: &mut Admission,
        known: Option<(u32, i64)>,
        ordinal: u32,
        series: &TimeSeries<'_>,
        window: Option<Duration>,
    ) -> Result<(), Error> {
        let mut newest = known.map_or(i64::MIN, |(_, newest)| newest);
        let mut in_order = true;
        for sample in series.samples() {
            let time = sample?.time;
            in_order &= time > newest;
            newest = newest.max(time);
        }
        if in_order && !series.has_histograms() {
            return Ok(());
        }
        for sample in series.histograms().flatten() {
            in_order &= sample.time > newest;
            newest = newest.max(sample.time);
        }
        if in_order {
            return Ok(());
        }
        self.admit_closely(admission, known, ordinal, series, window)
    }

    /// The slow way, for a series of which a sample is not newer than all before it.
    fn admit_closely(
        &self,
        admission: &mut Admission,
        known: Option<(u32, i64)>,
        ordinal: u32,
        series: &TimeSeries<'_>,
        window: Option<Duration>,
    ) -> Result<(), Error> {
        let mut stored = known.map_or_else(Series::default, |(number, _)| self.stored(number));
        let mut check =
            Check { admission, ordinal, series, window, newest: known.map_or(i64::MIN, |(_, newest)| newest) };
        for (at, sample) in (0u32..).zip(series.samples()) {
            let sample = sample?;
            let one = Series { times: vec![sample.time], values: vec![sample.value], ..Series::default() };
            check.sample(&mut stored, Kind::Float, at, sample.time, one);
        }
        for (at, sample) in (0u32..).zip(series.histograms()) {
            let Ok(sample) = sample else { continue };
            let value = Arc::new(sample.value);
            let one = model::rows::HistogramSample { time: sample.time, start: sample.start, value };
            check.sample(
                &mut stored,
                Kind::Histogram,
                at,
                sample.time,
                Series { histograms: vec![one], ..Series::default() },
            );
        }
        Ok(())
    }

    fn stored(&self, number: u32) -> Series {
        let mut series = Series::default();
        let mut copied = Copied::default();
        for generation in self.shared.generations().all() {
            let found = generation.read(Generation::stripe_of(number)).copy(number, &mut copied);
            if found {
                copied.add_to(&mut series, TimeRange::ALL);
            }
        }
        series
    }
}

const AT_ONCE: usize = 256;

struct Check<'a> {
    admission: &'a mut Admission,
    ordinal: u32,
    series: &'a TimeSeries<'a>,
    window: Option<Duration>,
    newest: i64,
}

impl Check<'_> {
    /// `one` is the sample alone.
    fn sample(&mut self, stored: &mut Series, kind: Kind, at: u32, time: i64, one: Series) {
        if let Some(window) = self.window {
            let millis = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
            if time < self.newest.saturating_sub(millis) {
                let newest = self.newest;
                let why = format!(
                    "is older than its newest sample, at {newest}, by more than {window:?} \
                     (limits.out_of_order_window)"
                );
                return self.refuse(kind, at, time, &why);
            }
        }
        match contradiction(stored, &one, time) {
            None => {
                self.newest = self.newest.max(time);
                append(stored, one);
            }
            Some(None) => self.admission.duplicates += 1,
            Some(Some(why)) => self.refuse(kind, at, time, &why),
        }
    }

    fn refuse(&mut self, kind: Kind, sample: u32, time: i64, why: &str) {
        self.admission.refused.push(Refused { series: self.ordinal, kind, sample });
        if self.admission.texts.len() < MOST_TEXTS {
            let labels = read_labels(self.series).ok().flatten().map(|l| l.to_string()).unwrap_or_default();
            self.admission.texts.push(format!("sample of {labels} at {time} {why}"));
        }
    }
}

/// None: no sample has this time. Otherwise the one that does is the same, or how it differs.
fn contradiction(stored: &Series, one: &Series, time: i64) -> Option<Option<String>> {
    let float = |series: &Series| series.times.binary_search(&time).ok().map(|at| series.values[at]);
    let histogram = |series: &Series| {
        series.histograms.binary_search_by_key(&time, |h| h.time).ok().map(|at| series.histograms[at].value.clone())
    };
    match (float(stored), histogram(stored), float(one), histogram(one)) {
        (None, None, ..) => None,
        (Some(before), _, Some(now), _) if before.to_bits() == now.to_bits() => Some(None),
        (Some(before), _, Some(now), _) => Some(Some(format!("has value {now}, stored before: {before}"))),
        (_, Some(before), _, Some(now)) if before == now => Some(None),
        (_, Some(before), _, Some(now)) => Some(Some(format!(
            "is a histogram with count {} and sum {}, stored before: another one with count {} and sum {}",
            now.count, now.sum, before.count, before.sum
        ))),
        (Some(before), ..) => Some(Some(format!("is a histogram, stored before: the value {before}"))),
        (_, Some(before), Some(now), _) => {
            Some(Some(format!("has value {now}, stored before: a histogram with count {}", before.count)))
        }
        _ => Some(None),
    }
}
