//! However rows are spread over shards, heads, segments and blocks, and in whatever order they came: queries answer what
//! they answer over all rows in one place.

mod deleted;
mod held;
#[path = "../../../../crates/query/logql/tests/source/memory.rs"]
mod memory;
#[path = "../../../../crates/query/logql/tests/agreement/random.rs"]
mod random_logs;
#[path = "../../../../crates/query/promql/tests/agreement/random.rs"]
mod random_metrics;
mod world;

use crate::source::TenantRows;
use crate::tail::{Tail, Told, Wanted};
use eval::source::{Delegated, LogSelection, Order, PageIter, PageSource, SeriesIter, SeriesSource, SourceError};
use eval::value::{SampleValue, Value};
use memory::Memory;
use model::{BatchId, Labels, MatchOp, Matcher, Series, Signal, TimeRange};
use proptest::prelude::*;
use random_logs::{Row, SECOND, STREAMS};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use wire::batch::{Format, Header, StreamHeader};
use wire::protobuf::{put_bytes, put_double, put_uint};
use world::{RUNTIME, World, tenant};

/// Takes decisions, one byte each, again and again from the beginning.
#[derive(Debug, Clone)]
struct Chance {
    bytes: Vec<u8>,
    at: usize,
}

fn chance() -> impl Strategy<Value = Chance> {
    prop::collection::vec(any::<u8>(), 40..300).prop_map(|bytes| Chance { bytes, at: 0 })
}

impl Chance {
    /// Below `count`.
    fn pick(&mut self, count: usize) -> usize {
        self.at += 1;
        usize::from(self.bytes[self.at % self.bytes.len()]) % count
    }

    /// What may happen between two batches: shards are flushed, wholly or half, and objects are merged.
    fn happen(&mut self, world: &World, shards: u32) {
        for shard in 0..shards {
            match self.pick(6) {
                0 => world.cut(shard),
                1 => world.drop_cut(shard),
                2 => {
                    world.cut(shard);
                    world.drop_cut(shard);
                }
                _ => {}
            }
        }
        if self.pick(2) == 0 {
            let (first, count) = (self.pick(7), 2 + self.pick(5));
            world.merge(first, count, [2_000, u64::MAX][self.pick(2)]);
        }
    }
}

fn header(format: Format, rows: usize, body: &[u8], times: TimeRange, streams: Vec<StreamHeader>) -> Header {
    let (rows, body_len) = (rows as u32, body.len() as u32);
    Header { id: BatchId(1), tenant: tenant(), format, rows, body_len, times, streams }
}

type Sample<'s> = (&'s Labels, i64, f64);

fn append_samples(world: &World, shard: u32, samples: &[Sample<'_>]) {
    let (mut body, mut times) = (Vec::new(), TimeRange::EMPTY);
    for (labels, time, value) in samples {
        let mut series = Vec::new();
        for (name, value) in labels.iter() {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut series, 1, &label);
        }
        let mut sample = Vec::new();
        put_double(&mut sample, 1, *value);
        put_uint(&mut sample, 2, *time as u64);
        put_bytes(&mut series, 2, &sample);
        put_bytes(&mut body, 1, &series);
        times.include(*time);
    }
    world.append(shard, &header(Format::PromV1, samples.len(), &body, times, Vec::new()), &body);
}

