//! Metrics of a Kubernetes cluster: cAdvisor's of each node and Traefik's of each instance, by remote write.
//!
//! A lane is one scrape target, a body one scrape of it: every series has one sample, all at the same time. Values are
//! a pure function of seed, tenant, series and scrape, so each can be checked when it is read back.

mod series;
mod target;

use crate::corpus::{Body, Place};
use crate::draft::{Draft, Hole, fill_varint};
use crate::seed::hash;
use crate::template::Template;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
pub use target::{Series, Target};

/// A target exposes about this many series.
const TARGET_SIZE: u32 = 1000;

/// Templates to keep of each target: tenants may be some scrapes apart.
const KEPT: usize = 4;

/// Makes bodies of metrics.
pub struct Metrics {
    seed: u64,
    churn: f64,
    rw2: bool,
    targets: Vec<Target>,
    templates: Vec<Mutex<Vec<Arc<Compressed>>>>,
}

/// A target's scrape with the pods of one moment.
struct Compressed {
    generations: Vec<u32>,
    template: Template,
}

impl Metrics {
    /// `churn` is the share of the pods that are replaced at each scrape.
    pub fn new(seed: u64, series: u32, churn: f64, rw2: bool) -> Metrics {
        Metrics::with_targets(seed, series, series.div_ceil(TARGET_SIZE), churn, rw2)
    }

    /// `new`, with the series shared by so many targets.
    pub fn with_targets(seed: u64, series: u32, count: u32, churn: f64, rw2: bool) -> Metrics {
        let size = |lane: u32| series / count + u32::from(lane < series % count);
        let targets: Vec<Target> = (0..count).map(|lane| Target::new(seed, lane, size(lane))).collect();
        let templates = targets.iter().map(|_| Mutex::default()).collect();
        Metrics { seed, churn, rw2, targets, templates }
    }

    pub fn lanes(&self) -> u32 {
        self.targets.len() as u32
    }

    pub fn series(&self, lane: u32) -> u32 {
        self.targets[lane as usize].series.len() as u32
    }

    pub fn rw2(&self) -> bool {
        self.rw2
    }

    /// Selects the series of one lane.
    pub fn selector(&self, lane: u32) -> String {
        let target = &self.targets[lane as usize];
        format!("{{instance=\"{}\", job=\"{}\"}}", target.instance, target.job)
    }

    /// Unix ms: now, and at least two after `last`.
    pub fn base(&self, now: i64, last: Option<i64>) -> i64 {
        (now / 1_000_000).max(last.map_or(i64::MIN, |last| last + 2))
    }

    pub fn body(&self, place: Place, base: i64) -> Body {
        let target = &self.targets[place.lane as usize];
        let compressed = self.compressed(place, target);
        let payload = compressed.template.fill(|hole, slot| {
            let value = self.value(place, &target.series[hole.row as usize]);
            fill_sample(slot, value, base);
        });
        Body { rows: target.series.len() as u32, raw_len: compressed.template.raw_len, payload }
    }

    /// One body with some scrapes of a target, the series' samples side by side, to be filled in by [`Metrics::past`].
    pub fn past_template(&self, lane: u32, scrapes: u32) -> Template {
        let target = &self.targets[lane as usize];
        let labelled = target.series.iter().map(|series| (series, target.labels(self.seed, series, 0)));
        Template::new(&draft_v1(labelled, scrapes as usize))
    }

    /// The scrapes of a lane from number `first` on, the first of them at `base` and the others every `step` (ms).
    pub fn past(&self, template: &Template, lane: u32, scrapes: u32, first: u32, base: i64, step: i64) -> Body {
        let target = &self.targets[lane as usize];
        let payload = template.fill(|hole, slot| {
            let (series, at) = (hole.row / scrapes, hole.row % scrapes);
            let place = Place { tenant: 0, lane, number: first + at };
            let value = self.value(place, &target.series[series as usize]);
            fill_sample(slot, value, base + step * i64::from(at));
        });
        Body { rows: target.series.len() as u32 * scrapes, raw_len: template.raw_len, payload }
    }

