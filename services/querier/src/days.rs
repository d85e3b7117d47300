//! Answers a range query day by day, and takes the days whose answer is kept and still holds from [`Results`].
//!
//! A step of an answer depends only on the samples that [`promql::reach`] names. A day whose samples are all in objects,
//! and in the same ones as when it was answered before, has the same answer. Steps stay where they were asked for: days
//! are cut between them.

use crate::error::QueryError;
use crate::results::{Key, Objects, Part, Query, Results};
use eval::EvalError;
use eval::source::SeriesSource;
use eval::value::{Answer, SeriesPoints, Value, Warnings};
use model::{Labels, TimeRange};
use promql::{Expr, Options, reach};
use std::collections::BTreeMap;
use std::sync::Arc;

const DAY: i64 = 86_400_000;
/// With fewer steps a day, reading days one by one costs more than it saves.
const STEPS: i64 = 4;

/// Rows of which a part is closed.
pub trait Past: SeriesSource {
    /// What all rows of a range are made of, and which delete requests hide some; `None` if it is not closed. The same
    /// names mean the same rows.
    fn objects(&self, range: TimeRange) -> Option<Objects>;
}

/// A range query. Times are Unix milliseconds.
pub struct Range<'q> {
    pub expr: &'q Expr,
    /// As it was written.
    pub text: &'q str,
    pub tenants: String,
    pub start: i64,
    pub end: i64,
    pub step: i64,
    pub options: &'q Options,
    pub now: i64,
}

/// An answer, and how many of its steps were kept from before.
#[derive(Debug)]
pub struct Answered {
    pub answer: Answer,
    pub kept: u64,
}

impl Range<'_> {
    /// Answers from all rows, without looking at what is kept.
    pub fn whole(&self, rows: &dyn SeriesSource) -> Result<Answered, QueryError> {
        let answer = promql::range(rows, self.expr, self.start, self.end, self.step, self.options)?;
        Ok(Answered { answer, kept: 0 })
    }

    /// Answers from what is kept and from closed rows as far as possible. `close` says what of a time is closed.
    pub fn by_days<P: Past>(
        &self,
        rows: &dyn SeriesSource,
        results: &Results,
        close: impl FnOnce(TimeRange) -> Result<Option<P>, QueryError>,
    ) -> Result<Answered, QueryError> {
        let days: Vec<(i64, i64)> = self.days().collect();
        let over = |(_, last): &&(i64, i64)| (last.div_euclid(DAY) + 1) * DAY <= self.now;
        let past = match days.iter().rfind(over) {
            Some((_, last)) if self.is_short() => self.reach(self.dawn(), *last).map_or(Ok(None), close)?,
            _ => None,
        };
        let Some(past) = past else { return self.whole(rows) };
        let query = Arc::new(self.key());
        let apart = results.is_remarked(&query);
        let objects = |(first, last)| self.reach(first, last).and_then(|range| past.objects(range));
        let mut stretches: Vec<Stretch> = Vec::new();
        for day @ (first, last) in days {
            let Some(made_of) = objects(day) else {
                match stretches.last_mut() {
                    Some(Stretch::Open((_, end))) => *end = last,
                    _ => stretches.push(Stretch::Open(day)),
                }
                continue;
            };
            let key = Key { query: query.clone(), day: first.div_euclid(DAY) };
            let holds = |part: &Part| {
                let is_same = (part.first, part.last) == day && part.written == self.text;
                part.first <= first
                    && last <= part.last
                    // A remark may be about a step that is not asked for, and names a place in the text.
                    && (is_same || part.warnings.is_empty())
                    && objects((part.first, part.last)).is_some_and(|objects| objects == part.objects)
            };
            match (results.get(&key, holds), stretches.last_mut()) {
                (Some(part), _) => stretches.push(Stretch::Kept(day, part)),
                (None, Some(Stretch::Closed(days))) if !apart => days.push((day, key, made_of)),
                (None, _) => stretches.push(Stretch::Closed(vec![(day, key, made_of)])),
            }
        }
        let mut made = Made::new(self.options.max_memory);
        for stretch in stretches {
            match stretch {
                Stretch::Open(steps) => made.add_all(self.evaluate(rows, steps, made.left())?)?,
                Stretch::Kept(day @ (first, last), part) => {
                    made.kept += ((last - first) / self.step + 1) as u64;
                    made.add(&part, day)?;
                }
                Stretch::Closed(days) => {
                    let (Some(((first, _), ..)), Some(((_, last), ..))) = (days.first(), days.last()) else { continue };
                    let answer = self.evaluate(&past, (*first, *last), made.left())?;
                    self.keep(results, days, &answer);
                    made.add_all(answer)?;
                }
            }
        }
        Ok(made.answered())
    }

    /// Keeps what was answered for some days. Remarks of more than one day are of none in particular: then nothing is, and
    /// the next time each is read for itself.
    fn keep(&self, results: &Results, days: Vec<(Steps, Key, Objects)>, answer: &Answer) {
        let Value::Matrix(all) = &answer.value else { return };
        if let [(_, key, _), _, ..] = &days[..]
            && !answer.warnings.is_empty()
        {
            return results.remark(&key.query);
        }
        for ((first, last), key, objects) in days {
            let cut = |series: &SeriesPoints| SeriesPoints {
                labels: series.labels.clone(),
                points: within(&series.points, first, last).to_vec(),
                histograms: within(&series.histograms, first, last).to_vec(),
            };
            let is_there = |series: &SeriesPoints| !series.points.is_empty() || !series.histograms.is_empty();
            let series = all.iter().map(cut).filter(is_there).collect();
            let (warnings, written) = (answer.warnings.clone(), self.text.to_owned());
            results.insert(key, Arc::new(Part { first, last, objects, series, warnings, written }));
        }
    }

    /// The first and last step of each day.
    fn days(&self) -> impl Iterator<Item = (i64, i64)> {
        let (start, end, step) = (self.start, self.end, self.step);
        let mut next = Some(start).filter(|start| *start <= end);
        std::iter::from_fn(move || {
            let first = next?;
            let over = (first.div_euclid(DAY) + 1).saturating_mul(DAY).saturating_sub(1).min(end);
            let last = first + (over - first) / step * step;
            next = last.checked_add(step).filter(|time| *time <= end);
            Some((first, last))
        })
    }

    /// The first step of the first day, had the query begun with that day.
    fn dawn(&self) -> i64 {
        self.start - self.start.rem_euclid(DAY) / self.step * self.step
    }

    /// Whether a day is cheap to read for itself: it has some steps, and they do not look far around themselves.
    fn is_short(&self) -> bool {
        let around = self.reach(self.start, self.start).map(|range| range.max.saturating_sub(range.min));
        self.step <= DAY / STEPS && around.is_some_and(|around| around <= DAY)
    }

    fn reach(&self, first: i64, last: i64) -> Option<TimeRange> {
        reach(self.expr, first, last, self.step, self.options)
    }

    fn key(&self) -> Query {
        Query {
            tenants: self.tenants.clone(),
            text: self.expr.to_string(),
            step: self.step,
            phase: self.start.rem_euclid(self.step),
            lookback: self.options.lookback.as_millis() as i64,
            experimental: self.options.experimental,
            delayed_name_removal: self.options.delayed_name_removal,
        }
    }

    fn evaluate(
        &self,
        rows: &dyn SeriesSource,
        (first, last): (i64, i64),
        max_memory: usize,
    ) -> Result<Answer, QueryError> {
        let options = Options { max_memory, ..self.options.clone() };
        let limit = self.options.max_memory;
        promql::range(rows, self.expr, first, last, self.step, &options).map_err(|error| match error {
            EvalError::Memory { .. } => EvalError::Memory { limit }.into(),
            other => other.into(),
        })
    }
}

