//! Aggregations that are computed where the rows are, by somebody who is told the query and which part of it to do.
//!
//! The one who asks sends a [`Task`]; the other answers with messages: parts of an aggregation, and remarks.

use crate::{
    ast::{Expr, Kind},
    engine::{Engine, MAX_TIME, Times, shared::Shared},
    options::Options,
    parse,
};
use eval::{
    EvalError,
    aggregate::Aggregation,
    budget::Budget,
    column::{Column, Grid},
    source::{Delegated, Done, SeriesSource, SourceError},
    value::Warnings,
};
use model::{Matcher, Reason, TimeRange};
use serde::{Deserialize, Serialize};
use std::{cell::Cell, time::Duration};

/// The last byte of a message says what it is.
const PART: u8 = 0;
const REMARKS: u8 = 1;

/// To have others do them, a question for so many steps pays.
const ENOUGH: usize = 4;

/// What to do with some series.
#[derive(Serialize, Deserialize)]
struct Task<'t> {
    /// As it was written, so that remarks name the right places.
    query: &'t str,
    /// Which of its expressions, each counted before its parts.
    place: usize,
    /// That expression as it is printed, in case two versions of this program count in different ways.
    expr: String,
    times: Times,
    grid: Grid,
    lookback: Duration,
    default_step: Duration,
    experimental: bool,
    delayed_name_removal: bool,
    start_timestamps: bool,
    hints: bool,
}

impl Engine<'_> {
    /// Which series others would have to aggregate, and of which times; `None` if this is not for others.
    fn for_others<'e>(&self, expr: &'e Expr, grid: Grid) -> Result<Option<(&'e [Matcher], TimeRange)>, EvalError> {
        let Kind::Aggregate { op, param, arg, .. } = &expr.kind else { return Ok(None) };
        let reads = |param: &Expr| !param.selectors().is_empty();
        // Nobody else counts samples by steps.
        let is_here = self.options.text.is_none() || self.options.tally.is_some();
        if is_here || !op.is_mergeable() || param.as_deref().is_some_and(reads) || self.may_collide(arg) {
            return Ok(None);
        }
        self.series_of(arg, grid)
    }

    /// The first of the steps at the end that look only at what others may have, if there are enough of them and not all
    /// are like that.
    pub(super) fn steps_of_others(&self, expr: &Expr, grid: Grid) -> Result<Option<usize>, EvalError> {
        let Some((_, range)) = self.for_others(expr, grid)? else { return Ok(None) };
        let Some(from) = self.source.delegates_from(range).filter(|from| *from > range.min) else { return Ok(None) };
        let looks_before = |step: usize| {
            let rest = Grid { start: grid.time(step), steps: grid.steps - step, ..grid };
            Ok::<_, EvalError>(self.for_others(expr, rest)?.is_none_or(|(_, range)| range.min < from))
        };
        let (mut low, mut high) = (0, grid.steps.saturating_sub(ENOUGH - 1));
        while low < high {
            let middle = low + (high - low) / 2;
            (low, high) = if looks_before(middle)? { (middle + 1, high) } else { (low, middle) };
        }
        Ok((0 < low && low + ENOUGH <= grid.steps).then_some(low))
    }

    /// Has others do an aggregation, if its series can be shared out and somebody else has rows.
    pub(super) fn delegate(&self, expr: &Expr, grid: Grid) -> Result<Option<Delegated<'_>>, EvalError> {
        let Some((matchers, range)) = self.for_others(expr, grid)? else { return Ok(None) };
        let Some(query) = self.options.text.as_deref() else { return Ok(None) };
        let Some(place) = place(self.root, expr) else { return Ok(None) };
        let Options { default_step, experimental, delayed_name_removal, start_timestamps, .. } = *self.options;
        let (times, lookback, hints) = (self.query, Duration::from_millis(self.lookback as u64), self.hints.get());
        let expr = expr.to_string();
        let task = Task {
            query,
            place,
            expr,
            times,
            grid,
            lookback,
            default_step,
            experimental,
            delayed_name_removal,
            start_timestamps,
            hints,
        };
        let work = postcard::to_stdvec(&task).map_err(strange)?;
        Ok(self.source.delegate(matchers, range, &work)?)
    }

    /// Does what is left of an expression here while others do the rest. What was made here, and what others said.
    pub(super) fn with_others<T: Send>(
        &self,
        delegated: Delegated<'_>,
        arg: &Expr,
        grid: Grid,
        begin: impl Fn() -> T + Sync,
        push: impl Fn(&Engine<'_>, &mut T, Column) -> Result<(), EvalError> + Sync,
    ) -> Result<(Vec<T>, Vec<Vec<u8>>), EvalError> {
        let evaluate = |engine: &Engine<'_>| {
            let mut state = begin();
            engine.stream(arg, grid, &mut |column| push(engine, &mut state, column))?;
            Ok(state)
        };
        let (mut states, mut said) = (Vec::new(), Vec::new());
        if let Some(split) = delegated.here {
            states = self.on_runs(split, evaluate)?;
        }
        for done in (delegated.elsewhere)()? {
            match done {
                Done::Said(part) => said.extend(part.messages),
                Done::Left(run) => states.extend(self.on_runs(|_| Ok(vec![run]), evaluate)?),
            }
        }
        Ok((states, said))
    }

    /// Takes what another one said into an aggregation of `arg`.
    pub(super) fn hear(&self, message: &[u8], aggregation: &mut Aggregation<'_>, arg: &Expr) -> Result<(), EvalError> {
        match message.split_last() {
            Some((&PART, part)) => aggregation.take(part, &mut self.notes(arg.at)),
            Some((&REMARKS, said)) => {
                let (remarks, warnings): (u64, Warnings) = postcard::from_bytes(said).map_err(strange)?;
                self.remarks.set(self.remarks.get().saturating_add(remarks));
                self.warnings.borrow_mut().extend(warnings);
                Ok(())
            }
            _ => Err(strange("neither a part nor remarks")),
        }
    }
}