/// Sends all samples in an order of chance, some of them twice, and some again with another value, which is not to count.
fn spread_samples(world: &World, shards: u32, all: &[Series], chance: &mut Chance) {
    let batches = 1 + chance.pick(6);
    let mut sent: Vec<Vec<Vec<Sample<'_>>>> = vec![vec![Vec::new(); shards as usize]; batches];
    let labels: Vec<Labels> = all.iter().map(Series::labels).collect();
    for (series, labels) in all.iter().zip(&labels) {
        // A series stays in its shard, or it moves and no sample of it comes with two values.
        let (moves, home) = (chance.pick(3) == 0, chance.pick(shards as usize));
        for (time, value) in series.times.iter().zip(&series.values) {
            let shard = if moves { chance.pick(shards as usize) } else { home };
            let batch = chance.pick(batches);
            sent[batch][shard].push((labels, *time, *value));
            let later = batch + chance.pick(3);
            match chance.pick(8) {
                0 if later < batches => sent[later][shard].push((labels, *time, *value)),
                1 if later < batches && later > batch && !moves => {
                    sent[later][shard].push((labels, *time, value + 1.0))
                }
                _ => {}
            }
        }
    }
    for batch in sent {
        for (shard, samples) in (0..).zip(batch).filter(|(_, samples)| !samples.is_empty()) {
            append_samples(world, shard, &samples);
        }
        chance.happen(world, shards);
    }
}

/// All series in one place, in the order of a querier, so that sums are the same to the last digit.
struct OnePlace(Vec<Series>);

