//! Checks a remote write: labels, histograms and times. Bad samples and series are left out, the rest stays as it came.

use crate::checked::{Checked, Refusals, Rules, SeriesRows, Written};
use crate::discard::Discard;
use crate::error::PushError;
use crate::known::Scope;
use crate::labels::{Complaint, check_series, name_of};
use crate::meters::add;
use bytes::Bytes;
use model::TimeRange;
use wire::error::DecodeError;
use wire::prometheus::{Kind, Refused, TimeSeries, Version, metadata, series, without};

struct Walk<'r, 'a> {
    rules: &'r Rules<'r>,
    scope: Scope,
    version: Version,
    pairs: Vec<(&'a str, &'a str)>,
    cuts: Vec<Refused>,
    refused: Refusals,
    series: Vec<SeriesRows>,
    written: Written,
}

/// Checks an uncompressed body. `payload` is the body as it came.
pub fn check(body: Vec<u8>, payload: Option<Bytes>, version: Version, rules: &Rules<'_>) -> Result<Checked, PushError> {
    let limits = rules.admitted.limits();
    let mut walk = Walk {
        rules,
        scope: Scope::new(rules.admitted.tenant(), limits),
        version,
        pairs: Vec::new(),
        cuts: Vec::new(),
        refused: Refusals::default(),
        series: Vec::new(),
        written: Written::default(),
    };
    walk.all(series(&body, version)).map_err(PushError::Body)?;
    let families = metadata(&body, version).try_fold(0u64, |count, item| item.map(|_| count + 1));
    let families = families.map_err(PushError::Body)?;
    let Walk { cuts, refused, series, written, .. } = walk;
    let rows = written.samples + written.histograms;
    let (body, payload) = match cuts.is_empty() {
        true => (body, payload),
        false => (without(&body, version, &cuts), None),
    };
    Ok(Checked {
        format: version.format(),
        body,
        payload,
        times: series.iter().fold(TimeRange::EMPTY, |times, series| times.union(series.times)),
        rows: u32::try_from(rows).unwrap_or(u32::MAX),
        streams: Vec::new(),
        series,
        written,
        empty: rows + written.exemplars + families == 0,
        refused,
    })
}

/// Series that are looked up at a time: each look-up misses the cache, and side by side they wait together.
const AHEAD: usize = 16;

impl<'a> Walk<'_, 'a> {
    fn all(&mut self, mut all: impl Iterator<Item = Result<TimeSeries<'a>, DecodeError>>) -> Result<(), DecodeError> {
        let (mut at, mut ahead) = (0, Vec::with_capacity(AHEAD));
        loop {
            for series in all.by_ref().take(AHEAD) {
                ahead.push(series?);
            }
            if ahead.is_empty() {
                return Ok(());
            }
            let mut known = [false; AHEAD];
            for (known, series) in known.iter_mut().zip(&ahead) {
                *known = self.rules.known.contains(self.scope, series.key());
            }
            for (series, known) in ahead.drain(..).zip(known) {
                self.add(at, &series, known)?;
                at += 1;
            }
        }
    }

    fn add(&mut self, at: u32, series: &TimeSeries<'a>, known: bool) -> Result<(), DecodeError> {
        if let Some((discard, text)) = self.complain(series, known)? {
            self.cuts.push(Refused { series: at, kind: Kind::Series, sample: 0 });
            self.refused.series += 1;
            let rows = series.samples().count() + series.histograms().count();
            self.refused.add(discard, rows as u64, || text);
            return Ok(());
        }
        let mut rows = SeriesRows { key: series.key(), rows: 0, times: TimeRange::EMPTY };
        for (place, sample) in series.samples().enumerate() {
            let sample = sample?;
            match self.rules.times.contains(sample.time) {
                true => {
                    rows.times.include(sample.time);
                    self.written.samples += 1;
                    rows.rows += 1;
                }
                false => self.cut_time(at, Kind::Float, place, series, sample.time),
            }
        }
        for (place, sample) in series.histograms().enumerate() {
            match sample {
                Ok(sample) if self.rules.times.contains(sample.time) => {
                    rows.times.include(sample.time);
                    self.written.histograms += 1;
                    rows.rows += 1;
                }
                Ok(sample) => self.cut_time(at, Kind::Histogram, place, series, sample.time),
                Err(DecodeError::Histogram { why }) => {
                    let text = format!("a histogram of series {} is not valid: {why}", self.name(series));
                    self.cut(at, Kind::Histogram, place, Discard::InvalidHistogram, text);
                }
                Err(error) => return Err(error),
            }
        }
        self.written.exemplars += series.exemplars().count() as u64;
        self.series.push(rows);
        Ok(())
    }

    /// What is wrong with a series as a whole, if anything is.
    fn complain(&mut self, series: &TimeSeries<'a>, known: bool) -> Result<Complaint, DecodeError> {
        for (part, found) in [
            ("an exemplar", series.exemplars().try_for_each(|exemplar| exemplar.map(drop))),
            ("the help or unit", series.try_metadata().map(drop)),
        ] {
            match found {
                Ok(()) => {}
                Err(DecodeError::Utf8) => {
                    let text = format!("{part} of series {} is not valid UTF-8", self.name(series));
                    return Ok(Some((Discard::InvalidLabels, text)));
                }
                Err(error) => return Err(error),
            }
        }
        if self.version == Version::V2 && series.has_histograms() && series.samples().next().is_some() {
            let name = self.name(series);
            let text = format!("series {name} has both samples and histograms, which remote write 2.0 rules out");
            return Ok(Some((Discard::MixedSamples, text)));
        }
        if known {
            return Ok(None);
        }
        add(&self.rules.meters.labels_checked, 1);
        let complaint = check_series(series.labels(), &mut self.pairs, self.rules.admitted.limits())?;
        if complaint.is_none() {
            self.rules.known.insert(self.scope, series.key());
        }
        Ok(complaint)
    }

    fn cut(&mut self, series: u32, kind: Kind, sample: usize, discard: Discard, text: String) {
        self.cuts.push(Refused { series, kind, sample: sample as u32 });
        self.refused.add(discard, 1, || text);
    }

    fn cut_time(&mut self, at: u32, kind: Kind, place: usize, series: &TimeSeries<'_>, time: i64) {
        let discard = if time > self.rules.times.max { Discard::TooNew } else { Discard::TooOld };
        self.cut(at, kind, place, discard, self.complain_time(series, time));
    }

    #[cold]
    fn complain_time(&self, series: &TimeSeries<'_>, time: i64) -> String {
        // Only the first text is told, and a whole push may be late.
        if !self.refused.is_empty() {
            return String::new();
        }
        let (name, limits) = (self.name(series), self.rules.admitted.limits());
        if time > self.rules.times.max {
            let grace = limits.creation_grace.unwrap_or_default().as_secs_f64();
            return format!(
                "a sample of series {name} at {time} ms is more than {grace} s from now (limits.creation_grace)"
            );
        }
        let age = limits.reject_old.unwrap_or_default().as_secs_f64();
        format!("a sample of series {name} at {time} ms is more than {age} s old (limits.reject_old)")
    }

    fn name(&self, series: &TimeSeries<'_>) -> String {
        name_of(&series.labels().map_while(Result::ok).collect::<Vec<_>>())
    }
}
