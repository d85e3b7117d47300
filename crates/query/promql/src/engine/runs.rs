//! Evaluates what takes series by series on several threads, each with a run of the series.

use crate::{
    ast::{Expr, Kind, Selector, Span, Type},
    engine::{Engine, Times, shared::Shared},
    functions::{dates, math, over_time},
    options::Options,
};
use eval::{
    EvalError,
    budget::Budget,
    column::{Column, Grid},
    source::{SeriesIter, SeriesSource, SourceError},
    threads::on_runs,
    value::Warnings,
};
use model::{Matcher, TimeRange};
use std::cell::Cell;

/// A run of the series of the only selector there is, for the engine of one thread.
struct Run<'s>(Cell<Option<SeriesIter<'s>>>);

impl SeriesSource for Run<'_> {
    fn select(&self, _: &[Matcher], _: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        Ok(self.0.take().unwrap_or_else(|| Box::new(std::iter::empty())))
    }
}

/// What the engines of all threads have in common.
#[derive(Clone, Copy)]
struct Common<'a> {
    root: &'a Expr,
    options: &'a Options,
    query: Times,
    lookback: i64,
    budget: &'a Budget<'a>,
    hints: bool,
}

/// What an engine had to say beside its series.
type Remarks = (u64, Warnings);

impl Common<'_> {
    /// Evaluates with one run only.
    fn on<T>(
        self,
        run: SeriesIter<'_>,
        work: impl FnOnce(&Engine<'_>) -> Result<T, EvalError>,
    ) -> Result<(T, Remarks), EvalError> {
        let Common { root, options, query, lookback, budget, hints } = self;
        let (source, shared, hints) = (&Run(Cell::new(Some(run))), Shared::default(), Cell::new(hints));
        let (warnings, remarks) = Default::default();
        let engine = Engine { root, source, options, query, lookback, budget, warnings, remarks, shared, hints };
        let result = work(&engine)?;
        Ok((result, (engine.remarks.get(), engine.warnings.into_inner())))
    }
}

impl Engine<'_> {
    /// Gives the series of `expr` to `push`, with a state that `begin` made: one state, or one for each of several runs
    /// of series, in their order.
    pub(super) fn fan_out<T: Send>(
        &self,
        expr: &Expr,
        grid: Grid,
        begin: impl Fn() -> T + Sync,
        push: impl Fn(&Engine<'_>, &mut T, Column) -> Result<(), EvalError> + Sync,
    ) -> Result<Vec<T>, EvalError> {
        let evaluate = |engine: &Engine<'_>| {
            let mut state = begin();
            engine.stream(expr, grid, &mut |column| push(engine, &mut state, column))?;
            Ok(state)
        };
        let Some((matchers, range)) = self.series_of(expr, grid)? else { return Ok(vec![evaluate(self)?]) };
        self.on_runs(|ways| self.source.split(matchers, range, ways), evaluate)
    }

    /// Which series those of an expression are made of, one of each, and of which times; `None` if it is not like that.
    pub(super) fn series_of<'e>(
        &self,
        expr: &'e Expr,
        grid: Grid,
    ) -> Result<Option<(&'e [Matcher], TimeRange)>, EvalError> {
        let kept = || expr.any(&mut |part| self.shared.place(part).is_some());
        let Some((selector, leaf)) = only_selector(expr).filter(|_| grid.steps > 0 && !kept()) else { return Ok(None) };
        Ok(Some((&selector.matchers, self.with_hints(self.reads(selector, leaf, grid)?))))
    }

    /// Evaluates with each of the runs that `split` makes, on as many threads as are idle.
    pub(super) fn on_runs<'s, T: Send>(
        &self,
        split: impl FnOnce(usize) -> Result<Vec<SeriesIter<'s>>, SourceError>,
        evaluate: impl Fn(&Engine<'_>) -> Result<T, EvalError> + Sync,
    ) -> Result<Vec<T>, EvalError> {
        let Engine { root, options, query, lookback, budget, .. } = *self;
        let common = Common { root, options, query, lookback, budget, hints: self.hints.get() };
        let outcomes = on_runs(&*options.spare, split, |run| common.on(run, &evaluate))?;
        let mut states = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            let (state, (remarks, warnings)) = outcome?;
            self.remarks.set(self.remarks.get() + remarks);
            self.warnings.borrow_mut().extend(warnings);
            states.push(state);
        }
        Ok(states)
    }
}

/// The selector of an expression of which each series comes of one series of that selector, and the range before it.
fn only_selector(expr: &Expr) -> Option<(&Selector, Option<&Span>)> {
    match &expr.kind {
        Kind::Paren(inner) | Kind::Plus(inner) | Kind::Negate(inner) => only_selector(inner),
        Kind::Selector(selector) => Some((selector, None)),
        Kind::Range(selector, range) => Some((selector, Some(range))),
        Kind::Call { function, args } if is_by_series(function.name) => only_part(args.iter()),
        Kind::Binary { op, left, right, .. } if !op.is_set() => only_part([&**left, &**right].into_iter()),
        _ => None,
    }
}

/// That of the only part that has any selector.
fn only_part<'e>(parts: impl Iterator<Item = &'e Expr>) -> Option<(&'e Selector, Option<&'e Span>)> {
    let mut parts = parts.filter(|part| !part.selectors().is_empty());
    match (parts.next(), parts.next()) {
        (Some(only), None) if only.kind_type() != Type::Scalar => only_selector(only),
        _ => None,
    }
}

/// Whether a function makes one series of each, and looks at no other.
fn is_by_series(name: &str) -> bool {
    const OTHERS: [&str; 18] = [
        "clamp",
        "clamp_max",
        "clamp_min",
        "round",
        "timestamp",
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "changes",
        "resets",
        "deriv",
        "predict_linear",
        "quantile_over_time",
        "double_exponential_smoothing",
        "min_over_time",
        "max_over_time",
    ];
    math::by_name(name).is_some()
        || dates::by_name(name).is_some()
        || over_time::NAMES.contains(&name)
        || OTHERS.contains(&name)
}
