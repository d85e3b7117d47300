//! Random pushes, flushes and merges between random queries: what is kept is never seen in an answer.

use super::*;
use crate::settings::Settings;
use eval::source::{SeriesIter, SourceError};
use model::{ByteSize, Matcher, Series, labels::METRIC_NAME};
use proptest::prelude::*;
use std::cell::Cell;

/// Series, time and value.
type Sample = (u8, i64, f64);

/// A head and objects, as a shard and the catalog have them.
#[derive(Default)]
struct Store {
    head: Vec<Sample>,
    objects: Vec<(String, Vec<Sample>)>,
    names: u32,
    /// How often samples were asked for.
    reads: Cell<usize>,
}

impl Store {
    /// Of two samples at one time the first counts.
    fn push(&mut self, series: u8, time: i64, value: f64) {
        let known = self.head.iter().chain(self.objects.iter().flat_map(|(_, samples)| samples));
        if !known.into_iter().any(|(s, t, _)| (*s, *t) == (series, time)) {
            self.head.push((series, time, value));
        }
    }

    fn add(&mut self, samples: Vec<Sample>) {
        self.names += 1;
        self.objects.push((format!("object {}", self.names), samples));
    }

    fn flush(&mut self) {
        let samples = std::mem::take(&mut self.head);
        if !samples.is_empty() {
            self.add(samples);
        }
    }

    fn merge(&mut self) {
        let samples: Vec<_> = self.objects.drain(..).flat_map(|(_, samples)| samples).collect();
        if !samples.is_empty() {
            self.add(samples);
        }
    }

    fn holding(&self, range: TimeRange) -> impl Iterator<Item = &(String, Vec<Sample>)> {
        self.objects.iter().filter(move |(_, samples)| {
            let mut times = TimeRange::EMPTY;
            samples.iter().for_each(|(_, time, _)| times.include(*time));
            times.overlaps(range)
        })
    }
}

fn series<'a>(
    samples: impl Iterator<Item = &'a Sample>,
    matchers: &[Matcher],
    range: TimeRange,
) -> SeriesIter<'static> {
    let mut all: BTreeMap<u8, BTreeMap<i64, f64>> = BTreeMap::new();
    for (series, time, value) in samples.filter(|(_, time, _)| range.contains(*time)) {
        all.entry(*series).or_default().insert(*time, *value);
    }
    let labelled = all.into_iter().map(|(number, samples)| {
        let pairs = [(METRIC_NAME, ["m", "n"][number as usize % 2].to_owned()), ("a", (number / 2).to_string())];
        let (times, values) = samples.into_iter().unzip();
        Series { times, values, ..Series::new(Labels::from_pairs(pairs)) }
    });
    let chosen: Vec<_> = labelled.filter(|series| Matcher::all(matchers, &series.labels())).map(Ok).collect();
    Box::new(chosen.into_iter())
}

impl SeriesSource for Store {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        self.reads.set(self.reads.get() + 1);
        Ok(series(self.head.iter().chain(self.objects.iter().flat_map(|(_, samples)| samples)), matchers, range))
    }
}

/// What of a store is closed.
struct Over<'s>(&'s Store, TimeRange);

impl<'s> Over<'s> {
    fn of(store: &'s Store, range: TimeRange) -> Option<Over<'s>> {
        let oldest = store.head.iter().map(|(_, time, _)| time - 1).min();
        Some(Over(store, TimeRange::new(range.min, range.max.min(oldest.unwrap_or(i64::MAX)))))
    }
}

impl SeriesSource for Over<'_> {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        self.0.reads.set(self.0.reads.get() + 1);
        assert!(self.1.contains(range.min) && self.1.contains(range.max), "{range:?} is not closed: {:?}", self.1);
        Ok(series(self.0.holding(range).flat_map(|(_, samples)| samples), matchers, range))
    }
}

impl Past for Over<'_> {
    fn objects(&self, range: TimeRange) -> Option<Objects> {
        let is_closed = self.1.contains(range.min) && self.1.contains(range.max);
        is_closed.then(|| vec![self.0.holding(range).map(|(name, _)| name.clone()).collect()])
    }
}

fn results(bytes: u64) -> Arc<Results> {
    Results::new(&Settings { results: ByteSize(bytes), ..Settings::default() }).expect("not off")
}

const HOUR: i64 = 3_600_000;
const NOW: i64 = 6 * DAY + 5 * HOUR;

struct Asked<'a> {
    text: &'a str,
    start: i64,
    end: i64,
    step: i64,
}

type Both = (Result<Answered, QueryError>, Result<Answered, QueryError>);

