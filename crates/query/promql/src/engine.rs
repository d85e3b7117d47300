//! Evaluates a parsed query over a source of series.
//!
//! Every expression of vector type streams its series, one [`Column`] over all steps at a time, into whoever asked for
//! it; selectors pull them from the source one by one. An aggregation therefore holds one input series and its groups.
//! A binary operator holds its "one" side and a bit for each result and step; what it makes goes on at once, so series
//! of equal labels may come several times, each with other steps. Only classic quantiles, sorting, label functions and
//! the answer itself keep whole vectors. All of it is charged to the query's budget, and columns are given back as the
//! answer's points are made of them.
//!
//! Functions of windows move along the samples of a series: both ends of a window only grow, and where a counter was
//! reset is looked up once for the series, so that a step of `rate` costs the same whatever the length of its range.
//! Equal subexpressions are evaluated once ([`shared`]).

mod aggregate;
mod binary;
mod call;
mod count;
mod fold;
mod histograms;
mod info;
mod labels;
mod layout;
mod runs;
mod scalar;
mod selector;
mod shared;
mod subquery;
mod windows;

pub use fold::fold;

use crate::{
    ast::{Edges, Expr, Kind, Position, Span, SpanKind, Type},
    engine::shared::Shared,
    options::Options,
};
use eval::{
    EvalError,
    aggregate::is_reserved,
    binary::Op,
    budget::Budget,
    column::{Column, Grid},
    merged::Merged,
    note::{Note, of_metric},
    source::SeriesSource,
    value::{Answer, InstantSample, SeriesPoints, Value, Warnings},
};
use model::Labels;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};

