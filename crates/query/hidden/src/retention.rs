//! Rows that a tenant keeps for a shorter time than others, as requests that name those which have passed it.

use crate::selector::Selector;
use deletes::{Progress, Request};
use model::Signal;
use tenancy::{Limits, RetentionSettings};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What is wrong with the selectors of `limits.retention.shorter`.
pub fn check(limits: &Limits) -> Result<(), String> {
    limits.retention.shorter.iter().try_for_each(|shorter| {
        let selector = shorter.selector().ok_or("retention.shorter has either `logs` or `metrics`, a selector")?;
        let read = Selector::read(selector.0, selector.1).map(drop);
        read.map_err(|why| format!("retention.shorter: {}: {why}", selector.1))
    })
}

/// The rows of a signal that have passed a shorter retention by `now` (Unix milliseconds). No catalog has these requests:
/// what is their version says which selector it is, and is the same whenever it is asked.
pub fn passed(retention: &RetentionSettings, signal: Signal, now: i64) -> Vec<Request> {
    let of = |shorter: &tenancy::Shorter| {
        let (_, query) = shorter.selector().filter(|(own, _)| *own == signal)?;
        Some(Request {
            version: xxh3_64_with_seed(query.as_bytes(), signal.code().into()),
            signal,
            query: query.to_owned(),
            start: i64::MIN,
            end: shorter.oldest(signal, now).saturating_sub(1),
            created: 0,
            progress: Progress::Received,
        })
    };
    retention.shorter.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tenancy::Shorter;

    fn shorter(logs: Option<&str>, metrics: Option<&str>) -> Shorter {
        let keep = Duration::from_secs(10);
        Shorter { logs: logs.map(str::to_owned), metrics: metrics.map(str::to_owned), keep }
    }

    #[test]
    fn selectors_are_checked() {
        let check = |own: Shorter, want: Option<&str>| {
            let retention = RetentionSettings { shorter: vec![own.clone()], ..RetentionSettings::default() };
            let found = check(&Limits { retention, ..Limits::default() });
            match want {
                None => assert_eq!(found, Ok(()), "{own:?}"),
                Some(word) => assert!(found.as_ref().is_err_and(|why| why.contains(word)), "{own:?}: {found:?}"),
            }
        };
        check(shorter(Some("{app=\"a\"} |= \"x\""), None), None);
        check(shorter(None, Some("{__name__=~\"[^:]+\"}")), None);
        check(shorter(None, None), Some("either"));
        check(shorter(Some("{a=\"b\"}"), Some("up")), Some("either"));
        check(shorter(Some("{app=}"), None), Some("{app=}"));
        check(shorter(Some("{app=\"a\"} | json"), None), Some("line filters"));
        check(shorter(None, Some("rate(up[5m])")), Some("rate"));
    }

    #[test]
    fn what_has_passed_is_named() {
        let shorter = vec![shorter(Some("{app=\"a\"}"), None), shorter(None, Some("up"))];
        let retention = RetentionSettings { shorter, ..RetentionSettings::default() };
        let ends = |signal, now| -> Vec<(String, i64)> {
            passed(&retention, signal, now).into_iter().map(|request| (request.query, request.end)).collect()
        };
        assert_eq!(ends(Signal::Metrics, 25_000), [("up".to_owned(), 14_999)]);
        assert_eq!(ends(Signal::Logs, 25_000), [("{app=\"a\"}".to_owned(), 14_999_999_999)]);
        let (one, other) = (passed(&retention, Signal::Logs, 1), passed(&retention, Signal::Logs, 2));
        assert_eq!(one[0].version, other[0].version);
    }
}
