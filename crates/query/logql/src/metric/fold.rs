//! Range aggregations that are begun where the rows are: leaders of shards count the rows of their heads, and what they
//! count is added to what is counted here. It does not matter which rows are where.

use super::Evaluation;
use super::accumulate::Accumulator;
use super::counting::{Counting, SeriesSet};
use super::samples::Sampler;
use crate::ast::{Expr, Grouping, Metric};
use crate::error::Error;
use crate::options::Options;
use crate::parse;
use eval::EvalError;
use eval::budget::Budget;
use eval::column::Grid;
use eval::source::{PageSource, SourceError};
use model::{Labels, Reason};
use serde::{Deserialize, Serialize};

/// About how long a message is, in bytes, if no series is longer.
const LENGTH: usize = 1 << 20;

/// What to do with some rows.
#[derive(Serialize, Deserialize)]
struct Task {
    /// The range aggregation alone.
    query: String,
    /// How an outer `sum` groups it.
    pushed: Option<Grouping>,
    grid: Grid,
    max_series: usize,
    now: i64,
}

impl Evaluation<'_> {
    /// The task for others; `None` if its text would not say it all.
    pub(super) fn task(&self, sampler: &Sampler<'_>) -> Option<Vec<u8>> {
        let aggregation = Metric::Range(Box::new(sampler.aggregation.clone()));
        let query = format!("{aggregation:#}");
        let is_same = matches!(parse(&query), Ok(Expr::Metric(read)) if read == aggregation);
        let Options { max_series, now, .. } = *self.options;
        let task = Task { query, pushed: sampler.pushed.cloned(), grid: self.grid, max_series, now };
        is_same.then(|| postcard::to_stdvec(&task).ok()).flatten()
    }
}

impl Counting<'_> {
    /// Takes what another one counted.
    pub(super) fn hear(&self, mut part: &[u8], set: &mut SeriesSet) -> Result<(), Error> {
        while !part.is_empty() {
            let ((labels, other), rest): ((Labels, Accumulator), _) =
                postcard::take_from_bytes(part).map_err(strange)?;
            if !other.fits(self.sampler.aggregation, self.grid.steps) {
                return Err(strange("another aggregation or number of steps"));
            }
            self.add_series(&labels, other, set)?;
            part = rest;
        }
        Ok(())
    }
}

/// Does a task with the rows of a source. Of `options`, those count that say what it may cost. The messages are for who
/// made the task.
pub fn fold(
    source: &dyn PageSource,
    task: &[u8],
    options: &Options,
    emit: &mut dyn FnMut(Vec<u8>) -> Result<(), EvalError>,
) -> Result<(), Error> {
    let Task { query, pushed, grid, max_series, now } = postcard::from_bytes(task).map_err(strange)?;
    let Ok(Expr::Metric(Metric::Range(aggregation))) = parse(&query) else {
        return Err(strange("its query is no range aggregation"));
    };
    if grid.step < 1 || grid.steps as u64 > options.max_steps {
        return Err(strange("its steps are out of range"));
    }
    let options = Options { max_series, now, ..options.clone() };
    let budget = Budget::new(options.max_memory, &*options.cancelled);
    let evaluation = Evaluation { source, grid, options: &options, budget: &budget };
    let set = evaluation.sampled(&Sampler::new(&aggregation, pushed.as_ref(), now)?)?;
    let mut part = Vec::new();
    for series in set.series {
        part = postcard::to_extend(&series, part).map_err(strange)?;
        if part.len() >= LENGTH {
            emit(std::mem::take(&mut part))?;
        }
    }
    if part.is_empty() { Ok(()) } else { Ok(emit(part)?) }
}

/// Tasks and messages come from members of the same cluster, so this is nobody's fault who asks.
fn strange(why: impl std::fmt::Display) -> Error {
    let text = format!("a part of a query that is computed where its rows are cannot be understood: {why}");
    EvalError::Source(SourceError { reason: Reason::Internal, text }).into()
}
