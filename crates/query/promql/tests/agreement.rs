//! Random queries: a range query answers what instant queries at its steps do, any split of it too, and both what a
//! slow and obvious evaluator says.

#[path = "agreement/obvious.rs"]
mod obvious;
#[path = "agreement/random.rs"]
mod random;

use eval::{
    source::{SeriesIter, SeriesSource, SourceError},
    threads::Spare,
    value::{SampleValue, Value},
};
use model::{Labels, Matcher, Series, TimeRange, labels::METRIC_NAME};
use ouro_promql::{Options, instant, parse, print::pretty, range, reach};
use proptest::prelude::*;
use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

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

    /// Runs of one series after the other, the last one with all that are left.
    fn split(&self, matchers: &[Matcher], range: TimeRange, ways: usize) -> Result<Vec<SeriesIter<'_>>, SourceError> {
        let mut series: Vec<_> = self.select(matchers, range)?.collect();
        let mut runs: Vec<SeriesIter<'_>> = Vec::new();
        while runs.len() + 1 < ways && series.len() > 1 {
            runs.push(Box::new(std::iter::once(series.remove(0))));
        }
        runs.push(Box::new(series.into_iter()));
        Ok(runs)
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

/// Remembers all times for which it is asked.
struct Ranges(Source, Cell<TimeRange>);

impl SeriesSource for Ranges {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        self.1.set(self.1.get().union(range));
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

/// Lends a thread as often as that, and none after it.
fn lending(idle: usize) -> Arc<Spare> {
    let idle = AtomicUsize::new(idle);
    let lend = move || idle.fetch_update(Relaxed, Relaxed, |idle| idle.checked_sub(1)).ok();
    Arc::new(move || lend().map(|_| Box::new(()) as Box<dyn Send>))
}

/// Where all values are equal, what comes first is chosen: the runs of threads must be merged in their order.
#[test]
fn several_threads_choose_what_one_chooses() {
    let series = |n: usize| {
        let mut series = Series::new(Labels::from_pairs([(METRIC_NAME, "m".to_owned()), ("a", n.to_string())]));
        (series.times, series.values) = ((0..20).map(|i| i * 1000).collect(), vec![1.0; 20]);
        series
    };
    let source = Source((0..9).map(series).collect());
    for text in ["limitk(3, m)", "topk(3, m)", "bottomk(3, m)", "limitk(2, rate(m[10s]))"] {
        let expr = parse(text).expect("a query");
        let evaluate = |idle: usize| {
            let options = Options { experimental: true, spare: lending(idle), ..Options::default() };
            let over = range(&source, &expr, 10_000, 19_000, 1000, &options).expect("an answer").value;
            (points(over), points(instant(&source, &expr, 15_000, &options).expect("an answer").value))
        };
        for idle in 1..9 {
            assert_eq!(evaluate(idle), evaluate(0), "{text} with {idle} threads more");
        }
    }
}

fn near(got: f64, want: f64) -> bool {
    got == want || got.is_nan() && want.is_nan() || (got - want).abs() <= 1e-9 * want.abs().max(1.0)
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
    fn several_threads_give_what_one_gives(source in source(), text in random::vector(), start in 0..200_000i64, step in 1_000..40_000i64, delayed: bool, idle in 1..6usize) {
        let expr = parse(&text).expect("a query");
        let alone = Options { delayed_name_removal: delayed, ..Options::default() };
        let together = Options { spare: lending(idle), ..alone.clone() };
        let end = start + 12 * step;
        let evaluate = |options| range(&source, &expr, start, end, step, options);
        let (got, want) = match (evaluate(&together), evaluate(&alone)) {
            (Ok(got), Ok(want)) => (got, want),
            (got, want) => {
                prop_assert_eq!(got.map(|_| ()), want.map(|_| ()), "{}", text);
                return Ok(());
            }
        };
        prop_assert_eq!(&got.warnings, &want.warnings, "{}", text);
        let (got, want) = (points(got.value), points(want.value));
        prop_assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{}", text);
        for (key, value) in got {
            prop_assert!(near(f64::from_bits(value), f64::from_bits(want[&key])), "{}: {:?}", text, key);
        }
    }

    #[test]
    fn no_sample_beyond_its_reach_changes_an_answer(source in source(), text in random::vector(), start in 0..200_000i64, step in 1_000..40_000i64) {
        let (expr, options, end) = (parse(&text).expect("a query"), Options::default(), start + 12 * step);
        let Some(reach) = reach(&expr, start, end, step, &options) else { return Ok(()) };
        let asked = Ranges(source, Cell::new(TimeRange::EMPTY));
        if range(&asked, &expr, start, end, step, &options).is_ok() && !asked.1.get().is_empty() {
            let asked = asked.1.get();
            prop_assert!(reach.contains(asked.min) && reach.contains(asked.max), "{}: {:?} in {:?}", text, asked, reach);
        }
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
            prop_assert!(near(got, want), "{}: {:?} is {}, not {}", text, key, got, want);
        }
    }
}
