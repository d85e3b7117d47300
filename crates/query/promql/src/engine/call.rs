//! Function calls of vector type.

use crate::{
    ast::{Edges, Expr, Kind},
    engine::{Engine, Sink, selector::What, windows::RangeSeries},
    functions::{
        dates, extended, math, over_time,
        rate::{self, Difference},
        regression,
        window::{Remark, Remarks, Window},
    },
};
use eval::{
    EvalError,
    binary::Outcome,
    column::{Cell, Column, Grid},
    number::plain,
};
use model::{Labels, LabelsBuilder, MatchOp, Matcher, labels::METRIC_NAME};

impl Engine<'_> {
    pub(super) fn call(
        &self,
        expr: &Expr,
        name: &str,
        args: &[Expr],
        grid: Grid,
        sink: Sink<'_>,
    ) -> Result<(), EvalError> {
        if let Some(f) = math::by_name(name) {
            return self.map(&args[0], grid, sink, |_, value| f(value));
        }
        if let Some(f) = dates::by_name(name) {
            return match args.first() {
                Some(arg) => self.map(arg, grid, sink, |_, value| f(value)),
                None => sink(self.numbers(grid, |step| f(grid.time(step) as f64 / 1000.0))),
            };
        }
        match (name, args) {
            ("vector", [number]) => {
                let numbers = self.scalar(number, grid)?;
                sink(Column::from_floats(Labels::empty(), numbers))
            }
            ("clamp", [vector, low, high]) => {
                let (low, high) = (self.scalar(low, grid)?, self.scalar(high, grid)?);
                self.mapped(vector, grid, sink, |step, value| {
                    (low[step] <= high[step] || low[step].is_nan() || high[step].is_nan())
                        .then(|| math::max(low[step], math::min(high[step], value)))
                })
            }
            ("clamp_min", [vector, low]) => {
                let low = self.scalar(low, grid)?;
                self.map(vector, grid, sink, |step, value| math::max(low[step], value))
            }
            ("clamp_max", [vector, high]) => {
                let high = self.scalar(high, grid)?;
                self.map(vector, grid, sink, |step, value| math::min(high[step], value))
            }
            ("round", [vector, rest @ ..]) => {
                let to = rest.first().map_or_else(|| Ok(vec![1.0; grid.steps]), |to| self.scalar(to, grid))?;
                self.map(vector, grid, sink, |step, value| math::round(value, to[step]))
            }
            ("timestamp", [vector]) => self.times(vector, grid, What::Time, sink),
            ("start_timestamp", [vector]) => self.times(vector, grid, What::StartTime, sink),
            ("absent", [vector]) => {
                let mut present = vec![false; grid.steps];
                self.stream(vector, grid, &mut |column| {
                    present.iter_mut().enumerate().for_each(|(step, seen)| *seen |= column.present(step));
                    Ok(())
                })?;
                self.absent(vector, &present, sink)
            }
            ("absent_over_time", [range]) => {
                let mut present = vec![false; grid.steps];
                self.windows(range, grid, &mut |series| {
                    series.each(|step, window| present[step] |= !window.is_empty());
                    Ok(())
                })?;
                self.absent(range, &present, sink)
            }
            ("label_replace", _) => self.label_replace(args, grid, sink),
            ("label_join", _) => self.label_join(args, grid, sink),
            ("info", [base, rest @ ..]) => self.info(base, rest.first(), grid, sink),
            ("sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc", _) => {
                self.sort(expr, name, args, grid, sink)
            }
            _ if name.starts_with("histogram_") => self.histogram_call(expr, name, args, grid, sink),
            _ => self.window_call(name, args, grid, sink),
        }
    }

    /// Changes each float; histograms go away, and so does the name.
    fn map(&self, arg: &Expr, grid: Grid, sink: Sink<'_>, f: impl Fn(usize, f64) -> f64) -> Result<(), EvalError> {
        self.mapped(arg, grid, sink, |step, value| Some(f(step, value)))
    }

    fn mapped(
        &self,
        arg: &Expr,
        grid: Grid,
        sink: Sink<'_>,
        f: impl Fn(usize, f64) -> Option<f64>,
    ) -> Result<(), EvalError> {
        self.stream(arg, grid, &mut |mut column| {
            for step in 0..grid.steps {
                match column.float(step).and_then(|value| f(step, value)) {
                    Some(value) => column.set(step, value),
                    None => column.clear(step),
                }
            }
            self.drop_name(&mut column);
            if column.is_empty() { Ok(()) } else { sink(column) }
        })
    }

    pub(super) fn numbers(&self, grid: Grid, f: impl Fn(usize) -> f64) -> Column {
        Column::from_floats(Labels::empty(), (0..grid.steps).map(f).collect())
    }

    /// The times of samples, where the argument is a selector; otherwise of the steps.
    fn times(&self, arg: &Expr, grid: Grid, what: What, sink: Sink<'_>) -> Result<(), EvalError> {
        match &arg.inner().kind {
            Kind::Selector(selector) if selector.edges == Edges::Plain => {
                self.instants_of(selector, grid, what, &mut |mut column| {
                    self.drop_name(&mut column);
                    sink(column)
                })
            }
            // Only samples know when their counters started.
            _ if what == What::StartTime => self.stream(arg, grid, &mut |_| Ok(())),
            _ => self.stream(arg, grid, &mut |mut column| {
                for step in 0..grid.steps {
                    if !column.get(step).is_absent() {
                        column.set(step, grid.time(step) as f64 / 1000.0);
                    }
                }
                self.drop_name(&mut column);
                sink(column)
            }),
        }
    }

    /// A series of 1 where nothing was present, with the labels that the selector says for sure.
    fn absent(&self, arg: &Expr, present: &[bool], sink: Sink<'_>) -> Result<(), EvalError> {
        let labels = match &arg.inner().kind {
            Kind::Selector(selector) | Kind::Range(selector, _) => certain_labels(&selector.matchers),
            _ => Labels::empty(),
        };
        let mut column = Column::new(labels, present.len());
        for (step, _) in present.iter().enumerate().filter(|(_, present)| !**present) {
            column.set(step, 1.0);
        }
        if column.is_empty() { Ok(()) } else { sink(column) }
    }

    /// Functions of a range vector.
    fn window_call(&self, name: &str, args: &[Expr], grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        let starts = self.options.start_timestamps;
        let difference = |counter, per_second| Difference { counter, per_second, starts };
        let how = match name {
            "rate" | "irate" => difference(true, true),
            "increase" => difference(true, false),
            _ => difference(false, false),
        };
        // What answers the same for the same window at any step.
        let steady = Over { steady: true, ..Over::default() };
        match (name, args) {
            ("rate" | "increase" | "delta", [range]) => {
                let edges = match &range.inner().kind {
                    Kind::Range(selector, _) => selector.edges,
                    _ => Edges::Plain,
                };
                let slopes = (edges == Edges::Plain).then_some(how);
                self.over(range, grid, sink, Over { slopes, ..steady }, |_, window, remarks| match edges {
                    Edges::Plain => rate::extrapolated(window, how, remarks),
                    _ => extended::difference(window, how, edges, remarks),
                })
            }
            ("irate" | "idelta", [range]) => {
                self.over(range, grid, sink, steady, |_, w, remarks| rate::latest(w, how, remarks))
            }
            ("changes", [range]) => {
                self.over(range, grid, sink, steady, |_, w, _| rate::changes(&extended::anchored(w)))
            }
            ("resets", [range]) => self
                .over(range, grid, sink, steady, |_, w, remarks| rate::resets(&extended::anchored(w), starts, remarks)),
            ("deriv", [range]) => self.over(range, grid, sink, steady, |_, window, remarks| {
                if window.times.len() < 2 {
                    return Outcome::Nothing;
                }
                over_time::floats(window, remarks, |times, values| regression::line(times, values, times[0]).0)
            }),
            ("predict_linear", [range, ahead]) => {
                let ahead = self.scalar(ahead, grid)?;
                self.over(range, grid, sink, Over::default(), |step, window, remarks| {
                    if window.times.len() < 2 {
                        return Outcome::Nothing;
                    }
                    over_time::floats(window, remarks, |times, values| {
                        let (slope, at) = regression::line(times, values, grid.time(step));
                        slope * ahead[step] + at
                    })
                })
            }
            ("quantile_over_time", [q, range]) => {
                let numbers = self.scalar(q, grid)?;
                for number in numbers.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                    self.notes(q.at)(eval::note::Note::InvalidQuantile(*number));
                }
                self.over(range, grid, sink, Over::default(), |step, w, remarks| {
                    over_time::quantile_over_time(numbers[step], w, remarks)
                })
            }
            ("double_exponential_smoothing", [range, smoothing, trend]) => {
                let factor = |expr: &Expr, what: &str| -> Result<Vec<f64>, EvalError> {
                    let factors = self.scalar(expr, grid)?;
                    match factors.iter().find(|f| !(**f > 0.0 && **f < 1.0)) {
                        Some(bad) => {
                            let sign = if what == "smoothing" { "sf" } else { "tf" };
                            Err(EvalError::execution(format!(
                                "invalid {what} factor. Expected: 0 < {sign} < 1, got: {}",
                                plain(*bad)
                            )))
                        }
                        None => Ok(factors),
                    }
                };
                let (smoothing, trend) = (factor(smoothing, "smoothing")?, factor(trend, "trend")?);
                self.over(range, grid, sink, Over::default(), |step, window, remarks| {
                    if window.times.len() < 2 {
                        return Outcome::Nothing;
                    }
                    over_time::floats(window, remarks, |_, values| {
                        regression::smooth(values, smoothing[step], trend[step])
                    })
                })
            }
            ("min_over_time" | "max_over_time", [range]) => {
                let mut extremes = over_time::Extremes::new(name == "max_over_time");
                self.over(range, grid, sink, steady, |step, window, remarks| {
                    if step == 0 {
                        extremes.clear();
                    }
                    over_time::floats(window, remarks, |_, _| extremes.of(window))
                })
            }
            (_, [range]) => {
                let keeps_name = matches!(name, "last_over_time" | "first_over_time");
                let known = crate::functions::over_time::NAMES.contains(&name);
                if !known {
                    return Err(EvalError::unsupported(format!("function {name:?}")));
                }
                self.over(range, grid, sink, Over { keeps_name, ..steady }, |_, w, remarks| {
                    over_time::apply(name, w, remarks).unwrap_or(Outcome::Nothing)
                })
            }
            _ => Err(EvalError::unsupported(format!("function {name:?}"))),
        }
    }

    /// Applies `f` to every window of every series.
    fn over(
        &self,
        range: &Expr,
        grid: Grid,
        sink: Sink<'_>,
        how: Over,
        mut f: impl FnMut(usize, &Window<'_>, &mut Remarks<'_>) -> Outcome,
    ) -> Result<(), EvalError> {
        let cells = grid.steps * 8;
        self.windows(range, grid, &mut |series| {
            self.budget.charge(cells)?;
            let labels = series.labels.clone();
            let mut column = match how.slopes.and_then(|how| series.differences(how)) {
                Some(differences) => Column::from_floats(labels, differences),
                None => {
                    let mut column = Column::new(labels, grid.steps);
                    for remark in fill(&mut column, &series, how.steady, &mut f) {
                        match remark.is_info {
                            true => self.inform(range.at, remark.text),
                            false => self.warn(range.at, remark.text),
                        }
                    }
                    column
                }
            };
            column.drop_name = series.drop_name;
            if !how.keeps_name {
                self.drop_name(&mut column);
            }
            let outcome = if column.is_empty() { Ok(()) } else { sink(column) };
            self.budget.release(cells);
            outcome
        })
    }

    fn sort(&self, expr: &Expr, name: &str, args: &[Expr], grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        if self.query.step != 0 {
            self.warn(expr.at, "sort is ineffective for range queries since results are always ordered by labels");
            return self.stream(&args[0], grid, sink);
        }
        let mut columns = self.collect(&args[0], grid)?;
        if grid.steps == 1 {
            let names: Vec<String> = args[1..].iter().map(super::labels::text).collect();
            let down = name.ends_with("_desc");
            if name.starts_with("sort_by_label") {
                columns.sort_by(|a, b| {
                    let by_names = names.iter().map(|n| super::labels::natural(a.labels.value(n), b.labels.value(n)));
                    let order = by_names.fold(std::cmp::Ordering::Equal, |so_far, next| so_far.then(next));
                    let order = order.then_with(|| a.labels.cmp(&b.labels));
                    if down { order.reverse() } else { order }
                });
            } else {
                // Histograms have no order and are left out; NaN comes last either way.
                columns.retain(|column| column.float(0).is_some());
                columns.sort_by(|a, b| {
                    let (a, b) = (a.float(0).unwrap_or(f64::NAN), b.float(0).unwrap_or(f64::NAN));
                    match (a.is_nan(), b.is_nan()) {
                        (false, false) if down => b.total_cmp(&a),
                        (false, false) => a.total_cmp(&b),
                        (a, b) => a.cmp(&b),
                    }
                });
            }
        }
        columns.into_iter().try_for_each(sink)
    }
}