impl SeriesSource for OnePlace {
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

type Points = BTreeMap<(Labels, i64), f64>;

fn points(value: Value) -> Points {
    let mut points = Points::new();
    match value {
        Value::Vector(samples) => {
            for sample in samples {
                let SampleValue::Float(value) = sample.value else { panic!("only floats here") };
                points.insert((sample.labels, sample.time_ms), value);
            }
        }
        Value::Matrix(all) => {
            for series in all {
                points.extend(series.points.iter().map(|(time, value)| ((series.labels(), *time), *value)));
            }
        }
        other => panic!("{other:?}"),
    }
    points
}

/// The first difference. Errors may name different rows.
fn differ<E>(got: Result<Points, E>, want: Result<Points, E>, tolerance: f64) -> Option<String> {
    let (got, want) = match (got, want) {
        (Ok(got), Ok(want)) => (got, want),
        (Err(_), Err(_)) => return None,
        (got, want) => return Some(format!("good: {}, wanted {}", got.is_ok(), want.is_ok())),
    };
    let near = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance * a.abs().max(b.abs());
    let same = |key| matches!((got.get(key), want.get(key)), (Some(got), Some(want)) if near(*got, *want));
    let mut all = got.keys().chain(want.keys());
    all.find(|key| !same(key)).map(|key| format!("{key:?}: {:?}, wanted {:?}", got.get(key), want.get(key)))
}

fn append_lines(world: &World, shard: u32, rows: &[&Row]) {
    let mut builder = wire::loki::Builder::new();
    let (mut times, mut streams) = (TimeRange::EMPTY, Vec::new());
    for row in rows {
        let labels = wire::loki::label_text(STREAMS[row.stream].iter().copied());
        builder.stream(&labels);
        builder.entry(row.time, &row.line, row.trace.map(|trace| ("trace", trace)));
        let own = TimeRange::new(row.time, row.time);
        times = times.union(own);
        streams.push(StreamHeader { key: wire::loki::key(&labels), rows: 1, times: own });
    }
    let body = builder.finish();
    world.append(shard, &header(Format::LokiPush, rows.len(), &body, times, streams), &body);
}

fn spread_lines(world: &World, shards: u32, rows: &[Row], chance: &mut Chance) {
    let batches = 1 + chance.pick(6);
    let mut sent: Vec<Vec<Vec<&Row>>> = vec![vec![Vec::new(); shards as usize]; batches];
    for row in rows {
        sent[chance.pick(batches)][chance.pick(shards as usize)].push(row);
    }
    for batch in sent {
        for (shard, rows) in (0..).zip(batch).filter(|(_, rows)| !rows.is_empty()) {
            append_lines(world, shard, &rows);
        }
        chance.happen(world, shards);
    }
}

/// Sends all rows, each in a line of its own, and gives what a tail tells that begins somewhere in between. It is not
/// always asked between two batches, and what it has not seen may be flushed and merged.
fn follow(world: &World, shards: u32, rows: &[Row], history: usize, chance: &mut Chance) -> Vec<String> {
    let limits = Arc::new(tenancy::LimitTable::new(&tenancy::Overrides::default()));
    let admitted = tenancy::admit_reads(&limits, Some(b"acme")).expect("admitted").remove(0);
    let (querier, begins, mut tail, mut told) = (world.querier(limits), chance.pick(rows.len() + 1), None, Vec::new());
    let mut take = |lines: Told| {
        assert_eq!(lines.dropped, 0);
        told.extend(lines.streams.into_iter().flat_map(|stream| stream.entries).map(|entry| entry.line));
    };
    for (at, row) in rows.iter().enumerate() {
        if at == begins {
            let expr = logql::parse(r#"{app=~".+"} |= "row""#).expect("a query");
            let wanted = Wanted { expr, start: i64::MIN, limit: history, levels: chance.pick(2) == 0 };
            let (begun, first) = RUNTIME.block_on(Tail::begin(&querier, admitted.clone(), wanted)).expect("begins");
            take(first);
            tail = Some(begun);
        }
        append_lines(world, chance.pick(shards as usize) as u32, &[&Row { line: format!("row {at}"), ..row.clone() }]);
        chance.happen(world, shards);
        if let Some(tail) = tail.as_mut().filter(|_| chance.pick(3) == 0) {
            take(RUNTIME.block_on(tail.next()).expect("goes on"));
        }
    }
    if let Some(tail) = &mut tail {
        take(RUNTIME.block_on(tail.next()).expect("ends"));
    }
    told.sort_by_key(|line| line[4..].parse::<usize>().expect("a number"));
    // Of the beginning, a tail knows the newest lines; all that came later is there.
    let later = (begins..rows.len()).map(|at| format!("row {at}")).collect::<Vec<_>>();
    if tail.is_some() {
        assert!(told.ends_with(&later), "since {begins}: {told:?}");
        assert_eq!(told.len() - later.len(), history.min(begins), "{told:?}");
    }
    told
}

fn one_place(rows: &[Row]) -> Memory {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut memory = Memory::default();
    for row in rows {
        let metadata: Vec<_> = row.trace.map(|trace| ("trace", trace)).into_iter().collect();
        memory.push(&map(STREAMS[row.stream]), row.time, &row.line, &map(&metadata));
    }
    memory
}

/// The values that series have of a label; of the label without a name, the names of all.
fn values_of<'l>(series: impl IntoIterator<Item = &'l Labels>, name: &str) -> Vec<Box<str>> {
    let pairs = series.into_iter().flat_map(Labels::iter).filter(|(n, _)| name.is_empty() || name == *n);
    let values: BTreeSet<Box<str>> = pairs.map(|(n, value)| if name.is_empty() { n } else { value }.into()).collect();
    values.into_iter().collect()
}

/// Whether labels are told to have the values that series have, with and without conditions.
fn check_values(rows: &TenantRows, signal: Signal, names: &[&str]) -> Result<(), TestCaseError> {
    let conditions = [vec![], vec![Matcher::new("a", MatchOp::NotEqual, "1").expect("a matcher")]];
    for (matchers, name) in conditions.iter().flat_map(|matchers| names.iter().map(move |name| (matchers, name))) {
        let series = rows.series(signal, matchers, TimeRange::ALL).expect("series");
        let got = rows.label_values(signal, name, matchers, TimeRange::ALL).expect("values");
        prop_assert_eq!(got, values_of(&series, name), "{} of {:?}", name, matchers);
    }
    Ok(())
}

/// Counts the pages and lines that a query takes.
struct Counting(TenantRows, AtomicUsize, AtomicUsize);

impl PageSource for Counting {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Ok(Box::new(PageSource::select(&self.0, selection)?.inspect(|page| {
            self.1.fetch_add(1, Relaxed);
            self.2.fetch_add(page.as_ref().map_or(0, |page| page.len()), Relaxed);
        })))
    }
}

