//! Checks a remote write: labels, histograms and times. Bad samples and series are left out, and the tenant's rules change
//! labels (`limits.relabel`); the rest stays as it came.

use crate::checked::{Checked, Refusals, Rules, SeriesRows, Written};
use crate::discard::Discard;
use crate::error::PushError;
use crate::known::Scope;
use crate::labels::{Complaint, check_series, name_of, read_series};
use crate::meters::add;
use crate::translate::too_large;
use bytes::Bytes;
use model::TimeRange;
use std::collections::BTreeMap;
use tenancy::{LabelPair, Relabeled};
use wire::error::DecodeError;
use wire::prometheus::{Kind, Refused, TimeSeries, Version, metadata, relabel, series, without};

/// A series of more labels than this is refused before rules look at it.
const MOST_LABELS: usize = 1000;

struct Walk<'r, 'a> {
    rules: &'r Rules<'r>,
    scope: Scope,
    version: Version,
    pairs: Vec<(&'a str, &'a str)>,
    cuts: Vec<Refused>,
    /// Labels that rules have made, by the series' places.
    changes: BTreeMap<u32, Vec<LabelPair<'a>>>,
    /// Bytes of these.
    changed: usize,
    refused: Refusals,
    series: Vec<SeriesRows>,
    written: Written,
}

/// What is found out about a series.
enum Found {
    Good,
    Bad(Discard, String),
    /// A rule leaves it out.
    LeftOut,
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
        changes: BTreeMap::new(),
        changed: 0,
        refused: Refusals::default(),
        series: Vec::new(),
        written: Written::default(),
    };
    walk.all(series(&body, version)).map_err(|error| too_large(error, rules.admitted))?;
    let families = metadata(&body, version).try_fold(0u64, |count, item| item.map(|_| count + 1));
    let families = families.map_err(PushError::Body)?;
    let Walk { cuts, changes, refused, mut series, mut written, .. } = walk;
    let rows = written.samples + written.histograms;
    // For a sender of 2.0 what rules leave out went well.
    written.samples += refused.left_out;
    let limit = limits.max_push_inflated.as_usize();
    let relabeled = match changes.is_empty() {
        true => None,
        false => Some(relabel(&body, version, &changes, limit).map_err(|error| too_large(error, rules.admitted))?),
    };
    drop(changes);
    let is_changed = relabeled.is_some();
    let (mut body, mut payload) = (relabeled.unwrap_or(body), payload.filter(|_| !is_changed));
    if !cuts.is_empty() {
        (body, payload) = (without(&body, version, &cuts), None);
    }
    if is_changed {
        for (rows, series) in series.iter_mut().zip(wire::prometheus::series(&body, version)) {
            rows.key = series.map_err(PushError::Body)?.key();
        }
    }
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
        let found = match self.complain(series)? {
            None if !known => self.learn(at, series)?,
            None => Found::Good,
            Some((discard, text)) => Found::Bad(discard, text),
        };
        if let Found::LeftOut = found {
            self.cuts.push(Refused { series: at, kind: Kind::Series, sample: 0 });
            self.refused.left_out += (series.samples().count() + series.histograms().count()) as u64;
            return Ok(());
        }
        if let Found::Bad(discard, text) = found {
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

    /// What is wrong with a series beside its labels, if anything is.
    fn complain(&self, series: &TimeSeries<'a>) -> Result<Complaint, DecodeError> {
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
        Ok(None)
    }

    /// Looks at the labels of a series that is not known to be good as it is. What is found is remembered, but for labels
    /// that rules change: those must be made anew in any case.
    fn learn(&mut self, at: u32, series: &TimeSeries<'a>) -> Result<Found, DecodeError> {
        let limits = self.rules.admitted.limits();
        let has_rules = !limits.relabel.is_empty();
        if has_rules && self.rules.known.contains(self.scope.left_out(), series.key()) {
            return Ok(Found::LeftOut);
        }
        add(&self.rules.meters.labels_checked, 1);
        if let Some((discard, text)) = read_series(series.labels(), &mut self.pairs)? {
            return Ok(Found::Bad(discard, text));
        }
        if has_rules && self.pairs.len() > MOST_LABELS {
            let (name, count) = (name_of(&self.pairs), self.pairs.len());
            let text =
                format!("series {name} has {count} labels, rules look at {MOST_LABELS} at most (limits.relabel)");
            return Ok(Found::Bad(Discard::TooManyLabels, text));
        }
        let complaint = match if has_rules { limits.relabel.apply(&self.pairs) } else { Relabeled::Same } {
            Relabeled::Dropped => {
                self.rules.known.insert(self.scope.left_out(), series.key());
                return Ok(Found::LeftOut);
            }
            Relabeled::Same => {
                let complaint = check_series(&self.pairs, limits);
                if complaint.is_none() {
                    self.rules.known.insert(self.scope, series.key());
                }
                complaint
            }
            Relabeled::Changed(labels) => {
                let pairs: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
                let complaint = check_series(&pairs, limits);
                if complaint.is_none() {
                    self.change(at, labels)?;
                }
                complaint
            }
        };
        Ok(complaint.map_or(Found::Good, |(discard, text)| Found::Bad(discard, text)))
    }

    /// Keeps labels for the body that is written in the end.
    fn change(&mut self, at: u32, labels: Vec<LabelPair<'a>>) -> Result<(), DecodeError> {
        self.changed += labels.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        self.changes.insert(at, labels);
        let limit = self.rules.admitted.limits().max_push_inflated.as_usize();
        match self.changed > limit {
            true => Err(DecodeError::TooLarge { len: self.changed, limit }),
            false => Ok(()),
        }
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