/// Evaluates a query at one time.
pub fn instant(source: &dyn SeriesSource, expr: &Expr, at_ms: i64, options: &Options) -> Result<Answer, EvalError> {
    let cancelled = &*options.cancelled;
    let budget = Budget::new(options.max_memory, &cancelled);
    let engine = Engine::new(source, options, expr, Times { start: at_ms, end: at_ms, step: 0 }, &budget)?;
    let grid = Grid::instant(at_ms);
    let value = match expr.kind_type() {
        Type::Scalar => Value::Scalar(vec![(at_ms, engine.scalar(expr, grid)?[0])]),
        Type::String => match &expr.inner().kind {
            Kind::String(text) => Value::String { time_ms: at_ms, text: String::from_utf8_lossy(text).into_owned() },
            _ => return Err(EvalError::bad("a string expression that is not a literal")),
        },
        Type::Vector => {
            let mut columns = engine.finished(expr, grid)?;
            if !expr.any(&mut orders) {
                columns.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            Value::Vector(columns.iter().filter_map(|c| InstantSample::from_column(c, at_ms)).collect())
        }
        Type::Matrix => Value::Matrix(engine.raw(expr, grid)?),
    };
    Ok(engine.answer(value))
}

/// Evaluates a query from `start_ms` to `end_ms`, both included, every `step_ms`. The answer is a matrix, sorted by
/// labels.
pub fn range(
    source: &dyn SeriesSource,
    expr: &Expr,
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
    options: &Options,
) -> Result<Answer, EvalError> {
    if step_ms <= 0 {
        return Err(EvalError::bad(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if end_ms < start_ms {
        return Err(EvalError::bad("end timestamp must not be before start time"));
    }
    let steps = start_ms.abs_diff(end_ms) / step_ms.unsigned_abs();
    if steps > options.max_steps {
        return Err(EvalError::Steps { limit: options.max_steps });
    }
    let cancelled = &*options.cancelled;
    let budget = Budget::new(options.max_memory, &cancelled);
    let engine = Engine::new(source, options, expr, Times { start: start_ms, end: end_ms, step: step_ms }, &budget)?;
    let grid = Grid::range(start_ms, end_ms, step_ms);
    let columns = match expr.kind_type() {
        Type::Scalar => vec![Column::from_floats(Labels::empty(), engine.scalar(expr, grid)?)],
        Type::Vector => engine.finished(expr, grid)?,
        other => {
            return Err(EvalError::bad(format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                other.name()
            )));
        }
    };
    let mut series = Vec::with_capacity(columns.len());
    for column in columns {
        // A column makes place for its points, so the answer is never there twice.
        let kept = column.size();
        let points = SeriesPoints::from_column(&column, grid);
        drop(column);
        budget.release(kept);
        budget.charge(points.size())?;
        series.push(points);
    }
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(engine.answer(Value::Matrix(series)))
}

/// Whether an expression gives its series an order of its own.
fn orders(expr: &Expr) -> bool {
    use eval::aggregate::Op::{BottomK, TopK};
    match &expr.kind {
        Kind::Call { function, .. } => function.name.starts_with("sort"),
        Kind::Aggregate { op, .. } => matches!(op, TopK | BottomK),
        _ => false,
    }
}

/// The times of the query as a whole, whatever subqueries make of them. Milliseconds; an instant query has step 0.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Times {
    start: i64,
    end: i64,
    step: i64,
}

struct Engine<'a> {
    /// The whole query.
    root: &'a Expr,
    source: &'a dyn SeriesSource,
    options: &'a Options,
    query: Times,
    lookback: i64,
    budget: &'a Budget<'a>,
    warnings: RefCell<Warnings>,
    /// How many remarks there were, repeated ones too.
    remarks: Cell<u64>,
    shared: Shared,
    /// Find out for each histogram sample whether its counter was reset: set below functions that only want counts and
    /// sums, where aggregations tell about contradictions.
    hints: Cell<bool>,
}

type Sink<'s> = &'s mut dyn FnMut(Column) -> Result<(), EvalError>;

/// Times further out than this are refused, so that adding ranges and offsets cannot overflow.
const MAX_TIME: i64 = i64::MAX / 4;

impl<'a> Engine<'a> {
    fn new(
        source: &'a dyn SeriesSource,
        options: &'a Options,
        root: &'a Expr,
        query: Times,
        budget: &'a Budget<'a>,
    ) -> Result<Engine<'a>, EvalError> {
        if query.start.abs() > MAX_TIME || query.end.abs() > MAX_TIME {
            return Err(EvalError::bad("the time of the query is out of range"));
        }
        let lookback = i64::try_from(options.lookback.as_millis()).unwrap_or(MAX_TIME).min(MAX_TIME);
        let engine = Engine {
            root,
            source,
            options,
            query,
            lookback,
            budget,
            warnings: RefCell::default(),
            remarks: Cell::new(0),
            shared: Shared::of(root),
            hints: Cell::new(false),
        };
        engine.check(root)?;
        Ok(engine)
    }

    fn answer(self, value: Value) -> Answer {
        self.options.tally.iter().for_each(|tally| tally.kept(self.budget.peak()));
        Answer { value, warnings: self.warnings.into_inner() }
    }

    /// What depends on options and cannot be known when parsing.
    fn check(&self, expr: &Expr) -> Result<(), EvalError> {
        let mut refused = None;
        expr.any(&mut |expr| {
            refused = self.refusal(expr);
            refused.is_some()
        });
        refused.map_or(Ok(()), |text| Err(EvalError::BadInput(text)))
    }

    fn refusal(&self, expr: &Expr) -> Option<String> {
        use eval::aggregate::Op::{LimitK, LimitRatio};
        let disabled = |what: String| (!self.options.experimental).then(|| format!("{what} is not enabled"));
        match &expr.kind {
            Kind::Call { function, .. } if function.experimental && !self.options.experimental => {
                disabled(format!("experimental function {:?}", function.name))
            }
            Kind::Call { function, args } => {
                let edges = args.iter().find_map(|arg| match &arg.inner().kind {
                    Kind::Range(selector, _) => Some(selector.edges),
                    _ => None,
                });
                let (word, allowed) = match edges? {
                    Edges::Plain => return None,
                    Edges::Anchored => ("anchored", &["changes", "delta", "increase", "rate", "resets"][..]),
                    Edges::Smoothed => ("smoothed", &["delta", "increase", "rate"][..]),
                };
                if !self.options.experimental {
                    return disabled(format!("experimental modifier {word:?}"));
                }
                (!allowed.contains(&function.name)).then(|| {
                    format!(
                        "{word} modifier can only be used with: {} - not with {}",
                        allowed.join(", "),
                        function.name
                    )
                })
            }
            Kind::Selector(selector) if selector.edges != Edges::Plain => {
                disabled("experimental modifier \"smoothed\"".into())
            }
            Kind::Aggregate { op, .. } if matches!(op, LimitK | LimitRatio) => {
                disabled(format!("experimental aggregation {:?}", op.name()))
            }
            Kind::Binary { matching, .. } if matching.fill_left.is_some() || matching.fill_right.is_some() => {
                disabled("experimental modifier \"fill\"".into())
            }
            _ => None,
        }
    }

    fn warn(&self, at: Position, text: impl AsRef<str>) {
        let text = format!("PromQL warning: {} ({}:{})", text.as_ref(), at.line, at.column);
        self.remarks.set(self.remarks.get() + 1);
        self.warnings.borrow_mut().warn(text);
    }

    fn inform(&self, at: Position, text: impl AsRef<str>) {
        let text = format!("PromQL info: {} ({}:{})", text.as_ref(), at.line, at.column);
        self.remarks.set(self.remarks.get() + 1);
        self.warnings.borrow_mut().inform(text);
    }

    fn warn_of(&self, at: Position, text: &str, metric: &str) {
        self.warn(at, of_metric(text, metric));
    }

    /// Takes the remarks of an operator whose place is `at`.
    fn notes(&self, at: Position) -> impl FnMut(Note) {
        move |note: Note| match note.is_info() {
            true => self.inform(at, note.text()),
            false => self.warn(at, note.text()),
        }
    }

    /// Drops a column's name, now or at the end of the query.
    fn drop_name(&self, column: &mut Column) {
        if self.options.delayed_name_removal {
            column.drop_name = true;
        } else {
            column.labels = column.labels.without(is_reserved);
        }
    }

    /// A grid on which an expression fits the budget: each level of it may hold some numbers of all steps at once.
    fn grid(&self, start: i64, end: i64, step: i64, expr: &Expr) -> Result<Grid, EvalError> {
        let grid = Grid::range(start, end, step);
        let bytes = grid.steps.saturating_mul(8 * (expr.depth as usize + 2));
        self.budget.charge(bytes)?;
        self.budget.release(bytes);
        Ok(grid)
    }

    /// Milliseconds of a length of time.
    fn millis(&self, span: &Span) -> Result<i64, EvalError> {
        let millis = (self.seconds(span)? * 1000.0).round();
        if !millis.is_finite() || millis.abs() > MAX_TIME as f64 / 1e6 {
            return Err(EvalError::bad(format!(
                "{}:{}: parse error: duration out of range",
                span.at.line, span.at.column
            )));
        }
        Ok(millis as i64)
    }

    /// Milliseconds of a range or step, which must be longer than zero.
    fn positive_millis(&self, span: &Span) -> Result<i64, EvalError> {
        match self.millis(span)? {
            millis if millis > 0 => Ok(millis),
            _ => Err(EvalError::bad(format!(
                "{}:{}: parse error: duration must be greater than 0",
                span.at.line, span.at.column
            ))),
        }
    }

    fn seconds(&self, span: &Span) -> Result<f64, EvalError> {
        Ok(match &span.kind {
            SpanKind::Fixed(seconds) => *seconds,
            SpanKind::Step => self.query.step as f64 / 1000.0,
            SpanKind::Range => (self.query.end - self.query.start) as f64 / 1000.0,
            SpanKind::Negate(inner) => -self.seconds(inner)?,
            SpanKind::Binary(op, a, b) => {
                let (a, b) = (self.seconds(a)?, self.seconds(b)?);
                if b == 0.0 && matches!(op, Op::Div | Op::Mod) {
                    let what = if *op == Op::Div { "division" } else { "modulo" };
                    return Err(EvalError::bad(format!(
                        "{}:{}: parse error: {what} by zero",
                        span.at.line, span.at.column
                    )));
                }
                op.numbers(a, b)
            }
            SpanKind::Min(a, b) => self.seconds(a)?.min(self.seconds(b)?),
            SpanKind::Max(a, b) => self.seconds(a)?.max(self.seconds(b)?),
        })
    }

    /// All series of a vector expression. Columns with equal labels are merged; it is an error when they overlap.
    fn collect(&self, expr: &Expr, grid: Grid) -> Result<Vec<Column>, EvalError> {
        self.collect_each(expr, grid, |_| {})
    }

    fn collect_each(
        &self,
        expr: &Expr,
        grid: Grid,
        change: impl Fn(&mut Column) + Sync,
    ) -> Result<Vec<Column>, EvalError> {
        let budget = self.budget;
        let push = |_: &Engine<'_>, merged: &mut Merged<'_>, mut column: Column| {
            change(&mut column);
            merged.push(column)
        };
        let mut runs = self.fan_out(expr, grid, || Merged::new(budget), push)?.into_iter();
        let mut merged = runs.next().unwrap_or_else(|| Merged::new(budget));
        for run in runs {
            merged.append(run)?;
        }
        Ok(merged.into_columns())
    }

    /// The series of the whole query, their names dropped where they are to be.
    fn finished(&self, expr: &Expr, grid: Grid) -> Result<Vec<Column>, EvalError> {
        self.collect_each(expr, grid, |column| {
            if column.drop_name {
                column.labels = column.labels.without(is_reserved);
                column.drop_name = false;
            }
        })
    }

    /// Gives the series of a vector expression to `sink`, one by one. Series with equal labels may come more than once,
    /// each with other steps.
    fn stream(&self, expr: &Expr, grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        match self.shared.place(expr) {
            Some(slot) => self.stream_shared(slot, expr, grid, sink),
            None => self.stream_anew(expr, grid, sink),
        }
    }

    fn stream_anew(&self, expr: &Expr, grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        match &expr.kind {
            Kind::Paren(inner) | Kind::Plus(inner) => self.stream(inner, grid, sink),
            Kind::Negate(inner) => self.stream(inner, grid, &mut |mut column| {
                self.drop_name(&mut column);
                sink(binary::scaled(column, -1.0))
            }),
            Kind::Selector(selector) => self.instants(selector, grid, sink),
            Kind::Call { function, args } => self.call(expr, function.name, args, grid, sink),
            Kind::Aggregate { .. } => self.aggregate(expr, grid, sink),
            Kind::Binary { .. } => self.binary(expr, grid, sink),
            Kind::Number(_) | Kind::String(_) | Kind::Range(..) | Kind::Subquery(_) => {
                Err(EvalError::execution(format!("a {} where an instant vector is needed", expr.kind_type().name())))
            }
        }
    }
}
