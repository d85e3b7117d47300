//! What a query holds of objects is counted while it is held, and no longer; what it reads, once and for all.

use super::{RUNTIME, Row, SECOND, World, append_lines, append_samples};
use crate::federation::Rows;
use crate::reading::Reading;
use crate::source::TenantRows;
use eval::source::{SeriesSource, SourceError};
use logql::Options;
use model::{ByteSize, Labels, Matcher, Reason, Signal, TimeRange};
use std::sync::Arc;

const SERIES: i64 = 300;

/// An object with this many series, of 20 samples each.
fn world() -> World {
    let world = World::new(Signal::Metrics, 1);
    let name = |n: i64| Labels::from_pairs([("__name__", "m".to_owned()), ("n", n.to_string())]);
    let names: Vec<Labels> = (0..SERIES).map(name).collect();
    let samples = names.iter().flat_map(|labels| (0..20).map(move |at| (labels, at * 1000, at as f64)));
    append_samples(&world, 0, &samples.collect::<Vec<_>>());
    world.cut(0);
    world.drop_cut(0);
    world
}

/// How many series come, and the most that was held with one of them.
fn read(rows: &TenantRows, matchers: &[Matcher]) -> Result<(usize, u64), SourceError> {
    let (mut count, mut most) = (0, 0);
    for series in SeriesSource::select(rows, matchers, TimeRange::ALL)? {
        series?;
        count += 1;
        most = most.max(rows.reading.used());
    }
    Ok((count, most))
}

#[test]
fn a_query_that_is_too_wide_is_refused_and_gives_everything_back() {
    let _within = RUNTIME.enter();
    let world = world();
    let check = |limit: u64, matchers: &[Matcher]| {
        let rows = world.rows_within(ByteSize(limit));
        let found = read(&rows, matchers);
        assert_eq!(rows.reading.used(), 0, "within {limit} bytes");
        found
    };
    let (count, most) = check(u64::MAX, &[]).expect("within no limit");
    let list = SERIES as u64 * 4;
    assert_eq!(count as i64, SERIES);
    assert!(most > list, "{most} bytes are only the list");
    check(most, &[]).expect("within what it takes");
    let one = [Matcher::equal("n", "7")];
    assert_eq!(check(most, &one).expect("one series").0, 1);
    // Too little for the list alone, for the pages, for a list that is shorter in the end.
    for (limit, matchers) in [(list - 1, &[][..]), (list + 10, &[]), (list - 1, &one)] {
        let error = check(limit, matchers).expect_err("too much");
        assert_eq!(error.reason, Reason::Unprocessable, "{error}");
        assert!(error.text.contains("limits.query_memory"), "{error}");
    }
}

/// The rows of a world, of a query that may read so much.
fn reading(world: &World, most: u64) -> Rows {
    let reading = Reading::new(ByteSize(u64::MAX), ByteSize(most), Arc::new(|| false));
    Rows::new(vec![TenantRows { reading: reading.clone(), ..world.rows() }], reading)
}

fn is_refused(error: &impl std::fmt::Display, most: u64) {
    let text = error.to_string();
    assert!(text.contains("limits.query_bytes") && text.contains("narrow"), "with {most}: {text}");
}

#[test]
fn a_query_of_samples_reads_no_more_than_it_may() {
    let _within = RUNTIME.enter();
    let world = world();
    let ask = |most: u64| -> Result<usize, SourceError> {
        let rows = reading(&world, most);
        let series = SeriesSource::select(&rows, &[], TimeRange::ALL)?;
        series.map(|series| series.map(|_| 1)).sum()
    };
    assert_eq!(ask(u64::MAX), Ok(SERIES as usize));
    is_refused(&ask(10).expect_err("too much"), 10);
}

#[test]
fn a_query_of_lines_reads_no_more_than_it_may() {
    let _within = RUNTIME.enter();
    let world = World::new(Signal::Logs, 1);
    let row = |at: i64| Row { stream: 0, time: at * SECOND, line: format!("line {at}"), trace: None };
    for object in 0..4 {
        let rows: Vec<Row> = (object * 100..object * 100 + 100).map(row).collect();
        append_lines(&world, 0, &rows.iter().collect::<Vec<_>>());
        // The last ones stay in the head.
        if object < 3 {
            world.cut(0);
            world.drop_cut(0);
        }
    }
    let numbers = logql::parse(r#"sum(bytes_over_time({app="api"}[1h]))"#).expect("a query");
    let lines = logql::parse(r#"{app="api"} |~ "l.ne""#).expect("a query");
    let options = Options::default();
    let count = |most| logql::instant(&reading(&world, most), &numbers, 3_600 * SECOND, &options);
    let list = |most| {
        let order = eval::source::Order::Forward;
        logql::entries(&reading(&world, most), &lines, 0, i64::MAX, 1_000, order, &options)
    };
    assert!(count(u64::MAX).is_ok());
    assert_eq!(list(u64::MAX).expect("lines").iter().map(|stream| stream.entries.len()).sum::<usize>(), 400);
    is_refused(&count(10).expect_err("too much"), 10);
    is_refused(&list(10).expect_err("too much"), 10);
}
