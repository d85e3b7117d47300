//! Random queries: answers are what a slow and obvious evaluator says, and a range query answers what instant queries do.

#[path = "source/memory.rs"]
mod memory;
#[path = "agreement/numbers.rs"]
mod numbers;
#[path = "agreement/obvious.rs"]
mod obvious;
#[path = "agreement/quantities.rs"]
mod quantities;
#[path = "agreement/random.rs"]
mod random;

use eval::source::{Delegated, Done, LogSelection, Order, PageIter, PageSource, Said, SourceError, Visit, visit};
use eval::value::{InstantSample, SampleValue, Value};
use memory::Memory;
use model::{Labels, Reason};
use numbers::Failed;
use obvious::Map;
use ouro_logql::ast::{Metric, VectorOp};
use ouro_logql::{Error, Expr, Options, entries, fold, instant, parse, range};
use proptest::prelude::*;
use random::{Row, SECOND, STREAMS};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

type Points = BTreeMap<(Map, i64), f64>;

fn source(rows: &[Row]) -> Memory {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut memory = Memory::default();
    for row in rows {
        let metadata: Vec<_> = row.trace.map(|trace| ("trace", trace)).into_iter().collect();
        memory.push(&map(STREAMS[row.stream]), row.time, &row.line, &map(&metadata));
    }
    memory
}