#[test]
fn what_cannot_be_among_the_wanted_lines_is_not_read() {
    let world = World::new(Signal::Logs, 1);
    for object in 0..20 {
        // Objects overlap: each begins before the one before it ends.
        let row = |at: i64| {
            let line = format!(r#"{{"status":{}}}"#, 400 + at % 2 * 100);
            Row { stream: 0, time: (object * 90 + at) * SECOND, line, trace: None }
        };
        let rows: Vec<Row> = (0..100).map(row).collect();
        append_lines(&world, 0, &rows.iter().collect::<Vec<_>>());
        if object < 18 {
            world.cut(0);
            world.drop_cut(0);
        }
    }
    let _within = RUNTIME.enter();
    let expr = logql::parse(r#"{app="api"} | json | status >= 500"#).expect("a query");
    for order in [Order::Backward, Order::Forward] {
        let source = Counting(world.rows(), AtomicUsize::default(), AtomicUsize::default());
        let found = logql::entries(&source, &expr, 0, i64::MAX, 10, order, &logql::Options::default());
        let mut times: Vec<i64> = found.expect("lines").iter().flat_map(|s| &s.entries).map(|e| e.time_ns).collect();
        times.sort();
        let first = if order == Order::Backward { 20 * 90 + 9 - 18 } else { 1 };
        assert_eq!(times, (0..10).map(|at| (first + at * 2) * SECOND).collect::<Vec<_>>(), "{order:?}");
        // Of 2,000 lines in 20 batches, of which two are in a head.
        let (pages, lines) = (source.1.into_inner(), source.2.into_inner());
        assert!(lines <= 150 && pages <= 8, "{order:?}: {lines} lines in {pages} pages");
    }
}

/// Counts how often series are read.
struct Reads(TenantRows, Cell<usize>);

impl SeriesSource for Reads {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        self.1.set(self.1.get() + 1);
        SeriesSource::select(&self.0, matchers, range)
    }

    fn delegate(&self, m: &[Matcher], range: TimeRange, work: &[u8]) -> Result<Option<Delegated<'_>>, SourceError> {
        SeriesSource::delegate(&self.0, m, range, work)
    }
}

