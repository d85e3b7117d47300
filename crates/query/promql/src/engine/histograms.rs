//! The `histogram_…` functions, over native histograms and classic ones with their buckets in a label `le`.

use crate::{
    ast::{Expr, Position},
    engine::{Engine, Sink, call::histogram_of},
    functions::classic::{self, Bucket},
};
use eval::{
    EvalError,
    column::{Column, Grid},
    histogram::{Native, quantile::NanEffect},
    note::Note,
};
use model::Labels;
use std::collections::HashMap;

/// The label of a classic bucket's upper bound.
const BUCKET: &str = "le";

/// What the buckets and native histograms of a vector have in common: one name and labels.
struct Family {
    labels: Labels,
    drop_name: bool,
    /// Upper bound and column of each classic bucket.
    buckets: Vec<(f64, Column)>,
    natives: Vec<Column>,
}

impl Engine<'_> {
    pub(super) fn histogram_call(
        &self,
        expr: &Expr,
        name: &str,
        args: &[Expr],
        grid: Grid,
        sink: Sink<'_>,
    ) -> Result<(), EvalError> {
        let totals = matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg");
        let before = self.hints.replace(totals);
        let outcome = self.histogram_function(expr, name, args, grid, sink);
        self.hints.set(before);
        outcome
    }

    fn histogram_function(
        &self,
        expr: &Expr,
        name: &str,
        args: &[Expr],
        grid: Grid,
        sink: Sink<'_>,
    ) -> Result<(), EvalError> {
        match (name, args) {
            ("histogram_count", [vector]) => self.of_native(vector, grid, sink, |h| h.count),
            ("histogram_sum", [vector]) => self.of_native(vector, grid, sink, |h| h.sum),
            ("histogram_avg", [vector]) => self.of_native(vector, grid, sink, Native::mean),
            ("histogram_stddev", [vector]) => self.of_native(vector, grid, sink, |h| h.variance().sqrt()),
            ("histogram_stdvar", [vector]) => self.of_native(vector, grid, sink, Native::variance),
            ("histogram_quantile", [q, vector]) => {
                let numbers = self.quantiles(q, grid)?;
                for family in self.families(vector, grid)? {
                    let column = self.family_quantile(&family, &numbers, vector.at, grid);
                    self.give(column, &family, sink)?;
                }
                Ok(())
            }
            ("histogram_quantiles", [vector, label, qs @ ..]) => {
                let label = super::labels::text(label);
                let numbers = qs.iter().map(|q| self.quantiles(q, grid)).collect::<Result<Vec<_>, _>>()?;
                for family in self.families(vector, grid)? {
                    if family.labels.get(&label).is_some() {
                        let text = format!("the label {} is already on a series", super::labels::quoted(&label));
                        return Err(EvalError::execution(text));
                    }
                    for numbers in &numbers {
                        let mut column = self.family_quantile(&family, numbers, vector.at, grid);
                        let value = numbers.first().copied().unwrap_or(f64::NAN);
                        column.labels = column.labels.with(&label, &open_metrics(value));
                        self.give(column, &family, sink)?;
                    }
                }
                Ok(())
            }
            ("histogram_fraction", [lower, upper, vector]) => {
                let (lower, upper) = (self.scalar(lower, grid)?, self.scalar(upper, grid)?);
                for family in self.families(vector, grid)? {
                    let column = self.family_fraction(&family, &lower, &upper, vector.at, grid);
                    self.give(column, &family, sink)?;
                }
                Ok(())
            }
            _ => Err(EvalError::unsupported(format!("function {name:?} ({}:{})", expr.at.line, expr.at.column))),
        }
    }

    fn give(&self, mut column: Column, family: &Family, sink: Sink<'_>) -> Result<(), EvalError> {
        column.drop_name = family.drop_name;
        self.drop_name(&mut column);
        if column.is_empty() { Ok(()) } else { sink(column) }
    }

    /// One float of each native histogram; floats go away.
    fn of_native(
        &self,
        vector: &Expr,
        grid: Grid,
        sink: Sink<'_>,
        f: impl Fn(&Native) -> f64,
    ) -> Result<(), EvalError> {
        self.stream(vector, grid, &mut |mut column| {
            for step in 0..grid.steps {
                match histogram_of(&column, step).map(&f) {
                    Some(value) => column.set(step, value),
                    None => column.clear(step),
                }
            }
            self.drop_name(&mut column);
            if column.is_empty() { Ok(()) } else { sink(column) }
        })
    }

    fn quantiles(&self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, EvalError> {
        let numbers = self.scalar(expr, grid)?;
        for number in numbers.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            self.notes(expr.at)(Note::InvalidQuantile(*number));
        }
        Ok(numbers)
    }

    /// All series of a vector, put together by their labels without `le`.
    fn families(&self, vector: &Expr, grid: Grid) -> Result<Vec<Family>, EvalError> {
        let mut families: Vec<Family> = Vec::new();
        let mut by_labels: HashMap<Labels, usize> = HashMap::new();
        self.stream(vector, grid, &mut |column| {
            let has_floats = (0..grid.steps).any(|step| column.float(step).is_some());
            let bound = parse_bound(column.labels.value(BUCKET));
            if has_floats && bound.is_none() {
                let text = format!(
                    "bucket label \"le\" is missing or has a malformed value of {}",
                    super::labels::quoted(column.labels.value(BUCKET))
                );
                self.warn_of(vector.at, &text, column.labels.metric_name());
            }
            self.budget.charge(column.size() + 64)?;
            let mut place = |labels: Labels| -> usize {
                *by_labels.entry(labels.clone()).or_insert_with(|| {
                    let drop_name = column.drop_name;
                    families.push(Family { labels, drop_name, buckets: Vec::new(), natives: Vec::new() });
                    families.len() - 1
                })
            };
            let floats =
                has_floats.then_some(bound).flatten().map(|bound| (bound, place(column.labels.with(BUCKET, ""))));
            let natives = column.has_histograms().then(|| place(column.labels.clone()));
            match (floats, natives) {
                (Some((bound, buckets)), Some(natives)) => {
                    families[buckets].buckets.push((bound, column.clone()));
                    families[natives].natives.push(column);
                }
                (Some((bound, at)), None) => families[at].buckets.push((bound, column)),
                (None, Some(at)) => families[at].natives.push(column),
                (None, None) => {}
            }
            Ok(())
        })?;
        // Once for all steps.
        families.iter_mut().for_each(|family| family.buckets.sort_by(|a, b| a.0.total_cmp(&b.0)));
        Ok(families)
    }

    /// What a family has at a step: one of the two kinds, or nothing.
    fn at_step<'f>(
        &self,
        family: &'f Family,
        step: usize,
        at: Position,
        buckets: &mut Vec<Bucket>,
    ) -> Option<Found<'f>> {
        buckets.clear();
        buckets.extend(
            family
                .buckets
                .iter()
                .filter_map(|(upper, column)| Some(Bucket { upper: *upper, count: column.float(step)? })),
        );
        let native = family.natives.iter().find_map(|column| histogram_of(column, step));
        match (native, buckets.is_empty()) {
            (Some(_), false) => {
                self.warn_of(at, "vector contains a mix of classic and native histograms", family.labels.metric_name());
                None
            }
            (Some(native), true) => Some(Found::Native(native)),
            (None, false) => Some(Found::Classic),
            (None, true) => None,
        }
    }

    fn family_quantile(&self, family: &Family, numbers: &[f64], at: Position, grid: Grid) -> Column {
        let mut column = Column::new(family.labels.clone(), grid.steps);
        let metric = family.labels.metric_name();
        let mut buckets = Vec::with_capacity(family.buckets.len());
        for (step, &q) in numbers.iter().enumerate() {
            match self.at_step(family, step, at, &mut buckets) {
                None => {}
                Some(Found::Native(native)) => {
                    let (value, effect) = native.quantile(q);
                    const INPUT: &str = "input to histogram_quantile has NaN observations, result is";
                    match effect {
                        NanEffect::None => {}
                        NanEffect::Result => self.inform(at, eval::note::of_metric(&format!("{INPUT} NaN"), metric)),
                        NanEffect::Skewed => {
                            self.inform(at, eval::note::of_metric(&format!("{INPUT} skewed higher"), metric))
                        }
                    }
                    column.set(step, value);
                }
                Some(Found::Classic) => column.set(step, self.classic_quantile(q, &mut buckets, metric, at)),
            }
        }
        column
    }

    fn classic_quantile(&self, q: f64, buckets: &mut Vec<Bucket>, metric: &str, at: Position) -> f64 {
        if q.is_nan() {
            return f64::NAN;
        }
        if !(0.0..=1.0).contains(&q) {
            return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        match classic::prepare(buckets) {
            None => f64::NAN,
            Some(forced) => {
                if forced {
                    const TEXT: &str = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
                    self.inform(at, eval::note::of_metric(TEXT, metric));
                }
                classic::quantile(q, buckets)
            }
        }
    }

    fn family_fraction(&self, family: &Family, lower: &[f64], upper: &[f64], at: Position, grid: Grid) -> Column {
        let mut column = Column::new(family.labels.clone(), grid.steps);
        let metric = family.labels.metric_name();
        let mut buckets = Vec::with_capacity(family.buckets.len());
        for step in 0..grid.steps {
            match self.at_step(family, step, at, &mut buckets) {
                None => {}
                Some(Found::Native(native)) => {
                    if native.sum.is_nan() && native.count != native.buckets().iter().map(|b| b.count).sum::<f64>() {
                        const TEXT: &str =
                            "input to histogram_fraction has NaN observations, which are excluded from all fractions";
                        self.inform(at, eval::note::of_metric(TEXT, metric));
                    }
                    column.set(step, native.fraction(lower[step], upper[step]));
                }
                Some(Found::Classic) => {
                    let value = match classic::prepare(&mut buckets) {
                        None => f64::NAN,
                        Some(_) => classic::fraction(lower[step], upper[step], &buckets),
                    };
                    column.set(step, value);
                }
            }
        }
        column
    }
}

enum Found<'f> {
    Native(&'f Native),
    /// The buckets are where they were asked to be put.
    Classic,
}

/// The bound that a label `le` says.
fn parse_bound(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" | "+inf" | "inf" => Some(f64::INFINITY),
        "-Inf" | "-inf" => Some(f64::NEG_INFINITY),
        _ => text.parse::<f64>().ok().filter(|bound| !bound.is_nan()),
    }
}

/// A number as OpenMetrics writes it in labels: whole ones with `.0`.
fn open_metrics(value: f64) -> String {
    let text = eval::number::general(value);
    if value.is_finite() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-') { text + ".0" } else { text }
}
