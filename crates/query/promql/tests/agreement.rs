//! Random queries: a range query answers what instant queries at its steps do, any split of it too, and both what a
//! slow and obvious evaluator says.

#[path = "agreement/obvious.rs"]
mod obvious;
#[path = "agreement/random.rs"]
mod random;

use eval::{
    source::{SeriesIter, SeriesSource, SourceError},
    value::{SampleValue, Value},
};
use model::{Labels, Matcher, Series, TimeRange, labels::METRIC_NAME};
use ouro_promql::{Options, instant, parse, print::pretty, range};
use proptest::prelude::*;
use std::{cell::Cell, collections::BTreeMap};

/// Series in memory, each given from the samples of the range that is asked for.
#[derive(Debug)]
struct Source(Vec<Series>);

impl SeriesSource for Source {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        let matchers = matchers.to_vec();
        let chosen = self.0.iter().filter(move |series| Matcher::all(&matchers, &series.labels()));
        Ok(Box::new(chosen.filter_map(move |series| {
            let mut cut = Series::new(series.labels());
            for (time, value) in series.times.iter().zip(&series.values).filter(|(time, _)| range.contains(**time)) {
                cut.times.push(*time);
                cut.values.push(*value);
            }
            (!cut.is_empty()).then_some(Ok(cut))
        })))
    }
}

/// Counts how often it is asked.
struct Counted(Source, Cell<usize>);

impl SeriesSource for Counted {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        self.1.set(self.1.get() + 1);
        self.0.select(matchers, range)
    }
}

#[test]
fn equal_parts_of_a_query_are_evaluated_once() {
    let mut series = Series::new(Labels::from_pairs([(METRIC_NAME, "m"), ("a", "1")]));
    series.times = (0..100).map(|i| i * 1000).collect();
    series.values = (0..100).map(f64::from).collect();
    let source = Counted(Source(vec![series]), Cell::new(0));
    for (text, reads) in [
        ("sum(rate(m[1m])) / sum(rate(m[1m]))", 1),
        ("m / (m + m)", 1),
        ("sum(m) / sum(m offset 10s)", 2),
        ("sum(m @ 10) / sum(m)", 2),
        ("max_over_time(sum(m)[1m:10s]) / sum(m)", 2),
    ] {
        source.1.set(0);
        let answer = range(&source, &parse(text).expect("a query"), 60_000, 90_000, 10_000, &Options::default());
        assert_eq!(points(answer.expect("an answer").value).len(), 4, "{text}");
        assert_eq!(source.1.get(), reads, "{text}");
    }
}

/// Values by series and time; NaN written as one bit pattern.
pub type Points = BTreeMap<(Labels, i64), u64>;

pub fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

fn points(value: Value) -> Points {
    let mut points = Points::new();
    match value {
        Value::Vector(samples) => {
            for sample in samples {
                let SampleValue::Float(value) = sample.value else { panic!("only floats here") };
                points.insert((sample.labels, sample.time_ms), bits(value));
            }
        }
        Value::Matrix(all) => {
            for series in all {
                for (time, value) in &series.points {
                    points.insert((series.labels(), *time), bits(*value));
                }
            }
        }
        other => panic!("{other:?}"),
    }
    points
}

fn source() -> impl Strategy<Value = Source> {
    random::all_series().prop_map(Source)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_range_is_its_instants(source in source(), text in random::vector(), start in 0..200_000i64, step in 1_000..40_000i64, delayed: bool) {
        let expr = parse(&text).expect("a query");
        let options = Options { delayed_name_removal: delayed, ..Options::default() };
        let end = start + 12 * step;
        let mut instants = Ok(Points::new());
        for time in (start..=end).step_by(step as usize) {
            match (instant(&source, &expr, time, &options), &mut instants) {
                (Ok(answer), Ok(all)) => all.extend(points(answer.value)),
                (Err(error), Ok(_)) => instants = Err(error),
                _ => {}
            }
        }
        match (range(&source, &expr, start, end, step, &options), instants) {
            (Ok(answer), Ok(want)) => prop_assert_eq!(points(answer.value), want, "{}", text),
            (Err(_), Err(_)) => return Ok(()),
            (got, want) => prop_assert!(false, "{}: {:?} and {:?}", text, got, want.map(|_| "an answer")),
        }
        let middle = start + 5 * step;
        let parts = [(start, middle), (middle + step, end)].map(|(from, to)| range(&source, &expr, from, to, step, &options));
        let parts: Points = parts.into_iter().flat_map(|part| points(part.expect("as the whole").value)).collect();
        prop_assert_eq!(parts, points(range(&source, &expr, start, end, step, &options).expect("again").value), "{}", text);
    }

    #[test]
    fn what_is_written_is_read_as_the_same(text in random::vector()) {
        let written = pretty(&parse(&text).expect("a query"));
        prop_assert_eq!(parse(&written).map(|expr| pretty(&expr)), Ok(written));
    }

    #[test]
    fn answers_are_the_obvious_ones(source in source(), text in random::vector(), start in 0..200_000i64, step in 1_000..40_000i64) {
        let expr = parse(&text).expect("a query");
        let end = start + 12 * step;
        let Ok(answer) = range(&source, &expr, start, end, step, &Options::default()) else { return Ok(()) };
        let mut want = Points::new();
        for time in (start..=end).step_by(step as usize) {
            let Some(vector) = obvious::vector(&source.0, &expr, time) else { return Ok(()) };
            want.extend(vector.into_iter().map(|(labels, value)| ((labels, time), bits(value))));
        }
        let got = points(answer.value);
        prop_assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{}", text);
        for (key, value) in &got {
            let (got, want) = (f64::from_bits(*value), f64::from_bits(want[key]));
            let near = got == want || got.is_nan() && want.is_nan() || (got - want).abs() <= 1e-9 * want.abs().max(1.0);
            prop_assert!(near, "{}: {:?} is {}, not {}", text, key, got, want);
        }
    }
}
