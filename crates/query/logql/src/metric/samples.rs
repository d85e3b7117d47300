//! Range aggregations: from the rows of pages to one column a series.

use super::Evaluation;
use super::accumulate::Accumulator;
use super::columns::Known;
use crate::ast::{Conversion, Grouping, RangeAggregation, RangeOp, Unwrap};
use crate::error::Error;
use crate::label_filter::LabelTest;
use crate::pipeline::Pipeline;
use crate::quantity;
use crate::row::Row;
use eval::column::{Column, Grid};
use eval::source::{LogSelection, Order, Rows};
use model::{Labels, LogPage, MatchOp, Matcher, TimeRange};
use std::collections::HashMap;
use std::ops::ControlFlow;

const EXTRACTION_ERROR: &str = "SampleExtractionErr";

/// A label by which a query asks for failed lines to be counted like others.
const PRESERVE_ERROR: &str = "__preserve_error__";

/// How rows become samples.
pub(super) struct Sampler<'q> {
    pub aggregation: &'q RangeAggregation,
    pub pipeline: Pipeline,
    /// The filters after `unwrap`.
    after: Vec<LabelTest>,
    grouping: Option<Grouping>,
    /// That of an outer `sum`.
    pub pushed: Option<&'q Grouping>,
}

/// The series met so far.
#[derive(Default)]
pub(super) struct SeriesSet {
    by_key: HashMap<Vec<u8>, usize>,
    pub series: Vec<(Labels, Accumulator)>,
    key: Vec<u8>,
}