/// The answer by days, and by no days.
fn try_both(store: &Store, results: &Results, asked: &Asked<'_>) -> Both {
    let Asked { text, start, end, step } = *asked;
    let (expr, options) = (promql::parse(text).expect("a query"), Options::default());
    let tenants = "a".to_owned();
    let range = Range { expr: &expr, text, tenants, start, end, step, options: &options, now: NOW };
    (range.by_days(store, results, |range| Ok(Over::of(store, range))), range.whole(store))
}

fn both(store: &Store, results: &Results, asked: &Asked<'_>) -> (Answered, Answered) {
    let (by_days, whole) = try_both(store, results, asked);
    (by_days.expect("an answer"), whole.expect("an answer"))
}

fn steady(days: i64) -> Store {
    let mut store = Store::default();
    for time in (0..days * DAY).step_by(HOUR as usize / 4) {
        store.push(0, time, (time / HOUR) as f64);
        store.push(3, time, 1.0);
        if time % DAY == 23 * HOUR {
            store.flush();
        }
    }
    store
}

#[test]
fn what_is_over_is_read_once() {
    let (mut store, results) = (steady(6), results(1 << 20));
    store.flush();
    let asked = |start, end| Asked { text: "sum(rate(m[1h]))", start, end, step: HOUR };
    let check = |store: &Store, asked: Asked<'_>, kept: u64, reads: usize| {
        store.reads.set(0);
        let (by_days, whole) = both(store, &results, &asked);
        assert_eq!(by_days.answer, whole.answer);
        assert_eq!((by_days.kept, store.reads.get() - 1), (kept, reads));
    };
    // Five days at once, then the part of today.
    check(&store, asked(DAY, NOW), 0, 2);
    check(&store, asked(DAY, NOW), 120, 1);
    check(&store, asked(DAY, 6 * DAY - 1), 120, 0);
    // A narrower first day is a part of it; a wider one is not, and other steps are others.
    check(&store, asked(DAY + 5 * HOUR, 6 * DAY - 1), 115, 0);
    check(&store, asked(HOUR, 6 * DAY - 1), 120, 1);
    check(&store, asked(DAY + 60_000, 6 * DAY - 1), 0, 1);
    // A late sample opens its day and those after it, as long as it is in the head, and the days that its object spans
    // are read again.
    store.push(0, 4 * DAY + 60_000, 5.0);
    check(&store, asked(DAY, 6 * DAY - 1), 72, 1);
    store.flush();
    check(&store, asked(DAY, 6 * DAY - 1), 96, 1);
    check(&store, asked(DAY, 6 * DAY - 1), 120, 0);
    store.merge();
    check(&store, asked(DAY, 6 * DAY - 1), 0, 1);
    check(&store, asked(DAY, 6 * DAY - 1), 120, 0);
}

#[test]
fn what_depends_on_the_whole_query_or_looks_far_is_not_kept() {
    let (store, results) = (steady(6), results(1 << 20));
    for text in ["m @ end()", "max_over_time(m[2d])", "limitk(1, m)", "vector(1)", "m + m @ 0"] {
        let expr = promql::parse(text).expect("a query");
        let options = Options { experimental: true, ..Options::default() };
        let (start, end, step, tenants) = (DAY, 5 * DAY, HOUR, "a".to_owned());
        let range = Range { expr: &expr, text, tenants, start, end, step, options: &options, now: NOW };
        for _ in 0..2 {
            let answered = range.by_days(&store, &results, |range| Ok(Over::of(&store, range))).expect("an answer");
            assert_eq!(answered.kept, 0, "{text}");
        }
    }
    let asked = Asked { text: "m", start: 0, end: 5 * DAY, step: DAY / 2 };
    assert_eq!((both(&store, &results, &asked).0.kept, both(&store, &results, &asked).0.kept), (0, 0));
    assert_eq!(results.counts(), (0, 0));
}

#[test]
fn a_day_that_says_something_says_it_again_where_it_was_said() {
    let (store, results) = (steady(6), results(1 << 20));
    // Sorting a range is remarked.
    let check = |text: &str, start, end, kept| {
        let (by_days, whole) = both(&store, &results, &Asked { text, start, end: end - 1, step: HOUR });
        assert_eq!(by_days.answer, whole.answer);
        assert!(!by_days.answer.warnings.is_empty());
        assert_eq!(by_days.kept, kept, "{text} {start}");
    };
    check("sort(m)", DAY, 2 * DAY, 0);
    check("sort(m)", DAY, 2 * DAY, 24);
    check(" sort(m)", DAY, 2 * DAY, 0);
    check(" sort(m)", DAY + HOUR, 2 * DAY, 0);
    // Which of several days it was said of is not known: then each is read for itself.
    check("sort(m)", 2 * DAY, 4 * DAY, 0);
    check("sort(m)", 2 * DAY, 4 * DAY, 0);
    check("sort(m)", 2 * DAY, 4 * DAY, 48);
}