/// Does a task with the series of a source, which has some of those that the query selects. Of `options`, those count
/// that say what it may cost. The messages are for who made the task.
pub fn fold(
    source: &dyn SeriesSource,
    task: &[u8],
    options: &Options,
    emit: &mut dyn FnMut(Vec<u8>) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let task: Task<'_> = postcard::from_bytes(task).map_err(strange)?;
    let root = parse(task.query).map_err(strange)?;
    let expr = nth(&root, task.place).filter(|expr| expr.to_string() == task.expr);
    let expr = expr.ok_or_else(|| strange("it names another part of the query than is meant"))?;
    let Grid { start, step, .. } = task.grid;
    if step < 1 || start < -MAX_TIME || task.grid.end() > MAX_TIME {
        return Err(strange("its steps are out of range"));
    }
    let options = Options {
        lookback: task.lookback,
        default_step: task.default_step,
        experimental: task.experimental,
        delayed_name_removal: task.delayed_name_removal,
        start_timestamps: task.start_timestamps,
        text: None,
        tally: None,
        ..options.clone()
    };
    let cancelled = &*options.cancelled;
    let budget = Budget::new(options.max_memory, &cancelled);
    let engine = Engine::new(source, &options, &root, task.times, &budget)?;
    // What is computed twice in the query is computed once here.
    let engine = Engine { shared: Shared::default(), hints: Cell::new(task.hints), ..engine };
    let grid = engine.grid(start, task.grid.end(), step, expr)?;
    let aggregation = engine.aggregated(expr, grid)?;
    aggregation.parts(&mut |mut part| {
        part.push(PART);
        emit(part)
    })?;
    let remarks = (engine.remarks.get(), engine.warnings.into_inner());
    if remarks.0 > 0 {
        let mut said = postcard::to_stdvec(&remarks).map_err(strange)?;
        said.push(REMARKS);
        emit(said)?;
    }
    Ok(())
}

/// The number of an expression in a tree, each counted before its parts.
fn place(root: &Expr, wanted: &Expr) -> Option<usize> {
    let mut number = 0;
    let is_there = root.any(&mut |expr| {
        number += 1;
        std::ptr::eq(expr, wanted)
    });
    is_there.then(|| number - 1)
}

fn nth(root: &Expr, place: usize) -> Option<&Expr> {
    let mut rest = vec![root];
    for _ in 0..place {
        let next = rest.pop()?;
        rest.extend(next.children().into_iter().rev());
    }
    rest.pop()
}

/// Tasks and messages come from members of the same cluster, so this is nobody's fault who asks.
fn strange(why: impl std::fmt::Display) -> EvalError {
    let text = format!("a part of a query that is computed where its rows are cannot be understood: {why}");
    EvalError::Source(SourceError { reason: Reason::Internal, text })
}
