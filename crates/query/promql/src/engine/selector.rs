//! Instant selectors: which sample stands for a series at each step.

use crate::{
    ast::{At, Edges, Selector, Shift, Span},
    engine::{Engine, Sink},
};
use eval::{
    EvalError,
    column::{Column, Grid, is_absent},
    histogram::Native,
};
use model::{Histogram, Matcher, Series, TimeRange, histogram::ResetHint};
use std::sync::Arc;

/// When the sample that stands for a series was taken, or what it says about its start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Value,
    /// Seconds since 1970.
    Time,
    /// Seconds since 1970, 0 when the sample has none.
    StartTime,
}

/// Whether a histogram sample marks the end of its series.
pub(super) fn is_stale(histogram: &Histogram) -> bool {
    is_absent(histogram.sum)
}

impl Engine<'_> {
    /// The time at which a shifted selector looks, for a step at `time`.
    pub(super) fn shifted(&self, shift: &Shift, time: i64) -> Result<i64, EvalError> {
        let offset = shift.offset.as_ref().map_or(Ok(0), |span| self.millis(span))?;
        let base = match shift.at {
            None => time,
            Some(At::Time(at)) => at,
            Some(At::Start) => self.query.start,
            Some(At::End) => self.query.end,
        };
        Ok(base.saturating_sub(offset))
    }

    /// The times of all samples that a selector, or a range selector, needs for a grid that has steps.
    pub(super) fn reads(&self, selector: &Selector, range: Option<&Span>, grid: Grid) -> Result<TimeRange, EvalError> {
        if let Some(range) = range {
            let spec = self.spec(&selector.shift, self.positive_millis(range)?, selector.edges, grid)?;
            return Ok(spec.reads(grid));
        }
        let (first, last) = (self.shifted(&selector.shift, grid.start)?, self.shifted(&selector.shift, grid.end())?);
        let after = if selector.edges == Edges::Smoothed { self.lookback } else { 0 };
        Ok(TimeRange::new(first.saturating_sub(self.lookback).saturating_add(1), last.saturating_add(after)))
    }

    /// The same with what is needed to find out whether counters were reset.
    pub(super) fn with_hints(&self, range: TimeRange) -> TimeRange {
        let before = if self.hints.get() { self.lookback } else { 0 };
        TimeRange::new(range.min.saturating_sub(before), range.max)
    }

    /// Each matching series with its samples in `range`, charged while it is looked at.
    pub(super) fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        each: &mut dyn FnMut(Series) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let hints = self.hints.get();
        for series in self.source.select(matchers, self.with_hints(range))? {
            self.budget.tick()?;
            let mut series = series?;
            if hints {
                find_resets(&mut series);
            }
            let size = series.size();
            self.budget.charge(size)?;
            each(series)?;
            self.budget.release(size);
        }
        Ok(())
    }

    pub(super) fn instants(&self, selector: &Selector, grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        if selector.edges == Edges::Smoothed {
            return self.smoothed_instants(selector, grid, sink);
        }
        self.instants_of(selector, grid, What::Value, sink)
    }

    /// One column for each series: the newest sample of the lookback before each step, unless it ends the series.
    pub(super) fn instants_of(
        &self,
        selector: &Selector,
        grid: Grid,
        what: What,
        sink: Sink<'_>,
    ) -> Result<(), EvalError> {
        if grid.steps == 0 {
            return Ok(());
        }
        let (first, fixed) = (self.shifted(&selector.shift, grid.start)?, selector.shift.at.is_some());
        let range = self.reads(selector, None, grid)?;
        let cells = grid.steps * 8;
        self.select(&selector.matchers, range, &mut |series| {
            self.budget.charge(cells)?;
            let mut column = Column::new(series.labels(), grid.steps);
            let mut picker = Picker::new(&series, self.lookback);
            if what == What::Value && !fixed && series.histograms.is_empty() {
                pick_floats(&series, first, self.lookback, grid, &mut column);
                self.count_instants(&column, what, grid);
                let outcome = if column.is_empty() { Ok(()) } else { sink(column) };
                self.budget.release(cells);
                return outcome;
            }
            for step in 0..grid.steps {
                let time = if fixed { first } else { first + (grid.time(step) - grid.start) };
                picker.put(time, step, what, &mut column);
            }
            self.count_instants(&column, what, grid);
            let outcome = if column.is_empty() { Ok(()) } else { sink(column) };
            self.budget.release(cells);
            outcome
        })
    }

    /// `selector smoothed`: the line between the sample before and the one after a step.
    fn smoothed_instants(&self, selector: &Selector, grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        if grid.steps == 0 {
            return Ok(());
        }
        let (first, fixed) = (self.shifted(&selector.shift, grid.start)?, selector.shift.at.is_some());
        let range = self.reads(selector, None, grid)?;
        self.select(&selector.matchers, range, &mut |series| {
            let mut column = Column::new(series.labels(), grid.steps);
            let samples = super::windows::Samples::of(series);
            for step in 0..grid.steps {
                let time = if fixed { first } else { first + (grid.time(step) - grid.start) };
                let outcome = crate::functions::extended::smoothed_value(&samples.all(), time, self.lookback);
                column.copy(step, outcome.as_cell());
            }
            self.count_instants(&column, What::Value, grid);
            if column.is_empty() { Ok(()) } else { sink(column) }
        })
    }
}