#[test]
fn an_answer_of_parts_keeps_to_the_budget() {
    let (store, results) = (steady(6), results(1 << 20));
    let expr = promql::parse("m").expect("a query");
    let ask = |max_memory| {
        let options = Options { max_memory, ..Options::default() };
        let (start, end, step, tenants) = (DAY, 5 * DAY - 1, HOUR / 2, "a".to_owned());
        let range = Range { expr: &expr, text: "m", tenants, start, end, step, options: &options, now: NOW };
        range.by_days(&store, &results, |range| Ok(Over::of(&store, range))).map(|answered| answered.kept)
    };
    assert_eq!((ask(1 << 20), ask(1 << 20)), (Ok(0), Ok(192)));
    let error = ask(2000).expect_err("too large");
    assert!(error.text.contains("limits.query_memory is 2000"), "{}", error.text);
}

#[test]
fn nothing_is_kept_beyond_the_bound() {
    let (store, results) = (steady(6), results(20_000));
    for step in 1..40 {
        let asked = Asked { text: "m", start: DAY, end: 5 * DAY, step: HOUR / 2 + step };
        let (by_days, whole) = both(&store, &results, &asked);
        assert_eq!(by_days.answer, whole.answer);
    }
    let mut out = telemetry::Exposition::default();
    results.meters(&mut out);
    let text = out.text();
    let bytes = text.lines().find_map(|line| line.strip_prefix("ouro_querier_results_bytes ")).expect("the gauge");
    let bytes: f64 = bytes.parse().expect("a number");
    assert!(bytes > 0.0 && bytes <= 20_000.0, "{bytes}");
    assert!(Results::new(&Settings { results: ByteSize(0), ..Settings::default() }).is_none());
}

#[derive(Debug, Clone)]
enum Deed {
    Push(u8, i64, u8),
    Flush,
    Merge,
    Ask { text: usize, start: i64, len: i64, step: usize },
}

const TEXTS: [&str; 8] = [
    "m",
    "sum(rate(m[20m]))",
    "m / on (a) n",
    "max_over_time(sum(m)[1h:7m]) or n offset 3h",
    "topk(1, m)",
    "count_over_time({a=~\".+\"}[90m]) unless m offset -2h",
    "absent(m) or absent_over_time(n[1h])",
    "n @ 172800 + on (a) m",
];
const LENGTHS: [i64; 3] = [HOUR / 2, HOUR + 60_007, 7 * HOUR / 2];

fn deed() -> impl Strategy<Value = Deed> {
    let ask = (0..TEXTS.len(), 0..6 * 24i64, 0..5 * 24i64, 0..LENGTHS.len());
    prop_oneof![
        6 => (0..4u8, prop_oneof![0..6 * DAY, 5 * DAY..6 * DAY], 0..9u8).prop_map(|(s, t, v)| Deed::Push(s, t, v)),
        3 => Just(Deed::Flush),
        1 => Just(Deed::Merge),
        6 => ask.prop_map(|(text, start, len, step)| Deed::Ask { text, start: start * HOUR, len: len * HOUR, step }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_is_the_same_with_and_without_what_is_kept(deeds in prop::collection::vec(deed(), 1..60)) {
        let (mut store, results) = (steady(5), results(1 << 22));
        for deed in deeds {
            match deed {
                Deed::Push(series, time, value) => store.push(series, time, f64::from(value)),
                Deed::Flush => store.flush(),
                Deed::Merge => store.merge(),
                Deed::Ask { text, start, len, step } => {
                    let asked = Asked { text: TEXTS[text], start, end: start + len, step: LENGTHS[step] };
                    for _ in 0..3 {
                        let (by_days, whole) = match try_both(&store, &results, &asked) {
                            (Ok(by_days), Ok(whole)) => (by_days, whole),
                            (by_days, whole) => {
                                prop_assert_eq!(by_days.err(), whole.err());
                                continue;
                            }
                        };
                        prop_assert_eq!(&by_days.answer.value, &whole.answer.value, "{}", asked.text);
                        let said = |answered: &Answered| {
                            let mut said = answered.answer.warnings.clone();
                            said.infos.sort();
                            said
                        };
                        prop_assert_eq!(said(&by_days), said(&whole));
                    }
                }
            }
        }
    }
}
