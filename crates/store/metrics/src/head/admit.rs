//! Says which samples of a batch may not be stored, before the batch is logged.

use super::Head;
use super::apply::read_labels;
use super::bounds::{Bounds, Refusal, Why};
use crate::error::Error;
use crate::generation::{Copied, Generation, append};
use crate::registry::Registry;
use model::{Labels, Series, TenantId, TimeRange};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use wire::batch::Format;
use wire::prometheus::{self, Kind, Refused, TimeSeries, Version};

/// What a leader says of a batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Admission {
    /// The samples and series that may not be stored, in the order of the body.
    pub refused: Vec<Refused>,
    /// Why, one for each reason.
    pub refusals: Vec<Refusal>,
    /// Samples that are stored already, with the same value: applying them changes nothing.
    pub duplicates: u32,
}

impl Admission {
    fn refuse(&mut self, why: Why, refused: Refused, rows: u32, text: impl FnOnce() -> String) {
        self.refused.push(refused);
        match self.refusals.iter_mut().find(|refusal| refusal.why == why) {
            Some(refusal) => refusal.rows += rows,
            None => self.refusals.push(Refusal { why, rows, text: text() }),
        }
    }
}

/// Series of a batch that the head does not know, as far as they are let in.
#[derive(Default)]
struct New {
    keys: HashSet<u128>,
    by_metric: HashMap<String, u64>,
}

/// What a head knows of a series.
#[derive(Clone, Copy)]
enum Known {
    /// Its number and newest time.
    Series(u32, i64),
    New,
    /// New, and one too many.
    OverLimit(Why),
}

impl Head {
    /// Which samples of an uncompressed body may not be stored: those older than the newest of their series by more
    /// than the window, those that have the time, but not the value, of another one that is still in the head, and those
    /// of new series beyond the limits. The check is of the moment: of batches that are admitted at once, each sees
    /// neither other.
    pub fn admit(&self, tenant: &TenantId, format: Format, body: &[u8], bounds: &Bounds) -> Result<Admission, Error> {
        let version = Version::of(format).ok_or(Error::Format)?;
        let (mut admission, mut new) = (Admission::default(), New::default());
        let mut some = Vec::new();
        for (ordinal, series) in (0u32..).zip(prometheus::series(body, version)) {
            some.push((ordinal, series?));
            if some.len() == AT_ONCE {
                self.admit_some(&mut admission, &mut new, tenant, &some, bounds)?;
                some.clear();
            }
        }
        self.admit_some(&mut admission, &mut new, tenant, &some, bounds)?;
        Ok(admission)
    }

    /// Looks a few hundred series up under one lock.
    fn admit_some(
        &self,
        admission: &mut Admission,
        new: &mut New,
        tenant: &TenantId,
        some: &[(u32, TimeSeries<'_>)],
        bounds: &Bounds,
    ) -> Result<(), Error> {
        let mut found = [Known::New; AT_ONCE];
        {
            let registry = self.shared.registry();
            let number = registry.tenant(tenant);
            for (found, (_, series)) in found.iter_mut().zip(some) {
                *found = look_up(&registry, number, series, bounds, new)?;
            }
        }
        for (found, (ordinal, series)) in found.iter().zip(some) {
            match found {
                Known::Series(number, newest) => {
                    self.admit_series(admission, Some((*number, *newest)), *ordinal, series, bounds.window)?;
                }
                // Nothing of it is here; still, it may contradict itself.
                Known::New => self.admit_series(admission, None, *ordinal, series, bounds.window)?,
                Known::OverLimit(why) => refuse_series(admission, *why, *ordinal, series, tenant, bounds)?,
            }
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
            let one = Series { times: vec![sample.time].into(), values: vec![sample.value], ..Series::default() };
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
                return self.refuse(Why::TooOld, kind, at, time, &why);
            }
        }
        match contradiction(stored, &one, time) {
            None => {
                self.newest = self.newest.max(time);
                append(stored, one);
            }
            Some(None) => self.admission.duplicates += 1,
            Some(Some(why)) => self.refuse(Why::OtherValue, kind, at, time, &why),
        }
    }

    fn refuse(&mut self, why: Why, kind: Kind, sample: u32, time: i64, text: &str) {
        let series = self.series;
        self.admission.refuse(why, Refused { series: self.ordinal, kind, sample }, 1, || {
            format!("sample of {} at {time} {text}", name(series))
        });
    }
}

/// A series as the head knows it; a new one is counted, if it is let in.
fn look_up(
    registry: &Registry,
    tenant: Option<u32>,
    series: &TimeSeries<'_>,
    bounds: &Bounds,
    new: &mut New,
) -> Result<Known, Error> {
    let known = |number| Known::Series(number, registry.newest(number));
    if let Some(number) = tenant.and_then(|tenant| registry.find(tenant, series.key())) {
        return Ok(known(number));
    }
    let is_limited = bounds.series.is_some() || bounds.series_per_metric.is_some();
    if tenant.is_none() && !is_limited {
        return Ok(Known::New);
    }
    // A new series, or a known one that was never sent this way.
    let Some(labels) = read_labels(series)? else { return Ok(Known::New) };
    if let Some(number) = tenant.and_then(|tenant| registry.find_labels(tenant, &labels)) {
        return Ok(known(number));
    }
    if !is_limited || new.keys.contains(&series.key()) {
        return Ok(Known::New);
    }
    let metric = labels.metric_name();
    let there = tenant.map_or(0, |tenant| registry.count(tenant)) + new.keys.len() as u64;
    if bounds.series.is_some_and(|limit| there >= bounds.part(limit)) {
        return Ok(Known::OverLimit(Why::SeriesLimit));
    }
    if let Some(limit) = bounds.series_per_metric {
        let there = tenant.map_or(0, |tenant| registry.count_of(tenant, metric));
        let here = new.by_metric.entry(metric.to_owned()).or_default();
        if there + *here >= bounds.part(limit) {
            return Ok(Known::OverLimit(Why::MetricSeriesLimit));
        }
        *here += 1;
    }
    new.keys.insert(series.key());
    Ok(Known::New)
}

fn refuse_series(
    admission: &mut Admission,
    why: Why,
    ordinal: u32,
    series: &TimeSeries<'_>,
    tenant: &TenantId,
    bounds: &Bounds,
) -> Result<(), Error> {
    let rows = series.samples().count() + series.histograms().count();
    let refused = Refused { series: ordinal, kind: Kind::Series, sample: 0 };
    admission.refuse(why, refused, rows as u32, || {
        let of = read_labels(series).ok().flatten().map(|labels| labels.metric_name().to_owned()).unwrap_or_default();
        let (who, limit, setting) = match why {
            Why::MetricSeriesLimit => {
                let limit = bounds.series_per_metric.unwrap_or(0);
                (format!("metric {of:?} of tenant {tenant}"), limit, "limits.max_series_per_metric")
            }
            _ => (format!("tenant {tenant}"), bounds.series.unwrap_or(0), "limits.max_series"),
        };
        let part = match bounds.shards {
            0 | 1 => String::new(),
            shards => format!("; each of its {shards} shards takes {}", bounds.part(limit)),
        };
        format!("series {} is new, and {who} has as many as it may have: {limit} ({setting}{part})", name(series))
    });
    Ok(())
}

fn name(series: &TimeSeries<'_>) -> String {
    read_labels(series).ok().flatten().as_ref().map(Labels::to_string).unwrap_or_default()
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