    /// The label sets of a lane in scrapes `from..=to`, written as [`canonical`] does, each with its series and the
    /// generation of its pod.
    pub fn known(&self, lane: u32, from: u32, to: u32) -> HashMap<String, (u32, u32)> {
        let target = &self.targets[lane as usize];
        let mut known = HashMap::new();
        for (number, series) in target.series.iter().enumerate() {
            for generation in self.generation(series, from)..=self.generation(series, to) {
                let labels = target.labels(self.seed, series, generation);
                let text = canonical(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                known.insert(text, (number as u32, generation));
            }
        }
        known
    }

    /// The value of a series at a scrape, if its pod then is of this generation.
    pub fn expected(&self, place: Place, series: u32, generation: u32) -> Option<f64> {
        let series = self.targets[place.lane as usize].series.get(series as usize)?;
        (self.generation(series, place.number) == generation).then(|| self.value(place, series))
    }

    fn value(&self, place: Place, series: &Series) -> f64 {
        let key = hash(&[self.seed, place.tenant.into(), series.key]);
        series.value(key, self.age(series, place.number))
    }

    /// Which pod in a row of successors the series is of. Each slot is due at another scrape.
    fn generation(&self, series: &Series, number: u32) -> u32 {
        series.pod.map_or(0, |pod| (f64::from(number) * self.churn + pod.phase) as u32)
    }

    /// Scrapes since the pod began.
    fn age(&self, series: &Series, number: u32) -> u64 {
        let Some(pod) = series.pod.filter(|_| self.churn > 0.0) else { return number.into() };
        let since = f64::from(number) * self.churn + pod.phase;
        (since.fract() / self.churn) as u64
    }

    fn compressed(&self, place: Place, target: &Target) -> Arc<Compressed> {
        let generations: Vec<u32> =
            target.first_of_pod.iter().map(|at| self.generation(&target.series[*at], place.number)).collect();
        let kept = &self.templates[place.lane as usize];
        let find = |kept: &[Arc<Compressed>]| kept.iter().find(|known| known.generations == generations).cloned();
        if let Some(known) = find(&kept.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let draft = self.draft(place, target);
        let made = Arc::new(Compressed { generations, template: Template::new(&draft) });
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Arc::clone(&made));
        made
    }

    fn draft(&self, place: Place, target: &Target) -> Draft {
        let labelled = target
            .series
            .iter()
            .map(|series| (series, target.labels(self.seed, series, self.generation(series, place.number))));
        if self.rw2 { draft_v2(labelled) } else { draft_v1(labelled, 1) }
    }
}

type Labels = Vec<(String, String)>;

/// One text for one label set: sorted by name.
pub fn canonical<'a>(sorted: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::with_capacity(256);
    for (name, value) in sorted {
        text.extend([name, "\u{1}", value, "\u{2}"]);
    }
    text
}

/// `WriteRequest{timeseries=1{labels=1{name=1, value=2}, samples=2{value=1 double, timestamp=2}}}`, with so many samples
/// of each series.
fn draft_v1<'a>(labelled: impl Iterator<Item = (&'a Series, Labels)>, samples: usize) -> Draft {
    let mut body = Draft::default();
    for (row, (_, labels)) in labelled.enumerate() {
        let mut message = Draft::default();
        for (name, value) in &labels {
            let mut label = Draft::default();
            label.string(1, name);
            label.string(2, value);
            message.message(1, &label);
        }
        for at in 0..samples {
            message.message(2, &sample(row * samples + at));
        }
        body.message(1, &message);
    }
    body
}

/// `Request{symbols=4, timeseries=5{labels_refs=1 packed, samples=2{value=1, timestamp=2}, metadata=5{type=1, help_ref=3}}}`;
/// the symbols come first, the first of them is empty.
fn draft_v2<'a>(labelled: impl Iterator<Item = (&'a Series, Labels)>) -> Draft {
    let mut symbols: Vec<String> = vec![String::new()];
    let mut numbers: HashMap<String, u64> = HashMap::new();
    let mut number = |text: &str| {
        *numbers.entry(text.to_owned()).or_insert_with(|| {
            symbols.push(text.to_owned());
            symbols.len() as u64 - 1
        })
    };
    let mut series_part = Draft::default();
    for (row, (series, labels)) in labelled.enumerate() {
        let mut refs = Draft::default();
        for (name, value) in &labels {
            refs.varint(number(name));
            refs.varint(number(value));
        }
        let mut metadata = Draft::default();
        metadata.number(1, series.kind.code());
        metadata.number(3, number(series.help()));
        let mut message = Draft::default();
        message.message(1, &refs);
        message.message(2, &sample(row));
        message.message(5, &metadata);
        series_part.message(5, &message);
    }
    let mut body = Draft::default();
    for symbol in &symbols {
        body.string(4, symbol);
    }
    let start = body.bytes.len() as u32;
    body.holes.extend(series_part.holes.iter().map(|hole| Hole { at: hole.at + start, ..*hole }));
    body.raw(&series_part.bytes);
    body
}

/// A sample whose value and time are one hole, the tag between them included.
fn sample(row: usize) -> Draft {
    let mut sample = Draft::default();
    sample.raw(&[1 << 3 | 1]);
    sample.hole(row as u32, 0, 8 + 1 + 6);
    sample
}

fn fill_sample(slot: &mut [u8], value: f64, time: i64) {
    slot[..8].copy_from_slice(&value.to_le_bytes());
    slot[8] = 2 << 3;
    fill_varint(time as u64, &mut slot[9..]);
}

#[cfg(test)]
mod tests;