#[test]
fn leaders_aggregate_what_is_in_heads_alone() {
    let world = World::new(Signal::Metrics, 3);
    let labels = |i: u32| Labels::from_pairs([("__name__", "m"), ("i", &i.to_string()), ("g", &(i % 2).to_string())]);
    let all: Vec<Labels> = (0..6).map(labels).collect();
    let send = |shard: u32, series: u32, time: i64| {
        append_samples(&world, shard, &[(&all[series as usize], time, f64::from(series))]);
    };
    (0..6).for_each(|i| send(i % 3, i, 1_000));
    let _within = RUNTIME.enter();
    let check = |text: &str, time: i64, want: &[f64], reads: usize| {
        let source = Reads(world.rows(), Cell::new(0));
        let options = promql::Options { text: Some(text.into()), experimental: true, ..promql::Options::default() };
        let answer = promql::instant(&source, &promql::parse(text).expect("a query"), time, &options).expect("answers");
        let values: Vec<f64> = points(answer.value).into_values().collect();
        assert_eq!((values.as_slice(), source.1.get()), (want, reads), "{text}");
    };
    check("sum(m)", 2_000, &[15.0], 0);
    check("sum by (g) (m * 2)", 2_000, &[12.0, 18.0], 0);
    check("topk(2, m) + 1", 2_000, &[5.0, 6.0], 0);
    check(r#"max(m) - on () min(m{i!="7"})"#, 2_000, &[5.0], 0);
    check(r#"count_values("v", m > 3)"#, 2_000, &[1.0, 1.0], 0);
    check("sum(sum by (g) (m))", 2_000, &[15.0], 0);
    // These need all series in one place; what is there twice is evaluated once.
    check("max(m) - on () min(m)", 2_000, &[5.0], 1);
    check("quantile(0.5, m)", 2_000, &[2.5], 1);
    check("sum(topk(1, m))", 2_000, &[5.0], 0);
    check("limitk(1, m)", 2_000, &[0.0], 1);
    // A series that is in two shards must not be counted twice.
    send(1, 0, 1_500);
    check("count(m)", 2_000, &[6.0], 1);
    check("count(m)", 1_200, &[6.0], 0);
    // Nor may what was flushed be missing.
    world.cut(0);
    check("sum(m)", 2_000, &[15.0], 1);
    world.drop_cut(0);
    check("sum(m)", 2_000, &[15.0], 1);
    check("sum(m offset -1h)", 2_000, &[], 0);
    // Nor may what is to be deleted be counted.
    (0..6).for_each(|i| send(i % 3, i, 10_000_000));
    check("count(m)", 10_000_000, &[6.0], 0);
    world.ask(r#"m{i="3"}"#, TimeRange::ALL);
    check("count(m)", 10_000_000, &[5.0], 1);
}

#[test]
fn leaders_aggregate_the_steps_after_what_is_flushed() {
    let world = World::new(Signal::Metrics, 2);
    let labels = |i: u32| Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())]);
    let all: Vec<Labels> = (0..6).map(labels).collect();
    for time in 1..=100 {
        for (shard, half) in (0..2).zip(all.chunks(3)) {
            let samples: Vec<_> = half.iter().map(|labels| (labels, time * 1_000, time as f64)).collect();
            append_samples(&world, shard, &samples);
        }
        if time == 50 {
            (0..2).for_each(|shard| world.cut(shard));
            (0..2).for_each(|shard| world.drop_cut(shard));
        }
    }
    let _within = RUNTIME.enter();
    let check = |text: &str, of: &dyn Fn(i64) -> f64, folds: u64| {
        let options = promql::Options { text: Some(text.into()), ..promql::Options::default() };
        let before = world.folded();
        let expr = promql::parse(text).expect("a query");
        let answer = promql::range(&world.rows(), &expr, 20_000, 100_000, 1_000, &options).expect("answers");
        let want: Points = (20..=100).map(|step| ((Labels::empty(), step * 1_000), of(step))).collect();
        assert_eq!(points(answer.value), want, "{text}");
        assert_eq!(world.folded() - before, folds, "{text}");
    };
    check("sum(m)", &|step| 6.0 * step as f64, 0);
    check("sum(sum_over_time(m[10s]))", &|step| (step - 9..=step).map(|time| 6.0 * time as f64).sum(), 1);
    check("max(max_over_time(m[5s] offset 10s))", &|step| (step - 10) as f64, 1);
    check("min(m @ 30)", &|_| 30.0, 0);
    check("count(m offset 5s)", &|_| 6.0, 0);
    check("max(max_over_time(sum(sum_over_time(m[1s]))[5s:1s]))", &|step| 6.0 * step as f64, 1);
}