/// The first and last of some steps.
type Steps = (i64, i64);

/// Days that are answered in the same way.
enum Stretch {
    /// There may be new rows, or nobody keeps such answers.
    Open(Steps),
    /// To be read, and kept: all at once, for their rows may be in the same objects, unless remarks are to be told apart.
    Closed(Vec<(Steps, Key, Objects)>),
    Kept(Steps, Arc<Part>),
}

/// The values at steps.
fn within<T>(all: &[(i64, T)], first: i64, last: i64) -> &[(i64, T)] {
    &all[all.partition_point(|(time, _)| *time < first)..all.partition_point(|(time, _)| *time <= last)]
}

/// An answer in the making, in the order of its steps.
struct Made {
    series: BTreeMap<Labels, SeriesPoints>,
    warnings: Warnings,
    kept: u64,
    size: usize,
    limit: usize,
}

impl Made {
    fn new(limit: usize) -> Made {
        Made { series: BTreeMap::new(), warnings: Warnings::default(), kept: 0, size: 0, limit }
    }

    /// The bytes that the rest may take.
    fn left(&self) -> usize {
        self.limit.saturating_sub(self.size)
    }

    fn add_all(&mut self, Answer { value, warnings }: Answer) -> Result<(), QueryError> {
        self.warn(&warnings);
        let Value::Matrix(series) = value else { return Ok(()) };
        series.into_iter().try_for_each(|series| {
            let labels = series.labels();
            self.extend(labels, series.points.into_iter(), series.histograms.into_iter())
        })
    }

    /// Adds the steps of a part that were asked for.
    fn add(&mut self, part: &Part, (first, last): (i64, i64)) -> Result<(), QueryError> {
        self.warn(&part.warnings);
        part.series.iter().try_for_each(|series| {
            let points = within(&series.points, first, last).iter().copied();
            self.extend(series.labels(), points, within(&series.histograms, first, last).iter().cloned())
        })
    }

    fn extend(
        &mut self,
        labels: Labels,
        points: impl Iterator<Item = (i64, f64)>,
        histograms: impl Iterator<Item = (i64, Arc<model::Histogram>)>,
    ) -> Result<(), QueryError> {
        let more = SeriesPoints { labels: None, points: points.collect(), histograms: histograms.collect() };
        if more.points.is_empty() && more.histograms.is_empty() {
            return Ok(());
        }
        self.size += more.size() + labels.packed().len();
        let whole = self.series.entry(labels).or_default();
        whole.points.extend(more.points);
        whole.histograms.extend(more.histograms);
        match self.size > self.limit {
            true => Err(EvalError::Memory { limit: self.limit }.into()),
            false => Ok(()),
        }
    }

    fn warn(&mut self, more: &Warnings) {
        more.warnings.iter().for_each(|text| self.warnings.warn(text.clone()));
        more.infos.iter().for_each(|text| self.warnings.inform(text.clone()));
    }

    fn answered(self) -> Answered {
        let named = |(labels, series)| SeriesPoints { labels: Some(labels), ..series };
        let series = self.series.into_iter().map(named).collect();
        Answered { answer: Answer { value: Value::Matrix(series), warnings: self.warnings }, kept: self.kept }
    }
}

#[cfg(test)]
mod tests;
