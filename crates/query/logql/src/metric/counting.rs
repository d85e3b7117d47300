//! Counts rows by series: of any run of the rows, and what came of several runs put together.

use super::accumulate::Accumulator;
use super::columns::Known;
use super::samples::Sampler;
use crate::ast::RangeAggregation;
use crate::error::Error;
use crate::options::Options;
use crate::row::Row;
use eval::budget::Budget;
use eval::column::Grid;
use eval::source::{Rows, Split, Visit};
use eval::threads;
use model::{Labels, LogPage, TimeRange};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// How the rows of one range aggregation are counted, on all threads.
#[derive(Clone, Copy)]
pub(super) struct Counting<'c> {
    pub grid: Grid,
    pub options: &'c Options,
    pub budget: &'c Budget<'c>,
    pub sampler: &'c Sampler<'c>,
    /// Those of the rows that are in any window.
    pub times: TimeRange,
}

/// The series met so far.
#[derive(Default)]
pub(super) struct SeriesSet {
    by_key: HashMap<Vec<u8>, usize>,
    pub series: Vec<(Labels, Accumulator)>,
    key: Vec<u8>,
    /// What was charged for it.
    charged: usize,
}

impl Counting<'_> {
    /// What comes of rows that are read in several runs, on as many threads as are idle.
    pub(super) fn on_runs(&self, split: Split<'_, Visit<'_>>) -> Result<SeriesSet, Error> {
        let mut all = SeriesSet::default();
        for set in threads::on_runs(&*self.options.spare, split, |visit| self.run(visit))? {
            self.add(set?, &mut all)?;
        }
        Ok(all)
    }

    /// What comes of a run of rows.
    pub(super) fn run(&self, visit: Visit<'_>) -> Result<SeriesSet, Error> {
        let (mut set, mut known, mut result) = (SeriesSet::default(), Known::default(), Ok(()));
        visit(&mut |rows| {
            result = self.budget.tick().map_err(Error::from).and_then(|()| match rows {
                Rows::Lines(page) => self.take_page(&page, &mut set),
                Rows::Shredded(part) => self.take_columns(part, &mut known, &mut set),
            });
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result.map(|()| set)
    }

    /// Adds what came of later rows.
    pub(super) fn add(&self, other: SeriesSet, set: &mut SeriesSet) -> Result<(), Error> {
        if set.series.is_empty() {
            self.budget.release(set.charged);
            *set = other;
            return Ok(());
        }
        self.budget.release(other.charged);
        other.series.into_iter().try_for_each(|(labels, accumulator)| self.add_series(&labels, accumulator, set))
    }

    /// Adds what came of later rows of a series.
    pub(super) fn add_series(&self, labels: &Labels, other: Accumulator, set: &mut SeriesSet) -> Result<(), Error> {
        let pairs: Vec<(&str, &str)> = labels.iter().collect();
        let series = self.series_of(&pairs, set)?;
        let more = set.series[series].1.merge(other);
        self.charge(more, set)
    }

    pub(super) fn charge(&self, bytes: usize, set: &mut SeriesSet) -> Result<(), Error> {
        self.budget.charge(bytes)?;
        set.charged += bytes;
        Ok(())
    }

    pub(super) fn take_page(&self, page: &LogPage, set: &mut SeriesSet) -> Result<(), Error> {
        let (sampler, times) = (self.sampler, self.times);
        let labels: Vec<(&str, &str)> = page.labels.iter().collect();
        let mut row = Row::new(&labels);
        // The series of rows whose labels are those of the page: most rows of most queries.
        let mut page_series: Option<usize> = None;
        let plain =
            sampler.pipeline.only_filters_lines() && sampler.aggregation.unwrap.is_none() && page.metadata.is_empty();
        let mut windows = self.windows();
        if plain && sampler.pipeline.is_empty() && !sampler.counts_bytes() {
            return self.take_times(page, &mut windows, set);
        }
        let rows = sampler.pipeline.candidates(page);
        for next in 0..rows.as_ref().map_or(page.len(), Vec::len) {
            let at = rows.as_ref().map_or(next, |rows| rows[next]);
            let time = page.times[at];
            if !times.contains(time) || !sampler.pipeline.passes_early(page, at) {
                continue;
            }
            let Some(steps) = windows.of(time) else { continue };
            let mut value = 1.0;
            if plain {
                if sampler.counts_bytes() {
                    value = page.line(at).len() as f64;
                }
            } else {
                row.load(page, at);
                match sampler.sample(&mut row)? {
                    Some(sample) => value = sample,
                    None => continue,
                }
            }
            let series = match page_series {
                Some(series) if plain || row.has_page_labels() => series,
                _ if plain || row.has_page_labels() => {
                    // Else it is as the stages left it: what they took from it must not come back.
                    if plain {
                        row.load(page, at);
                    }
                    let series = self.series(&row, set)?;
                    page_series = Some(series);
                    series
                }
                _ => self.series(&row, set)?,
            };
            if let Some(bytes) = set.add(series, time, value, steps) {
                self.charge(bytes, set)?;
            }
        }
        Ok(())
    }

    /// Takes rows that count whatever their lines are: many at once, for most are in the windows of the one before.
    fn take_times(&self, page: &LogPage, windows: &mut Windows, set: &mut SeriesSet) -> Result<(), Error> {
        let mut series = None;
        let mut rest = &page.times[..];
        while let Some(first) = rest.first() {
            let steps = windows.of(*first).filter(|_| self.times.contains(*first));
            let alike =
                if steps.is_some() { windows.same.intersect(self.times) } else { TimeRange::new(*first, *first) };
            let count = rest.iter().take_while(|time| alike.contains(**time)).count();
            let (now, later) = rest.split_at(count.max(1));
            rest = later;
            let Some(steps) = steps else { continue };
            let series = match series {
                Some(series) => series,
                None => {
                    let labels = page.labels.iter().filter(|(name, _)| self.sampler.keeps(name));
                    *series.insert(self.series_of(&labels.collect::<Vec<_>>(), set)?)
                }
            };
            set.series[series].1.count(now.len(), steps);
        }
        Ok(())
    }

    pub(super) fn windows(&self) -> Windows {
        Windows::new(self.sampler.aggregation, self.grid)
    }

    /// Which series a row belongs to.
    pub(super) fn series(&self, row: &Row<'_>, set: &mut SeriesSet) -> Result<usize, Error> {
        let mut labels: Vec<(&str, &str)> = row.labels().filter(|(name, _)| self.sampler.keeps(name)).collect();
        labels.sort_unstable();
        self.series_of(&labels, set)
    }

    /// The series with these labels, which are sorted.
    pub(super) fn series_of(&self, labels: &[(&str, &str)], set: &mut SeriesSet) -> Result<usize, Error> {
        set.key.clear();
        for (name, value) in labels {
            for text in [name, value] {
                set.key.extend_from_slice(&(text.len() as u32).to_le_bytes());
                set.key.extend_from_slice(text.as_bytes());
            }
        }
        if let Some(series) = set.by_key.get(&set.key) {
            return Ok(*series);
        }
        let limit = self.options.max_series;
        if set.series.len() >= limit {
            return Err(Error::Series { limit });
        }
        let accumulator = Accumulator::new(self.sampler.aggregation, self.grid.steps);
        self.charge(accumulator.size() + 2 * set.key.len() + 8 * self.grid.steps + 160, set)?;
        set.by_key.insert(set.key.clone(), set.series.len());
        set.series.push((Labels::from_pairs(labels.iter().copied()), accumulator));
        Ok(set.series.len() - 1)
    }
}

/// Finds the windows in which a time is.
pub(super) struct Windows {
    grid: Grid,
    range: i64,
    offset: i64,
    /// The times around the last one that are in the same windows: rows come in order, more or less.
    same: TimeRange,
    steps: (usize, usize),
}

impl Windows {
    pub(super) fn new(aggregation: &RangeAggregation, grid: Grid) -> Windows {
        let RangeAggregation { range, offset, .. } = *aggregation;
        Windows { grid, range, offset, same: TimeRange::EMPTY, steps: (0, 0) }
    }

    /// The first and last step whose window `(t - range, t]` has this time.
    pub(super) fn of(&mut self, time: i64) -> Option<(usize, usize)> {
        if self.same.contains(time) {
            return Some(self.steps);
        }
        let Grid { start, step, steps } = self.grid;
        let most = i64::try_from(steps).ok()?.checked_sub(1)?;
        let since = time.saturating_add(self.offset).saturating_sub(start);
        let first = since.div_euclid(step) + i64::from(since.rem_euclid(step) != 0);
        let last = since.saturating_add(self.range - 1).div_euclid(step);
        let steps = (usize::try_from(first.max(0)).ok()?, usize::try_from(last.min(most)).ok()?);
        if steps.0 > steps.1 {
            return None;
        }
        let at = |since: i64| since.saturating_add(start).saturating_sub(self.offset);
        let window = |step_of: i64| step_of.saturating_mul(step).saturating_sub(self.range - 1);
        let from = window(last.min(most)).max(if first <= 0 { i64::MIN } else { (first - 1).saturating_mul(step) + 1 });
        let until = (first.max(0) * step).min(if last >= most { i64::MAX } else { window(last + 1) - 1 });
        (self.same, self.steps) = (TimeRange::new(at(from), at(until)), steps);
        Some(steps)
    }
}

impl SeriesSet {
    /// Adds a sample to a series; answers how many bytes more are kept now, if any.
    pub(super) fn add(&mut self, series: usize, time: i64, value: f64, steps: (usize, usize)) -> Option<usize> {
        self.series[series].1.add(time, value, steps)
    }
}
