//! Metric queries: numbers over lines, at one time or at the steps of a range.

mod accumulate;
mod binary;
mod columns;
mod counting;
mod fold;
mod samples;
mod vector;

pub use fold::fold;

use crate::ast::{Expr, Metric};
use crate::error::Error;
use crate::options::Options;
use eval::EvalError;
use eval::budget::Budget;
use eval::column::{Column, Grid};
use eval::source::PageSource;
use eval::value::{InstantSample, SampleValue, SeriesPoints, Value};
use model::Labels;

/// Answers a metric query at one time: a scalar for a number, else a vector. Windows end at `at_ns`, which is included.
pub fn instant(source: &dyn PageSource, expr: &Expr, at_ns: i64, options: &Options) -> Result<Value, Error> {
    let grid = Grid::instant(at_ns);
    let time_ms = at_ns.div_euclid(NANOS_PER_MILLI);
    let columns = match run(source, expr, grid, options)? {
        Output::Number(value) => return Ok(Value::Scalar(vec![(time_ms, value)])),
        Output::Columns(columns) => columns,
    };
    let samples = columns.into_iter().filter_map(|column| {
        let value = SampleValue::Float(column.float(0)?);
        Some(InstantSample { labels: column.labels, time_ms, value })
    });
    Ok(Value::Vector(samples.collect()))
}

/// Answers a metric query at `start_ns`, `start_ns + step_ns`, … up to and including `end_ns`: always a matrix.
pub fn range(
    source: &dyn PageSource,
    expr: &Expr,
    start_ns: i64,
    end_ns: i64,
    step_ns: i64,
    options: &Options,
) -> Result<Value, Error> {
    if step_ns <= 0 {
        return Err(EvalError::bad(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        )
        .into());
    }
    let steps = end_ns.saturating_sub(start_ns).max(0) / step_ns;
    if steps as u64 >= options.max_steps {
        return Err(EvalError::Steps { limit: options.max_steps }.into());
    }
    let grid = Grid::range(start_ns, end_ns, step_ns);
    let columns = match run(source, expr, grid, options)? {
        Output::Number(value) => vec![Column::from_floats(Labels::empty(), vec![value; grid.steps])],
        Output::Columns(columns) => columns,
    };
    let series = columns.into_iter().filter(|column| !column.is_empty()).map(|column| {
        let point = |step| Some((grid.time(step).div_euclid(NANOS_PER_MILLI), column.float(step)?));
        SeriesPoints {
            points: (0..grid.steps).filter_map(point).collect(),
            labels: Some(column.labels.clone()),
            ..SeriesPoints::default()
        }
    });
    Ok(Value::Matrix(series.collect()))
}

const NANOS_PER_MILLI: i64 = 1_000_000;

fn run(source: &dyn PageSource, expr: &Expr, grid: Grid, options: &Options) -> Result<Output, Error> {
    let Expr::Metric(metric) = expr else {
        return Err(Error::Kind("it gives lines"));
    };
    let budget = Budget::new(options.max_memory, &*options.cancelled);
    Evaluation { source, grid, options, budget: &budget }.eval(metric)
}

/// What an expression gives.
enum Output {
    Number(f64),
    Columns(Vec<Column>),
}

/// One run of a query.
struct Evaluation<'e> {
    source: &'e dyn PageSource,
    grid: Grid,
    options: &'e Options,
    budget: &'e Budget<'e>,
}

impl Evaluation<'_> {
    fn eval(&self, metric: &Metric) -> Result<Output, Error> {
        self.budget.tick()?;
        Ok(match metric {
            Metric::Literal(value) => Output::Number(*value),
            metric => Output::Columns(self.columns(metric)?),
        })
    }

    /// The columns of an expression; a number becomes a column without labels.
    fn columns(&self, metric: &Metric) -> Result<Vec<Column>, Error> {
        match metric {
            Metric::Literal(value) | Metric::Vector(value) => {
                self.budget.charge(8 * self.grid.steps)?;
                Ok(vec![Column::from_floats(Labels::empty(), vec![*value; self.grid.steps])])
            }
            Metric::Range(range) => self.range_columns(range, None),
            Metric::Aggregation(aggregation) => self.aggregate(aggregation),
            Metric::Binary(binary) => self.binary(binary),
            Metric::LabelReplace(replace) => self.label_replace(replace),
        }
    }
}
