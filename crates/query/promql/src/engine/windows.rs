//! Range selectors and subqueries: series with a window of samples at each step.

use crate::{
    ast::{Edges, Expr, Kind, Shift},
    engine::{Engine, layout::Layout, selector::is_stale},
    functions::{
        rate::Difference,
        window::{HistogramPoint, Window},
    },
};
use eval::{
    EvalError,
    column::{Cell, Column, Grid, is_absent},
    histogram::Native,
    value::SeriesPoints,
};
use model::{Labels, Series, TimeRange, Times, histogram::ResetHint};
use std::{cell::RefCell, ops::Range, rc::Rc, sync::Arc};

/// The samples of one series, stale markers left out.
pub(super) struct Samples {
    times: Times,
    values: Vec<f64>,
    starts: Vec<i64>,
    /// The places of values that are less than the one before, and what was before each: where counters were reset.
    drops: (Vec<usize>, Vec<f64>),
    histograms: Vec<HistogramPoint>,
}

impl Samples {
    /// Takes the samples as they are; only stale markers make it copy.
    pub(super) fn of(series: Series) -> Samples {
        let Series { mut times, mut values, mut starts, histograms, .. } = series;
        // Most series have none: looked at without branches, many at once.
        if values.iter().fold(false, |found, value| found | is_absent(*value)) {
            let live: Vec<bool> = values.iter().map(|value| !is_absent(*value)).collect();
            retain(times.own(), &live);
            retain(&mut values, &live);
            retain(&mut starts, &live);
        }
        let histograms = histograms.iter().filter(|h| !is_stale(&h.value));
        let histograms = histograms
            .map(|h| HistogramPoint { time: h.time, start: h.start, value: Arc::new(Native::from_model(&h.value)) })
            .collect();
        Samples { times, values, starts, drops: Default::default(), histograms }.with_drops()
    }

    fn with_drops(mut self) -> Samples {
        if !self.values.windows(2).fold(false, |found, pair| found | (pair[1] < pair[0])) {
            return self;
        }
        for (before, pair) in self.values.windows(2).enumerate() {
            if pair[1] < pair[0] {
                self.drops.0.push(before + 1);
                self.drops.1.push(pair[0]);
            }
        }
        self
    }

    /// The cells of a subquery's column, as if they were samples.
    fn of_column(column: &Column, grid: Grid) -> Samples {
        let (times, values, starts, histograms) = Default::default();
        let mut samples = Samples { times, values, starts, drops: Default::default(), histograms };
        for step in 0..grid.steps {
            match column.get(step) {
                Cell::Absent => {}
                Cell::Float(value) => {
                    samples.times.push(grid.time(step));
                    samples.values.push(value);
                }
                Cell::Histogram(histogram) => {
                    let value = without_hint(histogram, samples.histograms.last().map(|h| &h.value), column, step);
                    samples.histograms.push(HistogramPoint { time: grid.time(step), start: 0, value });
                }
            }
        }
        samples.with_drops()
    }

    /// Everything, as one window.
    pub(super) fn all(&self) -> Window<'_> {
        let drops = 0..self.drops.0.len();
        self.window(0..self.times.len(), drops, 0..self.histograms.len(), (i64::MIN, i64::MAX))
    }

    fn window(
        &self,
        floats: Range<usize>,
        drops: Range<usize>,
        histograms: Range<usize>,
        bounds: (i64, i64),
    ) -> Window<'_> {
        Window {
            times: &self.times[floats.clone()],
            offset: floats.start,
            values: &self.values[floats.clone()],
            starts: if self.starts.is_empty() { &[] } else { &self.starts[floats] },
            drops: Some(&self.drops.1[drops]),
            histograms: &self.histograms[histograms],
            start: bounds.0,
            end: bounds.1,
        }
    }
}

/// Keeps the elements whose place says so; an empty vector stays empty.
fn retain<T>(all: &mut Vec<T>, keep: &[bool]) {
    let mut places = keep.iter();
    all.retain(|_| places.next().copied().unwrap_or(false));
}