/// Sets the reset hints that samples do not have, from the sample before each.
fn find_resets(series: &mut Series) {
    let mut before: Option<Native> = None;
    for sample in &mut series.histograms {
        if is_stale(&sample.value) {
            continue;
        }
        let native = Native::from_model(&sample.value);
        if native.reset == ResetHint::Unknown
            && let Some(before) = &before
        {
            let reset = if native.is_reset_after(before) { ResetHint::Yes } else { ResetHint::No };
            Arc::make_mut(&mut sample.value).reset = reset;
        }
        before = Some(native);
    }
}

/// The newest float of the lookback before each step: what [`Picker`] does, for the most frequent case.
fn pick_floats(series: &Series, first: i64, lookback: i64, grid: Grid, column: &mut Column) {
    let (times, values) = (&series.times[..], &series.values[..]);
    let mut next = 0;
    for step in 0..grid.steps {
        let time = first + (grid.time(step) - grid.start);
        while times.get(next).is_some_and(|t| *t <= time) {
            next += 1;
        }
        // A stale marker has the bits of an absent cell.
        if next > 0 && times[next - 1] > time.saturating_sub(lookback) {
            column.set(step, values[next - 1]);
        }
    }
}

/// Walks the samples of a series along ascending times.
struct Picker<'s> {
    series: &'s Series,
    lookback: i64,
    /// How many floats and histograms are not after the current time.
    floats: usize,
    histograms: usize,
    /// The last histogram that was picked, in its working form.
    picked: Option<(i64, Arc<Native>)>,
}

impl<'s> Picker<'s> {
    fn new(series: &'s Series, lookback: i64) -> Picker<'s> {
        Picker { series, lookback, floats: 0, histograms: 0, picked: None }
    }

    fn put(&mut self, time: i64, step: usize, what: What, column: &mut Column) {
        let series = self.series;
        while series.times.get(self.floats).is_some_and(|t| *t <= time) {
            self.floats += 1;
        }
        while series.histograms.get(self.histograms).is_some_and(|h| h.time <= time) {
            self.histograms += 1;
        }
        let float = self.floats.checked_sub(1);
        let histogram = self.histograms.checked_sub(1).map(|at| &series.histograms[at]);
        let float_time = float.map_or(i64::MIN, |at| series.times[at]);
        let oldest = time.saturating_sub(self.lookback);
        if let Some(histogram) = histogram
            && histogram.time > float_time
        {
            if histogram.time <= oldest || is_stale(&histogram.value) {
                return;
            }
            match what {
                What::Time => column.set(step, histogram.time as f64 / 1000.0),
                What::StartTime => column.set(step, histogram.start as f64 / 1000.0),
                What::Value => {
                    let known = self.picked.as_ref().filter(|(time, _)| *time == histogram.time);
                    let native = match known {
                        Some((_, native)) => Arc::clone(native),
                        None => Arc::new(Native::from_model(&histogram.value)),
                    };
                    self.picked = Some((histogram.time, Arc::clone(&native)));
                    column.set_histogram(step, native);
                }
            }
            return;
        }
        let Some(at) = float else { return };
        if float_time <= oldest || is_absent(series.values[at]) {
            return;
        }
        column.set(
            step,
            match what {
                What::Value => series.values[at],
                What::Time => float_time as f64 / 1000.0,
                What::StartTime => series.starts.get(at).copied().unwrap_or(0) as f64 / 1000.0,
            },
        );
    }
}
