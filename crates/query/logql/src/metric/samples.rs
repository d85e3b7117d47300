//! Range aggregations: from the rows of pages to one column a series.

use super::Evaluation;
use super::counting::{Counting, SeriesSet};
use crate::ast::{Conversion, Grouping, RangeAggregation, RangeOp, Unwrap};
use crate::error::Error;
use crate::label_filter::LabelTest;
use crate::pipeline::Pipeline;
use crate::quantity;
use crate::row::Row;
use eval::column::Column;
use eval::source::{Done, LogSelection, Order};
use model::{Labels, MatchOp, Matcher, TimeRange};

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
        if self.grid.steps == 0 {
            return Ok(SeriesSet::default());
        }
        let Evaluation { source, grid, options, budget } = *self;
        let counting = Counting { grid, options, budget, sampler, times };
        let apart = sampler.pipeline.parser().is_some() && !sampler.counts_bytes();
        let delegated = match self.task(sampler) {
            Some(work) => source.delegate(&selection, apart, &work)?,
            None => None,
        };
        let on_runs = |split| counting.on_runs(split);
        let Some(delegated) = delegated else {
            return on_runs(Box::new(|ways| source.visits(&selection, apart, ways)));
        };
        let mut set = delegated.here.map_or(Ok(SeriesSet::default()), on_runs)?;
        for done in (delegated.elsewhere)()? {
            match done {
                Done::Said(said) => said.messages.iter().try_for_each(|part| counting.hear(part, &mut set))?,
                Done::Left(visit) => counting.add(counting.run(visit)?, &mut set)?,
            }
        }
        Ok(set)
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

    pub(super) fn counts_bytes(&self) -> bool {
        matches!(self.aggregation.op, RangeOp::Bytes | RangeOp::BytesRate)
    }

    /// Whether a label stays in the labels of the series.
    pub(super) fn keeps(&self, name: &str) -> bool {
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
    pub(super) fn sample(&self, row: &mut Row<'_>) -> Result<Option<f64>, Error> {
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