/// A subquery repeats and skips samples, so what one says about the sample before it no longer holds.
fn without_hint(histogram: &Arc<Native>, last: Option<&Arc<Native>>, column: &Column, step: usize) -> Arc<Native> {
    if !matches!(histogram.reset, ResetHint::Yes | ResetHint::No) {
        return Arc::clone(histogram);
    }
    let repeated =
        step > 0 && matches!(column.get(step - 1), Cell::Histogram(before) if Arc::ptr_eq(before, histogram));
    match last {
        Some(last) if repeated => Arc::clone(last),
        _ => Arc::new(Native { reset: ResetHint::Unknown, ..Native::clone(histogram) }),
    }
}

/// One series of a range vector.
pub(super) struct RangeSeries<'a> {
    pub labels: Labels,
    pub drop_name: bool,
    samples: Samples,
    spec: &'a RangeSpec,
    grid: Grid,
}

/// Where the windows of a range vector lie.
pub(super) struct RangeSpec {
    /// Length in milliseconds.
    pub range: i64,
    pub edges: Edges,
    /// The end of the first step's window.
    end: i64,
    /// All steps look at the same window.
    pub fixed: bool,
    lookback: i64,
    /// That of the series before.
    layout: RefCell<Option<Rc<Layout>>>,
}

impl RangeSpec {
    /// How far windows reach beyond their borders, for extended edges.
    fn margins(&self) -> (i64, i64) {
        match self.edges {
            Edges::Plain => (0, 0),
            Edges::Anchored => (self.lookback, 0),
            Edges::Smoothed => (self.lookback, self.lookback),
        }
    }

    /// The times of all samples of a grid that has steps.
    pub(super) fn reads(&self, grid: Grid) -> TimeRange {
        let (before, after) = self.margins();
        let first = self.end(grid, 0).saturating_sub(self.range).saturating_sub(before).saturating_add(1);
        TimeRange::new(first, self.end(grid, grid.steps - 1).saturating_add(after))
    }

    /// Where windows lie in a series with these times.
    fn layout(&self, times: &Times, grid: Grid) -> Rc<Layout> {
        let mut known = self.layout.borrow_mut();
        match &*known {
            Some(layout) if layout.times() == times => Rc::clone(layout),
            _ => {
                let ends = (0..grid.steps).map(|step| self.end(grid, step));
                let layout = Rc::new(Layout::new(times, self.range, self.margins(), ends));
                *known = Some(Rc::clone(&layout));
                layout
            }
        }
    }

    fn end(&self, grid: Grid, step: usize) -> i64 {
        if self.fixed { self.end } else { self.end + (grid.time(step) - grid.start) }
    }
}

impl RangeSeries<'_> {
    /// Whether every step has the same window.
    pub(super) fn is_fixed(&self) -> bool {
        self.spec.fixed
    }

    /// What `rate` and its like give at each step, of a series that has floats only.
    pub(super) fn differences(&self, how: Difference) -> Option<Vec<f64>> {
        let samples = &self.samples;
        let plain = self.spec.edges == Edges::Plain && samples.histograms.is_empty();
        if !plain || how.starts && !samples.starts.is_empty() {
            return None;
        }
        let layout = self.spec.layout(&samples.times, self.grid);
        let drops = how.counter.then_some((&samples.drops.0[..], &samples.drops.1[..]));
        Some(layout.differences(&samples.values, drops.unwrap_or_default(), how))
    }

    /// Calls `each` with the window of every step: samples after its start up to and including its end. Windows with
    /// extended edges also hold what lies around them within the lookback.
    pub(super) fn each(&self, mut each: impl FnMut(usize, Window<'_>)) {
        let (before, after) = self.spec.margins();
        let samples = &self.samples;
        let layout = self.spec.layout(&samples.times, self.grid);
        let (mut drops, mut histograms) = (0..0, 0..0);
        for step in 0..self.grid.steps {
            let end = self.spec.end(self.grid, step);
            let start = end.saturating_sub(self.spec.range);
            let (low, high) = (start.saturating_sub(before), end.saturating_add(after));
            let floats = layout.window(step);
            advance(&mut histograms, samples.histograms.len(), |i| samples.histograms[i].time, low, high);
            // A drop is within the window when both of its samples are.
            let places = &samples.drops.0;
            while drops.end < places.len() && places[drops.end] < floats.end {
                drops.end += 1;
            }
            while drops.start < drops.end && places[drops.start] <= floats.start {
                drops.start += 1;
            }
            each(step, samples.window(floats, drops.clone(), histograms.clone(), (start, end)));
        }
    }
}

