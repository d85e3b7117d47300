//! Rows that are to be deleted: what is shown is what an obvious filter leaves, before anything is rewritten, while it is,
//! and when it is done.

use super::*;
use crate::kept::Kept;
use std::collections::HashSet;
use std::time::Duration;
use tenancy::{RetentionSettings, Shorter};

/// Selectors of lines, and the same the obvious way.
type IsNamed = fn(&Row) -> bool;
const LINES: [(&str, IsNamed); 5] = [
    (r#"{app="api"}"#, |row| row.stream < 2),
    (r#"{pod="a"} |= "5""#, |row| row.stream == 0 && row.line.contains('5')),
    (r#"{app=~".+"} |= "404" or "x""#, |row| row.line.contains("404") || row.line.contains('x')),
    (r#"{app="text"} !~ "^a""#, |row| row.stream == 3 && !row.line.starts_with('a')),
    (r#"{app="nobody"}"#, |_| false),
];

fn asks() -> impl Strategy<Value = Vec<(usize, i64, i64)>> {
    prop::collection::vec((0..5usize, 0..100i64, 0..60i64), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn lines_that_no_request_names_are_shown_and_no_others(
        all in random_logs::rows(0..150),
        (numbers, lines) in (prop::collection::vec(random_logs::metric(), 3), prop::collection::vec(random_logs::log(), 3)),
        asks in asks(),
        shards in 1..3u32,
        mut chance in chance(),
        (limit, newest) in (1..60usize, any::<bool>()),
    ) {
        let world = World::new(Signal::Logs, shards);
        let (before, after) = all.split_at(all.len() / 2);
        spread_lines(&world, shards, before, &mut chance);
        let _within = RUNTIME.enter();
        let range = |start: i64, long: i64| TimeRange::new(start * SECOND, (start + long) * SECOND);
        let requests: Vec<u64> = asks.iter().map(|(at, start, long)| world.ask(LINES[*at].0, range(*start, *long))).collect();
        // What comes before a request is processed goes as well.
        spread_lines(&world, shards, after, &mut chance);
        let is_named = |row: &Row| {
            asks.iter().any(|(at, start, long)| range(*start, *long).contains(row.time) && LINES[*at].1(row))
        };
        let left: Vec<Row> = all.iter().filter(|row| !is_named(row)).cloned().collect();
        let streams: HashSet<Labels> =
            left.iter().map(|row| Labels::from_pairs(STREAMS[row.stream].iter().copied())).collect();
        let (options, one_place) = (logql::Options::default(), one_place(&left));
        let order = if newest { Order::Backward } else { Order::Forward };
        for state in ["hidden", "rewritten", "processed"] {
            match state {
                "hidden" => {}
                "rewritten" => {
                    (0..shards).for_each(|shard| {
                        world.cut(shard);
                        world.drop_cut(shard);
                    });
                    world.rewrite();
                }
                _ => requests.iter().for_each(|request| world.finish(*request)),
            }
            let everywhere = world.rows();
            let (start, end, step) = (0, 110 * SECOND, 10 * SECOND);
            for text in &numbers {
                let expr = logql::parse(text).expect("a query");
                let ask = |source: &dyn PageSource| logql::range(source, &expr, start, end, step, &options).map(points);
                prop_assert_eq!(differ(ask(&everywhere), ask(&one_place), 1e-9), None, "{}: {}", state, text);
            }
            for text in &lines {
                let expr = logql::parse(text).expect("a query");
                let ask = |source: &dyn PageSource| logql::entries(source, &expr, start, end, limit, order, &options);
                prop_assert_eq!(ask(&everywhere), ask(&one_place), "{}: {}", state, text);
            }
            let series = everywhere.series(Signal::Logs, &[], TimeRange::ALL).expect("answers");
            prop_assert_eq!(&series, &streams, "{}", state);
            check_values(&everywhere, Signal::Logs, &["", "app"])?;
        }
    }

    #[test]
    fn lines_that_have_passed_a_shorter_retention_are_not_shown(
        all in random_logs::rows(0..150),
        (numbers, lines) in (prop::collection::vec(random_logs::metric(), 3), prop::collection::vec(random_logs::log(), 3)),
        shorter in prop::collection::vec((0..5usize, 1..110u64), 1..4),
        shards in 1..3u32,
        mut chance in chance(),
        (limit, newest) in (1..60usize, any::<bool>()),
    ) {
        let world = World::new(Signal::Logs, shards);
        spread_lines(&world, shards, &all, &mut chance);
        let _within = RUNTIME.enter();
        let of = |(at, keep): &(usize, u64)| {
            let (logs, keep) = (Some(LINES[*at].0.to_owned()), Duration::from_secs(*keep));
            Shorter { logs, metrics: None, keep }
        };
        let retention = RetentionSettings { shorter: shorter.iter().map(of).collect(), ..RetentionSettings::default() };
        let everywhere = TenantRows { kept: Kept::at(&retention, 110_000), ..world.rows() };
        let has_passed = |row: &Row| {
            shorter.iter().any(|(at, keep)| row.time < (110 - *keep as i64) * SECOND && LINES[*at].1(row))
        };
        let left: Vec<Row> = all.iter().filter(|row| !has_passed(row)).cloned().collect();
        let (options, one_place) = (logql::Options::default(), one_place(&left));
        let order = if newest { Order::Backward } else { Order::Forward };
        let (start, end, step) = (0, 110 * SECOND, 10 * SECOND);
        for text in &numbers {
            let expr = logql::parse(text).expect("a query");
            let ask = |source: &dyn PageSource| logql::range(source, &expr, start, end, step, &options).map(points);
            prop_assert_eq!(differ(ask(&everywhere), ask(&one_place), 1e-9), None, "{}", text);
        }
        for text in &lines {
            let expr = logql::parse(text).expect("a query");
            let ask = |source: &dyn PageSource| logql::entries(source, &expr, start, end, limit, order, &options);
            prop_assert_eq!(ask(&everywhere), ask(&one_place), "{}", text);
        }
        check_values(&everywhere, Signal::Logs, &["", "app"])?;
    }

    #[test]
    fn samples_that_no_request_names_are_shown_and_no_others(
        mut all in random_metrics::all_series(),
        texts in prop::collection::vec(random_metrics::vector(), 4),
        asks in prop::collection::vec((0..9usize, 0..200_000i64, 0..100_000i64), 1..4),
        shards in 1..3u32,
        mut chance in chance(),
    ) {
        let world = World::new(Signal::Metrics, shards);
        spread_samples(&world, shards, &all, &mut chance);
        let _within = RUNTIME.enter();
        all.sort_by(|a, b| metrics::order(&a.labels(), &b.labels()));
        let mut requests = Vec::new();
        let mut left = all.clone();
        for (at, start, long) in &asks {
            let Some(labels) = all.get(at % all.len().max(1)).map(Series::labels) else { continue };
            let range = TimeRange::new(*start, start + long);
            // One series, or all of a metric.
            let pairs = labels.iter().filter(|(name, _)| *at < all.len() || *name == "__name__");
            let own: Vec<Matcher> = pairs.map(|(name, value)| Matcher::equal(name, value)).collect();
            let text: Vec<String> = own.iter().map(Matcher::to_string).collect();
            requests.push(world.ask(&format!("{{{}}}", text.join(",")), range));
            for series in left.iter_mut().filter(|series| Matcher::all(&own, &series.labels())) {
                let both = series.times.iter().copied().zip(series.values.iter().copied());
                (series.times, series.values) = both.filter(|(time, _)| !range.contains(*time)).unzip();
            }
        }
        left.retain(|series| !series.is_empty());
        let names: HashSet<Labels> = left.iter().map(Series::labels).collect();
        let (options, one_place) = (promql::Options::default(), OnePlace(left));
        for state in ["hidden", "rewritten", "processed"] {
            match state {
                "hidden" => {}
                "rewritten" => {
                    (0..shards).for_each(|shard| {
                        world.cut(shard);
                        world.drop_cut(shard);
                    });
                    world.rewrite();
                }
                _ => requests.iter().for_each(|request| world.finish(*request)),
            }
            let everywhere = world.rows();
            for text in &texts {
                let expr = promql::parse(text).expect("a query");
                let ask = |source: &dyn SeriesSource| {
                    promql::range(source, &expr, 0, 240_000, 20_000, &options).map(|answer| points(answer.value))
                };
                prop_assert_eq!(differ(ask(&everywhere), ask(&one_place), 0.0), None, "{}: {}", state, text);
            }
            let series = everywhere.series(Signal::Metrics, &[], TimeRange::ALL).expect("answers");
            prop_assert_eq!(&series, &names, "{}", state);
            check_values(&everywhere, Signal::Metrics, &["", "__name__", "a", "b"])?;
        }
    }
}

#[test]
fn values_of_hidden_series_alone_are_not_told() {
    let world = World::new(Signal::Metrics, 1);
    let job = |job: &str| Labels::from_pairs([("__name__", "m"), ("job", job)]);
    append_samples(&world, 0, &[(&job("a"), 1_000, 1.0), (&job("b"), 1_000, 1.0)]);
    let _within = RUNTIME.enter();
    let values = || world.rows().label_values(Signal::Metrics, "job", &[], TimeRange::ALL).expect("values");
    assert_eq!(values(), ["a", "b"].map(Box::from));
    world.ask(r#"{job="a"}"#, TimeRange::ALL);
    assert_eq!(values(), ["b"].map(Box::from));
}
