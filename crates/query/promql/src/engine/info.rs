//! `info`: labels of info metrics (`target_info`), joined to the series that come from the same place.

use crate::{
    ast::{Expr, Kind, Selector, Shift},
    engine::{Engine, Sink, selector::What},
};
use eval::{
    EvalError,
    column::{Column, Grid},
    merged::Merged,
};
use model::{Labels, LabelsBuilder, MatchOp, Matcher, labels::METRIC_NAME};
use std::collections::{BTreeMap, HashMap};

/// The labels that say where a series comes from.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// One info series: its values, and when they were sampled.
struct Info {
    values: Column,
    times: Column,
}

impl Engine<'_> {
    pub(super) fn info(&self, base: &Expr, wanted: Option<&Expr>, grid: Grid, sink: Sink<'_>) -> Result<(), EvalError> {
        let given: &[Matcher] = match wanted.map(|w| &w.kind) {
            Some(Kind::Selector(selector)) => &selector.matchers,
            _ => &[],
        };
        let (mut names, data): (Vec<Matcher>, Vec<Matcher>) =
            given.iter().cloned().partition(|m| m.name == METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, "target_info"));
        } else if names.iter().all(|m| matches!(m.op, MatchOp::NotEqual | MatchOp::NotRegex)) {
            // Conditions that only leave out do not say what an info metric is.
            names
                .push(Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info").map_err(|e| EvalError::bad(e.to_string()))?);
        }
        let is_info = |labels: &Labels| names.iter().all(|m| m.matches(labels.metric_name()));
        let columns = self.collect(base, grid)?;
        let infos = if columns.iter().all(|c| is_info(&c.labels)) {
            HashMap::new()
        } else {
            self.infos(base, &names, &data, grid)?
        };
        let optional = data.iter().all(Matcher::matches_absent);
        let mut merged = Merged::new(self.budget);
        for column in columns {
            if is_info(&column.labels) {
                merged.push(column)?;
                continue;
            }
            let none = BTreeMap::new();
            let metrics = infos.get(&column.labels.keep(|n| IDENTIFYING.contains(&n))).unwrap_or(&none);
            let mut results: HashMap<Labels, Column> = HashMap::new();
            for step in (0..grid.steps).filter(|step| column.present(*step)) {
                let Some(labels) = enriched(&column.labels, metrics, &data, step, optional)? else { continue };
                let result = results.entry(labels.clone()).or_insert_with(|| {
                    let mut result = Column::new(labels, grid.steps);
                    result.drop_name = column.drop_name;
                    result
                });
                result.copy(step, column.get(step));
            }
            results.into_values().try_for_each(|result| merged.push(result))?;
        }
        merged.into_columns().into_iter().try_for_each(sink)
    }

    /// All info series by where they come from and by name.
    fn infos(&self, base: &Expr, names: &[Matcher], data: &[Matcher], grid: Grid) -> Result<Infos, EvalError> {
        let shift = match &base.inner().kind {
            Kind::Selector(selector) => selector.shift.clone(),
            _ => Shift::default(),
        };
        let matchers = names.iter().chain(data).cloned().collect();
        let selector = Selector { matchers, shift, edges: Default::default() };
        let mut times: HashMap<Labels, Column> = HashMap::new();
        self.instants_of(&selector, grid, What::Time, &mut |column| {
            self.budget.charge(column.size())?;
            times.insert(column.labels.clone(), column);
            Ok(())
        })?;
        let mut infos: Infos = HashMap::new();
        self.instants_of(&selector, grid, What::Value, &mut |values| {
            self.budget.charge(values.size())?;
            if values.has_histograms() {
                let text = format!("this should be an info metric, with float samples: {}", values.labels);
                return Err(EvalError::execution(text));
            }
            let Some(times) = times.remove(&values.labels) else { return Ok(()) };
            let place = values.labels.keep(|n| IDENTIFYING.contains(&n));
            let name = values.labels.metric_name().to_owned();
            infos.entry(place).or_default().entry(name).or_default().push(Info { values, times });
            Ok(())
        })?;
        Ok(infos)
    }
}

type Infos = HashMap<Labels, BTreeMap<String, Vec<Info>>>;

/// The labels of a series at a step with those of its info series; nothing when a wanted one is missing.
fn enriched(
    base: &Labels,
    metrics: &BTreeMap<String, Vec<Info>>,
    data: &[Matcher],
    step: usize,
    optional: bool,
) -> Result<Option<Labels>, EvalError> {
    let mut found = false;
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for series in metrics.values() {
        // Of several the one sampled last counts.
        let mut newest: Option<&Info> = None;
        for info in series.iter().filter(|info| info.values.present(step)) {
            let time = |info: &Info| info.times.float(step).unwrap_or(f64::MIN);
            match newest {
                Some(known) if time(known) == time(info) => {
                    return Err(EvalError::execution(format!(
                        "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                        known.values.labels,
                        time(known) * 1000.0,
                        info.values.labels,
                        time(info) * 1000.0
                    )));
                }
                Some(known) if time(known) > time(info) => {}
                _ => newest = Some(info),
            }
        }
        let Some(info) = newest else { continue };
        found = true;
        for (name, value) in info.values.labels.iter() {
            let wanted = data.is_empty() || data.iter().any(|m| m.name == name);
            if name == METRIC_NAME || !wanted || base.get(name).is_some() {
                continue;
            }
            if added.insert(name, value).is_some_and(|other| other != value) {
                return Err(EvalError::execution(format!("conflicting label: {name}")));
            }
        }
    }
    if !found && !optional {
        return Ok(None);
    }
    let mut labels = LabelsBuilder::from(base);
    for (name, value) in added {
        labels.set(name, value);
    }
    Ok(Some(labels.build()))
}
