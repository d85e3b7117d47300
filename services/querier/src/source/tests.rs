//! However rows are spread over shards, heads, segments and blocks, and in whatever order they came: queries answer what
//! they answer over all rows in one place.

mod deleted;
#[path = "../../../../crates/query/logql/tests/source/memory.rs"]
mod memory;
#[path = "../../../../crates/query/logql/tests/agreement/random.rs"]
mod random_logs;
#[path = "../../../../crates/query/promql/tests/agreement/random.rs"]
mod random_metrics;
mod world;

use eval::source::{Order, PageSource, SeriesIter, SeriesSource, SourceError};
use eval::value::{SampleValue, Value};
use memory::Memory;
use model::{BatchId, Labels, Matcher, Series, Signal, TimeRange};
use proptest::prelude::*;
use random_logs::{Row, SECOND, STREAMS};
use std::collections::BTreeMap;
use std::sync::Arc;
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

fn one_place(rows: &[Row]) -> Memory {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut memory = Memory::default();
    for row in rows {
        let metadata: Vec<_> = row.trace.map(|trace| ("trace", trace)).into_iter().collect();
        memory.push(&map(STREAMS[row.stream]), row.time, &row.line, &map(&metadata));
    }
    memory
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
            prop_assert_eq!(differ(ask(&everywhere, &together), want, 1e-9), None, "on several threads: {}", text);
        }
    }

    #[test]
    fn lines_may_be_anywhere(
        all in random_logs::rows(0..200),
        (numbers, lines) in (prop::collection::vec(random_logs::metric(), 6), prop::collection::vec(random_logs::log(), 4)),
        shards in 1..4u32,
        mut chance in chance(),
        (start, step, limit, newest) in (0..40i64, 1..20i64, 1..100usize, any::<bool>()),
    ) {
        let world = World::new(Signal::Logs, shards);
        spread_lines(&world, shards, &all, &mut chance);
        let _within = RUNTIME.enter();
        let (options, everywhere, one_place) = (logql::Options::default(), world.rows(), one_place(&all));
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
        }
    }
}
