//! `interval` of log queries: of all lines in their order, only those that lie so far from the last one that was taken.

use eval::source::{Order, PageSource};
use logql::{Entry, Error, Expr, Options, StreamEntries};
use model::Labels;
use std::collections::BTreeMap;

/// The most lines of one look: between two that are taken there may be many.
const LOOK: usize = 1000;

/// As [`logql::entries`], with at least `interval` nanoseconds between two lines, of whatever stream; it is more than zero.
#[allow(clippy::too_many_arguments)] // those of a log query, and one more
pub fn entries(
    source: &dyn PageSource,
    expr: &Expr,
    (mut start, mut end): (i64, i64),
    limit: usize,
    order: Order,
    interval: i64,
    options: &Options,
) -> Result<Vec<StreamEntries>, Error> {
    let mut taken: BTreeMap<Labels, Vec<Entry>> = BTreeMap::new();
    let mut count = 0;
    loop {
        let look = limit.max(LOOK);
        let mut found: Vec<(Labels, Entry)> = Vec::new();
        for StreamEntries { labels, entries } in logql::entries(source, expr, start, end, look, order, options)? {
            found.extend(entries.into_iter().map(|entry| (labels.clone(), entry)));
        }
        let is_last = found.len() < look;
        found.sort_by_key(|(_, entry)| if order == Order::Forward { entry.time_ns } else { !entry.time_ns });
        for (labels, entry) in found {
            if entry.time_ns < start || entry.time_ns >= end {
                continue; // too near to the last one
            }
            match order {
                Order::Forward => start = entry.time_ns.saturating_add(interval),
                Order::Backward => end = entry.time_ns.saturating_sub(interval).saturating_add(1),
            }
            taken.entry(labels).or_default().push(entry);
            count += 1;
            if count == limit {
                break;
            }
        }
        if is_last || count == limit {
            let streams = taken.into_iter().map(|(labels, entries)| StreamEntries { labels, entries });
            return Ok(streams.collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eval::source::{LogSelection, PageIter, SourceError};
    use model::LogPage;

    struct Lines(LogPage);

    impl PageSource for Lines {
        fn select(&self, _: &LogSelection) -> Result<PageIter<'_>, SourceError> {
            Ok(Box::new(std::iter::once(Ok(self.0.clone()))))
        }
    }

    #[test]
    fn lines_lie_so_far_apart() {
        let mut page = LogPage::new(Labels::from_pairs([("a", "b")]));
        (0..5000).for_each(|time| page.push(time, "x", Labels::empty()));
        let (source, expr) = (Lines(page), logql::parse(r#"{a="b"}"#).expect("a query"));
        let check = |order, range, limit, interval, want: &[i64]| {
            let found = entries(&source, &expr, range, limit, order, interval, &Options::default()).expect("lines");
            let times: Vec<i64> = found.iter().flat_map(|s| &s.entries).map(|entry| entry.time_ns).collect();
            assert_eq!(times, want, "{order:?} {range:?} {limit} {interval}");
        };
        check(Order::Forward, (0, 5000), 100, 1500, &[0, 1500, 3000, 4500]);
        check(Order::Backward, (0, 5000), 100, 1500, &[4999, 3499, 1999, 499]);
        check(Order::Backward, (0, 5000), 2, 10, &[4999, 4989]);
        check(Order::Forward, (7, 12), 100, 1, &[7, 8, 9, 10, 11]);
        check(Order::Forward, (6000, 7000), 100, 1, &[]);
    }
}