impl Evaluation<'_> {
    /// The columns of a range aggregation, sorted by labels. `pushed` is a grouping that an outer `sum` allows to be
    /// done here already.
    pub(super) fn range_columns(
        &self,
        aggregation: &RangeAggregation,
        pushed: Option<&Grouping>,
    ) -> Result<Vec<Column>, Error> {
        let set = self.sampled(&Sampler::new(aggregation, pushed, self.options.now)?)?;
        if aggregation.op == RangeOp::Absent {
            return Ok(self.absent(aggregation, set));
        }
        let mut columns = Vec::with_capacity(set.series.len());
        for (labels, accumulator) in set.series {
            let mut column = Column::new(labels, self.grid.steps);
            accumulator.finish(aggregation, self.grid, &mut column);
            columns.push(column);
        }
        columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(columns)
    }

    /// What comes of all rows.
    pub(super) fn sampled(&self, sampler: &Sampler<'_>) -> Result<SeriesSet, Error> {
        let aggregation = sampler.aggregation;
        let (range, offset) = (aggregation.range, aggregation.offset);
        let first = self.grid.start.saturating_sub(offset).saturating_sub(range).saturating_add(1);
        let times = TimeRange::new(first, self.grid.end().saturating_sub(offset));
        let selection = LogSelection {
            matchers: aggregation.log.matchers.clone(),
            range: times,
            contains: sampler.pipeline.contains(),
            lines: sampler.reads_lines(),
            order: Order::Forward,
            limit: None,
            horizon: None,
        };
        let mut set = SeriesSet::default();
        if self.grid.steps > 0 {
            self.take_all(&selection, sampler, times, &mut set)?;
        }
        Ok(set)
    }

    fn take_all(
        &self,
        selection: &LogSelection,
        sampler: &Sampler<'_>,
        times: TimeRange,
        set: &mut SeriesSet,
    ) -> Result<(), Error> {
        let apart = sampler.pipeline.parser().is_some() && !sampler.counts_bytes();
        let (mut known, mut result) = (Known::default(), Ok(()));
        let mut take = |rows: Rows<'_>| {
            result = self.budget.tick().map_err(Error::from).and_then(|()| match rows {
                Rows::Lines(page) => self.take_page(&page, sampler, times, set),
                Rows::Shredded(part) => self.take_columns(part, sampler, times, &mut known, set),
            });
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let said = match self.task(sampler) {
            Some(task) => self.source.delegate(selection, &task, apart, &mut take)?,
            None => None,
        };
        if let Some(said) = said {
            result?;
            return said.iter().flat_map(|said| &said.messages).try_for_each(|part| self.hear(part, sampler, set));
        }
        if apart {
            self.source.visit(selection, &mut take)?;
            return result;
        }
        for page in self.source.select(selection)? {
            self.budget.tick()?;
            self.take_page(&page?, sampler, times, set)?;
        }
        Ok(())
    }

    pub(super) fn take_page(
        &self,
        page: &LogPage,
        sampler: &Sampler<'_>,
        times: TimeRange,
        set: &mut SeriesSet,
    ) -> Result<(), Error> {
        let labels: Vec<(&str, &str)> = page.labels.iter().collect();
        let mut row = Row::new(&labels);
        // The series of rows whose labels are those of the page: most rows of most queries.
        let mut page_series: Option<usize> = None;
        let plain =
            sampler.pipeline.only_filters_lines() && sampler.aggregation.unwrap.is_none() && page.metadata.is_empty();
        let mut windows = self.windows(sampler.aggregation);
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
                    let series = self.series(sampler, &row, set)?;
                    page_series = Some(series);
                    series
                }
                _ => self.series(sampler, &row, set)?,
            };
            if let Some(bytes) = set.add(series, time, value, steps) {
                self.budget.charge(bytes)?;
            }
        }
        Ok(())
    }

    pub(super) fn windows(&self, aggregation: &RangeAggregation) -> Windows {
        Windows {
            grid: self.grid,
            range: aggregation.range,
            offset: aggregation.offset,
            same: TimeRange::EMPTY,
            steps: (0, 0),
        }
    }

    /// Which series a row belongs to.
    pub(super) fn series(&self, sampler: &Sampler<'_>, row: &Row<'_>, set: &mut SeriesSet) -> Result<usize, Error> {
        let mut labels: Vec<(&str, &str)> = row.labels().filter(|(name, _)| sampler.keeps(name)).collect();
        labels.sort_unstable();
        self.series_of(&labels, sampler.aggregation, set)
    }

    /// The series with these labels, which are sorted.
    pub(super) fn series_of(
        &self,
        labels: &[(&str, &str)],
        aggregation: &RangeAggregation,
        set: &mut SeriesSet,
    ) -> Result<usize, Error> {
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
        let accumulator = Accumulator::new(aggregation, self.grid.steps);
        self.budget.charge(accumulator.size() + 2 * set.key.len() + 8 * self.grid.steps + 160)?;
        set.by_key.insert(set.key.clone(), set.series.len());
        set.series.push((Labels::from_pairs(labels.iter().copied()), accumulator));
        Ok(set.series.len() - 1)
    }

    /// One series, with the labels that the selector fixes, where no row was.
    fn absent(&self, aggregation: &RangeAggregation, set: SeriesSet) -> Vec<Column> {
        let mut present = Column::new(Labels::empty(), self.grid.steps);
        for (_, accumulator) in set.series {
            accumulator.finish(aggregation, self.grid, &mut present);
        }
        let mut column = Column::new(fixed_labels(&aggregation.log.matchers), self.grid.steps);
        for step in (0..self.grid.steps).filter(|step| !present.present(*step)) {
            column.set(step, 1.0);
        }
        vec![column]
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

/// The labels whose value a selector says, once.
fn fixed_labels(matchers: &[Matcher]) -> Labels {
    let once =
        |m: &&Matcher| m.op == MatchOp::Equal && matchers.iter().filter(|other| other.name == m.name).count() == 1;
    Labels::from_pairs(matchers.iter().filter(once).map(|m| (m.name.as_str(), m.value.as_str())))
}

impl<'q> Sampler<'q> {
    /// Whether a sample depends on more than the time and the labels of its line.
    fn reads_lines(&self) -> bool {
        !self.pipeline.is_empty() || self.aggregation.unwrap.is_some() || self.counts_bytes()
    }

    pub(super) fn new(
        aggregation: &'q RangeAggregation,
        pushed: Option<&'q Grouping>,
        now: i64,
    ) -> Result<Sampler<'q>, Error> {
        let mut pipeline = Pipeline::new(&aggregation.log.stages)?.at(now);
        let filters = aggregation.unwrap.iter().flat_map(|unwrap| &unwrap.filters);
        let after = filters.map(LabelTest::new).collect::<Result<Vec<LabelTest>, String>>();
        let after = after.map_err(crate::ParseError::whole)?;
        let mut grouping = pushed.or(aggregation.grouping.as_ref()).cloned();
        if aggregation.op == RangeOp::Absent {
            grouping = Some(Grouping { without: false, labels: Vec::new() });
        }
        if let Some(grouping) = grouping.as_ref().filter(|g| !g.without) {
            let mut wanted = grouping.labels.clone();
            wanted.extend(aggregation.unwrap.iter().map(|unwrap| unwrap.label.clone()));
            after.iter().for_each(|test| test.names(&mut wanted));
            pipeline = pipeline.wanting(wanted);
        }
        Ok(Sampler { aggregation, pipeline, after, grouping, pushed })
    }

    fn counts_bytes(&self) -> bool {
        matches!(self.aggregation.op, RangeOp::Bytes | RangeOp::BytesRate)
    }

    /// Whether a label stays in the labels of the series.
    fn keeps(&self, name: &str) -> bool {
        let named = |grouping: &Grouping| grouping.labels.iter().any(|label| label == name);
        match &self.grouping {
            Some(grouping) if !grouping.without => named(grouping),
            grouping => {
                let unwrapped = self.aggregation.unwrap.as_ref().is_some_and(|unwrap| unwrap.label == name);
                !unwrapped && grouping.as_ref().is_none_or(|grouping| !named(grouping))
            }
        }
    }

    /// The label that is unwrapped, if nothing else depends on it, in rows with these stream labels.
    pub(super) fn direct_sample(&self, stream: &Labels) -> Option<&Unwrap> {
        let mut others = Vec::new();
        self.after.iter().for_each(|test| test.names(&mut others));
        let unwrap = self.aggregation.unwrap.as_ref().filter(|_| self.pipeline.only_parses())?;
        let free = !self.keeps(&unwrap.label) && !others.contains(&unwrap.label) && stream.get(&unwrap.label).is_none();
        free.then_some(unwrap)
    }

    /// The number of a row; none when it is filtered out or has none.
    fn sample(&self, row: &mut Row<'_>) -> Result<Option<f64>, Error> {
        if !self.pipeline.run(row) {
            return Ok(None);
        }
        self.value(row, true)
    }

    /// The number of a row that has the labels of the parser, which is the first stage, already. Without `unwraps` the number
    /// is not looked for.
    pub(super) fn sample_parsed(&self, row: &mut Row<'_>, unwraps: bool) -> Result<Option<f64>, Error> {
        if !self.pipeline.run_parsed(row) {
            return Ok(None);
        }
        self.value(row, unwraps)
    }

    fn value(&self, row: &mut Row<'_>, unwraps: bool) -> Result<Option<f64>, Error> {
        let mut value = if self.counts_bytes() { row.line.len() as f64 } else { 1.0 };
        if let Some(unwrap) = &self.aggregation.unwrap {
            if unwraps {
                let Some(text) = row.get(&unwrap.label) else { return Ok(None) };
                match unwrapped(text, unwrap) {
                    Ok(number) => value = number,
                    Err(why) => row.fail(EXTRACTION_ERROR, why),
                }
            }
            if !self.after.iter().all(|test| test.keeps(row)) {
                return Ok(None);
            }
        }
        if row.has_error() && row.get(PRESERVE_ERROR) != Some("true") {
            return Err(Error::Pipeline { kind: row.error().to_owned(), series: row.merged().to_string() });
        }
        Ok(Some(value))
    }
}

/// The number that a label's text is.
pub(super) fn unwrapped(text: &str, unwrap: &Unwrap) -> Result<f64, String> {
    match unwrap.conversion {
        None => quantity::float(text)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", crate::quote::quote(text))),
        Some(Conversion::Bytes) => quantity::bytes(text).map(|size| size as f64),
        Some(Conversion::Duration | Conversion::DurationSeconds) => {
            quantity::go_duration(text).map(|ns| ns as f64 / 1e9)
        }
    }
}
