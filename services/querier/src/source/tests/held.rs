//! What a query holds of objects is counted while it is held, and no longer.

use super::{RUNTIME, World, append_samples};
use crate::source::TenantRows;
use eval::source::{SeriesSource, SourceError};
use model::{ByteSize, Labels, Matcher, Reason, Signal, TimeRange};

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