/// How a function of windows is applied.
#[derive(Clone, Copy, Default)]
struct Over {
    /// It answers the same for the same window at any step.
    steady: bool,
    keeps_name: bool,
    /// It is this difference.
    slopes: Option<Difference>,
}

/// Puts what `f` makes of each window into a column; gives what it remarks.
fn fill(
    column: &mut Column,
    series: &RangeSeries<'_>,
    steady: bool,
    f: &mut impl FnMut(usize, &Window<'_>, &mut Remarks<'_>) -> Outcome,
) -> Vec<Remark> {
    let mut remarks = Remarks::new(series.labels.metric_name());
    let repeats = series.is_fixed() && steady;
    let mut known: Option<Outcome> = None;
    series.each(|step, window| match &known {
        Some(known) => column.copy(step, known.as_cell()),
        None => match f(step, &window, &mut remarks) {
            Outcome::Float(value) if !repeats => column.set(step, value),
            Outcome::Nothing if !repeats => {}
            outcome => {
                column.copy(step, outcome.as_cell());
                known = repeats.then_some(outcome);
            }
        },
    });
    remarks.texts
}

/// Labels that every series of a selector would have: those with one condition, an equality.
fn certain_labels(matchers: &[Matcher]) -> Labels {
    let mut labels = LabelsBuilder::default();
    for matcher in matchers.iter().filter(|m| m.name != METRIC_NAME) {
        let alone = matchers.iter().filter(|m| m.name == matcher.name).count() == 1;
        if alone && matcher.op == MatchOp::Equal {
            labels.set(matcher.name.as_str(), matcher.value.as_str());
        }
    }
    labels.build()
}

/// A cell that holds a histogram.
pub(super) fn histogram_of(column: &Column, step: usize) -> Option<&eval::histogram::Native> {
    match column.get(step) {
        Cell::Histogram(histogram) => Some(histogram),
        _ => None,
    }
}
