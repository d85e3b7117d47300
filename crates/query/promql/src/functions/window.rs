//! A window of samples, and what functions remark about it.

use eval::{histogram::Native, note::of_metric};
use std::sync::Arc;

/// The samples of one series in one window. Floats and histograms apart, both ascending, no time twice.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Milliseconds.
    pub times: &'a [i64],
    /// How many floats of the series come before these.
    pub offset: usize,
    pub values: &'a [f64],
    /// Start timestamps, one for each of `times`, 0 where there is none; or empty.
    pub starts: &'a [i64],
    /// What was before each value that is less than the one before it, where that is known.
    pub drops: Option<&'a [f64]>,
    pub histograms: &'a [HistogramPoint],
    /// The window is what comes after this, in milliseconds …
    pub start: i64,
    /// … up to and including this.
    pub end: i64,
}

#[derive(Debug, Clone)]
pub struct HistogramPoint {
    pub time: i64,
    /// 0: none.
    pub start: i64,
    pub value: Arc<Native>,
}

/// One sample of either kind.
#[derive(Debug, Clone, Copy)]
pub enum Point<'a> {
    Float(f64),
    Histogram(&'a Arc<Native>),
}

impl<'a> Window<'a> {
    pub fn len(&self) -> usize {
        self.times.len() + self.histograms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first sample: time, start time, value.
    pub fn first(&self) -> Option<(i64, i64, Point<'a>)> {
        self.points_from(0, 0).next()
    }

    pub fn last(&self) -> Option<(i64, i64, Point<'a>)> {
        let (floats, histograms) = (self.times.len().saturating_sub(1), self.histograms.len().saturating_sub(1));
        let mut points = self.points_from(floats, histograms);
        let last = points.next();
        points.next().or(last)
    }

    /// The last two samples, when there are as many.
    pub fn last_two(&self) -> Option<[(i64, i64, Point<'a>); 2]> {
        let (floats, histograms) = (self.times.len().saturating_sub(2), self.histograms.len().saturating_sub(2));
        let mut found = None;
        let mut before = None;
        for point in self.points_from(floats, histograms) {
            found = before.map(|before| [before, point]);
            before = Some(point);
        }
        found
    }

    /// All samples in the order of time: time, start time, value.
    pub fn points(&self) -> impl Iterator<Item = (i64, i64, Point<'a>)> + use<'a> {
        self.points_from(0, 0)
    }

    /// The samples without the first ones of each kind, in the order of time.
    fn points_from(
        &self,
        mut floats: usize,
        mut histograms: usize,
    ) -> impl Iterator<Item = (i64, i64, Point<'a>)> + use<'a> {
        let window = *self;
        std::iter::from_fn(move || {
            let float = window.times.get(floats);
            let histogram = window.histograms.get(histograms);
            if float.is_some_and(|t| histogram.is_none_or(|h| *t < h.time)) {
                let at = floats;
                floats += 1;
                let start = window.starts.get(at).copied().unwrap_or(0);
                return Some((window.times[at], start, Point::Float(window.values[at])));
            }
            let histogram = histogram?;
            histograms += 1;
            Some((histogram.time, histogram.start, Point::Histogram(&histogram.value)))
        })
    }

    pub fn is_mixed(&self) -> bool {
        !self.times.is_empty() && !self.histograms.is_empty()
    }
}

/// Collects what a function remarks about the data of one series.
pub struct Remarks<'a> {
    /// The name of the series.
    pub metric: &'a str,
    pub texts: Vec<Remark>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub is_info: bool,
    pub text: String,
}

pub const MIXED: &str = "encountered a mix of histograms and floats";
pub const MIXED_SCHEMAS: &str = "vector contains a mix of histograms with exponential and custom buckets schemas";
pub const IGNORED_IN_MIX: &str = "ignored histograms in a range containing both floats and histograms";

impl<'a> Remarks<'a> {
    pub fn new(metric: &'a str) -> Remarks<'a> {
        Remarks { metric, texts: Vec::new() }
    }

    fn push(&mut self, remark: Remark) {
        if !self.texts.contains(&remark) {
            self.texts.push(remark);
        }
    }

    pub fn warn(&mut self, text: impl Into<String>) {
        self.push(Remark { is_info: false, text: text.into() });
    }

    pub fn inform(&mut self, text: impl Into<String>) {
        self.push(Remark { is_info: true, text: text.into() });
    }

    /// A warning that ends with the metric's name.
    pub fn warn_of(&mut self, text: &str) {
        self.warn(of_metric(text, self.metric));
    }

    pub fn inform_of(&mut self, text: &str) {
        self.inform(of_metric(text, self.metric));
    }

    pub fn not_counter(&mut self) {
        self.warn(format!("this native histogram metric is not a counter: {:?}", self.metric));
    }

    pub fn not_gauge(&mut self) {
        self.warn(format!("this native histogram metric is not a gauge: {:?}", self.metric));
    }

    pub fn reconciled(&mut self, during: &'static str) {
        self.inform(eval::note::Note::BoundsReconciled { during }.text());
    }
}