/// Moves a range of indexes so that it holds the times in `(low, high]`; both only grow from call to call.
pub(super) fn advance(range: &mut Range<usize>, len: usize, time: impl Fn(usize) -> i64, low: i64, high: i64) {
    while range.end < len && time(range.end) <= high {
        range.end += 1;
    }
    while range.start < range.end && time(range.start) <= low {
        range.start += 1;
    }
}

impl Engine<'_> {
    pub(super) fn spec(&self, shift: &Shift, range: i64, edges: Edges, grid: Grid) -> Result<RangeSpec, EvalError> {
        let end = self.shifted(shift, grid.start)?;
        let (lookback, layout) = (self.lookback, RefCell::default());
        Ok(RangeSpec { range, edges, end, fixed: shift.at.is_some(), lookback, layout })
    }

    /// Each series of a range vector.
    pub(super) fn windows(
        &self,
        arg: &Expr,
        grid: Grid,
        each: &mut dyn FnMut(RangeSeries<'_>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        if grid.steps == 0 {
            return Ok(());
        }
        match &arg.inner().kind {
            Kind::Range(selector, range) => {
                let spec = self.spec(&selector.shift, self.positive_millis(range)?, selector.edges, grid)?;
                self.select(&selector.matchers, spec.reads(grid), &mut |series| {
                    let labels = series.labels();
                    let series =
                        RangeSeries { labels, drop_name: false, samples: Samples::of(series), spec: &spec, grid };
                    self.count_windows(&series, grid);
                    each(series)
                })
            }
            Kind::Subquery(subquery) => {
                let spec = self.spec(&subquery.shift, self.positive_millis(&subquery.range)?, Edges::Plain, grid)?;
                let inner = self.subquery_grid(subquery, &spec, grid)?;
                // The samples that are made of a column.
                let size = inner.steps.saturating_mul(16);
                self.subquery_series(&subquery.expr, inner, &mut |column| {
                    self.budget.charge(size)?;
                    let samples = Samples::of_column(&column, inner);
                    let (labels, drop_name) = (column.labels, column.drop_name);
                    let series = RangeSeries { labels, drop_name, samples, spec: &spec, grid };
                    self.count_windows(&series, grid);
                    let outcome = each(series);
                    self.budget.release(size);
                    outcome
                })
            }
            _ => Err(EvalError::execution(format!("a {} where a range vector is needed", arg.kind_type().name()))),
        }
    }

    /// The first and last time at which a subquery's windows can have a sample: `(after, through]`.
    pub(super) fn reach(spec: &RangeSpec, grid: Grid) -> (i64, i64) {
        (spec.end(grid, 0).saturating_sub(spec.range), spec.end(grid, grid.steps.saturating_sub(1)))
    }

    /// A range vector as the answer of a query: the samples of its window.
    pub(super) fn raw(&self, expr: &Expr, grid: Grid) -> Result<Vec<SeriesPoints>, EvalError> {
        let mut out: Vec<SeriesPoints> = Vec::new();
        self.windows(expr, grid, &mut |series| {
            let labels = match series.drop_name {
                true => series.labels.without(eval::aggregate::is_reserved),
                false => series.labels.clone(),
            };
            let mut points = SeriesPoints { labels: Some(labels), ..SeriesPoints::default() };
            series.each(|_, window| {
                points.points.extend(window.times.iter().copied().zip(window.values.iter().copied()));
                points.histograms.extend(window.histograms.iter().map(|h| (h.time, Arc::new(h.value.to_model()))));
            });
            if !points.points.is_empty() || !points.histograms.is_empty() {
                self.budget.charge(16 * points.points.len() + 200 * points.histograms.len() + 128)?;
                out.push(points);
            }
            Ok(())
        })?;
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        if out.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
            return Err(EvalError::execution("vector cannot contain metrics with the same labelset"));
        }
        Ok(out)
    }
}