/// Without the details of errors, which quote the parser's own words.
fn map(labels: &Labels) -> Map {
    let known = labels.iter().filter(|(name, _)| *name != "__error_details__");
    known.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn points(value: Value) -> Points {
    let mut points = Points::new();
    match value {
        Value::Vector(samples) => {
            for sample in samples {
                let SampleValue::Float(value) = sample.value else { panic!("logs have no histograms") };
                points.insert((map(&sample.labels), sample.time_ms), value);
            }
        }
        Value::Matrix(all) => {
            for series in all {
                points.extend(series.points.iter().map(|(time, value)| ((map(&series.labels()), *time), *value)));
            }
        }
        other => panic!("{other:?}"),
    }
    points
}

fn near(one: f64, other: f64) -> bool {
    one == other || one.is_nan() && other.is_nan() || (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
}

/// The first difference.
fn differ(got: &Points, want: &Points) -> Option<String> {
    let all = got.keys().chain(want.keys());
    let same = |key| matches!((got.get(key), want.get(key)), (Some(got), Some(want)) if near(*got, *want));
    all.into_iter().find(|key| !same(key)).map(|key| format!("{key:?}: {:?}, wanted {:?}", got.get(key), want.get(key)))
}

/// Whether a vector has the order that its query wants, if it wants one.
fn is_sorted(value: &Value, metric: &Metric) -> bool {
    let (Value::Vector(samples), Metric::Aggregation(fold)) = (value, metric) else { return true };
    let number = |sample: &InstantSample| if let SampleValue::Float(value) = sample.value { value } else { f64::NAN };
    let mut numbers: Vec<f64> = samples.iter().map(number).collect();
    match fold.op {
        VectorOp::SortDesc => numbers.reverse(),
        VectorOp::Sort => {}
        _ => return true,
    }
    numbers.is_sorted()
}

/// A source of which some rows are with others, who do their parts of queries.
struct Elsewhere {
    here: Memory,
    there: [Memory; 2],
}

/// Every third row is here.
fn shared(rows: &[Row]) -> Elsewhere {
    let part = |own: usize| {
        let rows = rows.iter().enumerate().filter(|(at, _)| at % 3 == own).map(|(_, row)| row.clone());
        source(&rows.collect::<Vec<_>>())
    };
    Elsewhere { here: part(0), there: [part(1), part(2)] }
}

/// What somebody with these rows says of a task.
fn said(rows: &Memory, task: &[u8]) -> Result<Said, Error> {
    let mut said = Said::default();
    fold(rows, task, &Options { max_memory: 1 << 24, ..Options::default() }, &mut |message| {
        said.messages.push(message);
        Ok(())
    })?;
    Ok(said)
}

impl PageSource for Elsewhere {
    fn select(&self, _: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Err(SourceError { reason: Reason::Internal, text: "nobody has all rows".into() })
    }

    fn delegate(
        &self,
        selection: &LogSelection,
        apart: bool,
        work: &[u8],
    ) -> Result<Option<Delegated<'_, Visit<'_>>>, SourceError> {
        let failed = |error: Error| SourceError { reason: error.reason(), text: error.to_string() };
        let [first, second] = &self.there;
        let done = vec![
            Done::Said(said(first, work).map_err(failed)?),
            Done::Left(visit(PageSource::select(second, selection)?)),
        ];
        let selection = selection.clone();
        let here = move |ways| self.here.visits(&selection, apart, ways);
        Ok(Some(Delegated { here: Some(Box::new(here)), elsewhere: Box::new(|| Ok(done)) }))
    }
}

/// Keeps the task that it is given.
#[derive(Default)]
struct Keeps(RefCell<Vec<u8>>);

impl PageSource for Keeps {
    fn select(&self, _: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Ok(Box::new(std::iter::empty()))
    }

    fn delegate(
        &self,
        _: &LogSelection,
        _: bool,
        work: &[u8],
    ) -> Result<Option<Delegated<'_, Visit<'_>>>, SourceError> {
        *self.0.borrow_mut() = work.to_vec();
        Ok(None)
    }
}

proptest! {
    #[test]
    fn strange_tasks_are_refused(
        text in random::metric(),
        rows in random::rows(0..20),
        (at, cut) in any::<(prop::sample::Index, prop::sample::Index)>(),
        byte: u8,
    ) {
        let (keeps, expr) = (Keeps::default(), parse(&text).expect("a query"));
        let _ = range(&keeps, &expr, 0, 10 * SECOND, SECOND, &Options::default());
        let (mut task, rows) = (keeps.0.into_inner(), source(&rows));
        prop_assume!(!task.is_empty());
        let place = at.index(task.len());
        task[place] = byte;
        let _ = said(&rows, &task);
        task.truncate(cut.index(task.len()));
        let _ = said(&rows, &task);
    }

    #[test]
    fn strange_messages_are_refused(message in prop::collection::vec(any::<u8>(), 0..100), text in random::metric()) {
        struct Strange(Vec<u8>);
        impl PageSource for Strange {
            fn select(&self, _: &LogSelection) -> Result<PageIter<'_>, SourceError> {
                Ok(Box::new(std::iter::empty()))
            }

            fn delegate(&self, _: &LogSelection, _: bool, _: &[u8]) -> Result<Option<Delegated<'_, Visit<'_>>>, SourceError> {
                let done = vec![Done::Said(Said { messages: vec![self.0.clone()], ..Said::default() })];
                Ok(Some(Delegated { here: None, elsewhere: Box::new(|| Ok(done)) }))
            }
        }
        let expr = parse(&text).expect("a query");
        let _ = range(&Strange(message), &expr, 0, 10 * SECOND, SECOND, &Options::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn numbers_are_the_obvious_ones(rows in random::rows(0..120), text in random::metric(), start in 0..40i64, step in 1..20i64) {
        let expr = parse(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let Expr::Metric(metric) = &expr else { panic!("{text} is no metric query") };
        let (source, options) = (source(&rows), Options::default());
        let times: Vec<i64> = (0..8).map(|n| (start + n * step) * SECOND).collect();
        let mut want = Ok(Points::new());
        for time in &times {
            match (numbers::vector(&rows, metric, *time), &mut want) {
                (Ok(vector), Ok(all)) => all.extend(vector.into_iter().map(|(labels, value)| ((labels, time / 1_000_000), value))),
                (Err(Failed), _) => want = Err(Failed),
                _ => {}
            }
        }
        let got = range(&source, &expr, times[0], times[7], step * SECOND, &options);
        let lending = Options { spare: Arc::new(|| Some(Box::new(()))), ..Options::default() };
        let there = range(&shared(&rows), &expr, times[0], times[7], step * SECOND, &lending);
        match (&got, there) {
            (Ok(got), Ok(there)) => prop_assert_eq!(differ(&points(there), &points(got.clone())), None, "elsewhere: {}", text),
            (Err(_), Err(_)) => {}
            (got, there) => prop_assert!(false, "{text}: {got:?}, elsewhere {there:?}"),
        }
        match (got.map(points), want) {
            (Ok(got), Ok(want)) => prop_assert_eq!(differ(&got, &want), None, "{}", text),
            (Err(_), Err(Failed)) => {}
            (got, want) => prop_assert!(false, "{text}: {got:?}, wanted {want:?}"),
        }
        let once = instant(&source, &expr, times[3], &options);
        prop_assert!(once.as_ref().map_or(true, |value| is_sorted(value, metric)), "{text}: {once:?}");
        match (once.map(points), numbers::vector(&rows, metric, times[3])) {
            (Ok(got), Ok(want)) => {
                let want = want.into_iter().map(|(labels, value)| ((labels, times[3] / 1_000_000), value)).collect();
                prop_assert_eq!(differ(&got, &want), None, "{}", text);
            }
            (Err(_), Err(Failed)) => {}
            (got, want) => prop_assert!(false, "{text}, once: {got:?}, wanted {want:?}"),
        }
    }

    #[test]
    fn lines_are_the_obvious_ones(rows in random::rows(0..120), text in random::log(), start in 0..60i64, len in 1..80i64, limit in 1..60usize, newest: bool) {
        let expr = parse(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let Expr::Log(log) = &expr else { panic!("{text} is no log query") };
        let (start, end) = (start * SECOND, (start + len) * SECOND);
        let mut want: Vec<_> = rows.iter().filter(|row| start <= row.time && row.time < end).filter_map(|row| obvious::run(row, log)).collect();
        want.sort_by_key(|seen| if newest { -seen.time } else { seen.time });
        want.truncate(limit);
        want.sort_by_key(|seen| seen.time);
        let order = if newest { Order::Backward } else { Order::Forward };
        let streams = entries(&source(&rows), &expr, start, end, limit, order, &Options::default()).expect(&text);
        let mut got: Vec<_> = Vec::new();
        for stream in &streams {
            let seen = |entry: &ouro_logql::Entry| obvious::Seen { time: entry.time_ns, line: entry.line.clone(), labels: map(&stream.labels) };
            got.extend(stream.entries.iter().map(seen));
        }
        got.sort_by_key(|seen| seen.time);
        prop_assert_eq!(got, want, "{}", text);
    }
}