#[test]
fn other_queriers_do_their_slices_of_what_is_closed() {
    let world = World::new(Signal::Metrics, 2);
    let labels = |i: u32| Labels::from_pairs([("__name__", "m"), ("i", &format!("{i:03}"))]);
    let all: Vec<Labels> = (0..200).map(labels).collect();
    for time in 0..4 {
        for (shard, half) in (0..2).zip(all.chunks(100)) {
            let samples: Vec<_> = half.iter().map(|labels| (labels, time * 1_000, 1.0)).collect();
            append_samples(&world, shard, &samples);
            world.cut(shard);
            world.drop_cut(shard);
        }
    }
    let _within = RUNTIME.enter();
    let ask = |text: &str| {
        let rows = world.rows();
        let closed = RUNTIME.block_on(rows.closed(TimeRange::new(-1 << 40, 1 << 40))).expect("answers");
        let rows = TenantRows { closed: closed.map(Arc::new), ..rows };
        let options = promql::Options { text: Some(text.into()), ..promql::Options::default() };
        let answer = promql::range(&rows, &promql::parse(text).expect("a query"), 3_000, 4_000, 500, &options);
        points(answer.expect("answers").value).into_values().collect::<Vec<f64>>()
    };
    assert_eq!((ask("count(m)"), world.sliced()), (vec![200.0; 3], (0, 0)), "nobody else is there");
    world.add_queriers(&[true, true]);
    assert_eq!((ask("count(m)"), world.sliced()), (vec![200.0; 3], (2, 0)));
    assert_eq!((ask(r#"sum(sum_over_time(m{i="007"}[1m]))"#), world.sliced()), (vec![4.0; 3], (2, 0)), "too little");
    // One that does nothing leaves its slice here.
    world.add_queriers(&[false]);
    assert_eq!((ask("count(m)"), world.sliced()), (vec![200.0; 3], (5, 1)));
    world.ask(r#"m{i="007"}"#, TimeRange::ALL);
    assert_eq!((ask("count(m)"), world.sliced()), (vec![199.0; 3], (5, 1)), "rows are hidden here");
}

/// So many lines at each time.
fn by_time(counts: impl Iterator<Item = (i64, u64)>) -> BTreeMap<i64, u64> {
    counts.fold(BTreeMap::new(), |mut all, (time, lines)| {
        *all.entry(time).or_default() += lines;
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn samples_may_be_anywhere(
        mut all in random_metrics::all_series(),
        texts in prop::collection::vec(random_metrics::vector(), 6),
        shards in 1..4u32,
        mut chance in chance(),
        (start, step) in (0..200_000i64, 1_000..40_000i64),
    ) {
        let world = World::new(Signal::Metrics, shards);
        spread_samples(&world, shards, &all, &mut chance);
        let _within = RUNTIME.enter();
        all.sort_by(|a, b| metrics::order(&a.labels(), &b.labels()));
        let (alone, everywhere, one_place) = (promql::Options::default(), world.rows(), OnePlace(all));
        // Up to fifteen threads more: sums then differ in their last bits.
        let together = promql::Options { spare: Arc::new(|| Some(Box::new(()))), ..alone.clone() };
        for text in &texts {
            let expr = promql::parse(text).expect("a query");
            let ask = |source: &dyn SeriesSource, options| {
                promql::range(source, &expr, start, start + 12 * step, step, options).map(|answer| points(answer.value))
            };
            let want = ask(&one_place, &alone);
            prop_assert_eq!(differ(ask(&everywhere, &alone), want.clone(), 0.0), None, "{}", text);
            prop_assert_eq!(differ(ask(&everywhere, &together), want.clone(), 1e-9), None, "on several threads: {}", text);
            let there = promql::Options { text: Some(text.as_str().into()), ..together.clone() };
            prop_assert_eq!(differ(ask(&everywhere, &there), want, 1e-9), None, "where the rows are: {}", text);
        }
        check_values(&everywhere, Signal::Metrics, &["", "__name__", "a", "le"])?;
    }

    #[test]
    fn queriers_share_what_is_closed(
        mut all in random_metrics::all_series(),
        texts in prop::collection::vec(random_metrics::vector(), 4),
        shards in 1..4u32,
        mut chance in chance(),
        works in prop::collection::vec(any::<bool>(), 1..4),
        (start, step) in (0..200_000i64, 1_000..40_000i64),
    ) {
        let world = World::new(Signal::Metrics, shards);
        spread_samples(&world, shards, &all, &mut chance);
        for shard in 0..shards {
            world.cut(shard);
            world.drop_cut(shard);
        }
        world.merge(0, 1 + chance.pick(6), u64::MAX);
        let _within = RUNTIME.enter();
        world.add_queriers(&works);
        let rows = world.rows();
        let closed = RUNTIME.block_on(rows.closed(TimeRange::new(-1 << 40, 1 << 40))).expect("answers");
        prop_assert!(closed.is_some(), "all is flushed");
        let rows = TenantRows { closed: closed.map(Arc::new), ..rows };
        all.sort_by(|a, b| metrics::order(&a.labels(), &b.labels()));
        let one_place = OnePlace(all);
        for text in &texts {
            let expr = promql::parse(text).expect("a query");
            let options = promql::Options { text: Some(text.as_str().into()), ..promql::Options::default() };
            let ask = |source: &dyn SeriesSource| {
                promql::range(source, &expr, start, start + 12 * step, step, &options).map(|answer| points(answer.value))
            };
            prop_assert_eq!(differ(ask(&rows), ask(&one_place), 1e-9), None, "{}", text);
        }
        let (asked, failed) = world.sliced();
        if works.iter().all(|works| *works) {
            prop_assert_eq!(failed, 0, "of {}", asked);
        }
    }

    #[test]
    fn a_tail_tells_each_row_once(
        all in random_logs::rows(1..60),
        shards in 1..4u32,
        mut chance in chance(),
    ) {
        let world = World::new(Signal::Logs, shards);
        let _within = RUNTIME.enter();
        let told = follow(&world, shards, &all, 1000, &mut chance);
        prop_assert!(told.windows(2).all(|two| two[0] != two[1]), "{:?}", told);
    }

    #[test]
    fn lines_may_be_anywhere(
        all in random_logs::rows(0..200),
        (numbers, lines) in (prop::collection::vec(random_logs::metric(), 6), prop::collection::vec(random_logs::log(), 4)),
        shards in 1..4u32,
        mut chance in chance(),
        works in prop::collection::vec(any::<bool>(), 0..3),
        (start, step, limit, newest) in (0..40i64, 1..20i64, 1..100usize, any::<bool>()),
    ) {
        let world = World::new(Signal::Logs, shards);
        spread_lines(&world, shards, &all, &mut chance);
        let _within = RUNTIME.enter();
        world.add_queriers(&works);
        let options = logql::Options { spare: Arc::new(|| Some(Box::new(()))), ..logql::Options::default() };
        let (everywhere, one_place) = (world.rows(), one_place(&all));
        let (start, end, step) = (start * SECOND, (start + 8 * step) * SECOND, step * SECOND);
        for text in &numbers {
            let expr = logql::parse(text).expect("a query");
            let ask = |source: &dyn PageSource| logql::range(source, &expr, start, end, step, &options).map(points);
            prop_assert_eq!(differ(ask(&everywhere), ask(&one_place), 1e-9), None, "{}", text);
        }
        let order = if newest { Order::Backward } else { Order::Forward };
        for text in &lines {
            let expr = logql::parse(text).expect("a query");
            let ask = |source: &dyn PageSource| logql::entries(source, &expr, start, end, limit, order, &options);
            prop_assert_eq!(ask(&everywhere), ask(&one_place), "{}", text);
            let templates = logql::patterns(&everywhere, &expr, (start, end), step, &options).expect("templates");
            let counts = templates.iter().flat_map(|template| &template.counts);
            let every = logql::entries(&one_place, &expr, start, end, all.len().max(1), order, &options).expect("lines");
            let lines = every.iter().flat_map(|stream| &stream.entries).map(|entry| (entry.time_ns / step * step, 1));
            prop_assert_eq!(by_time(counts.map(|(time, lines)| (*time, *lines))), by_time(lines), "{}", text);
        }
        check_values(&everywhere, Signal::Logs, &["", "app", "nobody"])?;
        let (asked, failed) = world.sliced();
        if works.iter().all(|works| *works) {
            prop_assert_eq!(failed, 0, "of {}", asked);
        }
    }
}
