//! What is hidden is what an obvious filter says.

use super::*;
use deletes::Progress;
use model::Signal;
use proptest::prelude::*;

fn request(signal: Signal, query: &str, start: i64, end: i64) -> Request {
    Request { version: 1, signal, query: query.into(), start, end, created: 0, progress: Progress::Received }
}

#[test]
fn selectors_that_say_more_than_which_rows_are_refused() {
    let check = |signal, query: &str, word: &str| match crate::matchers(signal, query) {
        Ok(_) => assert_eq!(word, "", "{query}"),
        Err(error) => assert!(!word.is_empty() && error.to_string().contains(word), "{query}: {error}"),
    };
    check(Signal::Logs, r#"{app="a"}"#, "");
    check(Signal::Logs, r#"{app="a"} |= "x" or "y" !~ "z.*" |> "<_> error <_>""#, "");
    check(Signal::Logs, r#"{app="a"} | json"#, "nothing else");
    check(Signal::Logs, r#"{app="a"} |= "x" | level="error""#, "nothing else");
    check(Signal::Logs, r#"count_over_time({app="a"}[1m])"#, "nothing else");
    check(Signal::Logs, r#"{app=~".*"}"#, "at least one");
    check(Signal::Logs, r#"{app="a"} |~ "(""#, "(");
    check(Signal::Logs, "", "syntax error");
    check(Signal::Logs, "\u{0}{{{{", "error");
    check(Signal::Metrics, r#"up{job=~"a.*"}"#, "");
    check(Signal::Metrics, "{}", "at least one");
    check(Signal::Metrics, "rate(up[1m])", "series selector");
    check(Signal::Metrics, "up offset 5m", "series selector");
    check(Signal::Metrics, r#"{app="a"} |= "x""#, "unexpected");
}

#[test]
fn a_selection_of_other_streams_is_not_touched() {
    let hidden = Hidden::of(&[request(Signal::Logs, r#"{app="a", env=~"x|y"}"#, 0, 9)]).expect("reads");
    let check = |text: &str, want: bool| {
        assert_eq!(hidden.may_touch(&crate::matchers(Signal::Logs, text).expect("reads")), want, "{text}");
    };
    check(r#"{app="a"}"#, true);
    check(r#"{zone="z"}"#, true);
    check(r#"{app=~"a|b", env="y"}"#, true);
    check(r#"{app="b"}"#, false);
    check(r#"{app=~"b.*"}"#, false);
    check(r#"{env="z"}"#, false);
    check(r#"{zone="z", app!="a"}"#, false);
}

const QUERIES: [&str; 4] =
    [r#"{app="a"}"#, r#"{app=~"a|b"} |= "1""#, r#"{zone="x", app!="a"} !~ "[12]""#, r#"{zone="x"} |= """#];

/// The same, the obvious way.
fn is_named(query: &str, app: &str, line: &str) -> bool {
    match QUERIES.iter().position(|known| *known == query) {
        Some(0) => app == "a",
        Some(1) => (app == "a" || app == "b") && line.contains('1'),
        Some(2) => app != "a" && !line.contains('1') && !line.contains('2'),
        Some(3) => true,
        _ => panic!("{query}"),
    }
}

fn requests() -> impl Strategy<Value = Vec<(usize, i64, i64)>> {
    prop::collection::vec((0..QUERIES.len(), 0..20i64, 0..8i64), 0..4)
}

proptest! {
    #[test]
    fn lines_that_no_request_names_are_shown(
        app in "[abc]",
        rows in prop::collection::vec((0..30i64, "[123]{1,2}", any::<bool>()), 0..20),
        requests in requests(),
    ) {
        let labels = Labels::from_pairs([("app", app.as_str()), ("zone", "x")]);
        let made: Vec<Request> = requests
            .iter()
            .map(|(query, start, long)| request(Signal::Logs, QUERIES[*query], *start, start + long))
            .collect();
        let is_shown = |(time, line, _): &&(i64, String, bool)| {
            !made.iter().any(|r| r.range().contains(*time) && is_named(&r.query, &app, line))
        };
        let page = |rows: &[&(i64, String, bool)]| {
            let mut page = LogPage::new(labels.clone());
            for (time, line, has) in rows {
                let metadata = if *has { Labels::from_pairs([("m", line.as_str())]) } else { Labels::empty() };
                page.push(*time, line, metadata);
            }
            page
        };
        let want: Vec<_> = rows.iter().filter(is_shown).collect();
        let shown = Hidden::of(&made).expect("reads").shown(page(&rows.iter().collect::<Vec<_>>()));
        let of = |page: &LogPage| -> Vec<_> {
            let row = |row| (page.times[row], page.line(row).to_owned(), page.metadata(row).cloned().filter(|m| !m.is_empty()));
            (0..page.len()).map(row).collect()
        };
        prop_assert_eq!(of(&shown), of(&page(&want)));
    }

    #[test]
    fn samples_that_no_request_names_are_shown(
        times in prop::collection::btree_set(0..30i64, 0..20),
        requests in prop::collection::vec((any::<bool>(), 0..20i64, 0..8i64), 0..4),
    ) {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        let query = |is_of: bool| if is_of { r#"up{job="a"}"# } else { r#"up{job="b"}"# };
        let made: Vec<Request> = requests
            .iter()
            .map(|(is_of, start, long)| request(Signal::Metrics, query(*is_of), *start, start + long))
            .collect();
        let hidden = Hidden::of(&made).expect("reads");
        let times: Vec<i64> = times.into_iter().collect();
        let is_shown = |time: &i64| !requests.iter().any(|(is_of, start, long)| *is_of && (*start..=start + long).contains(time));
        let want: Vec<i64> = times.iter().copied().filter(is_shown).collect();
        let values = times.iter().map(|time| *time as f64).collect();
        let mut series = Series { labels: Some(labels.clone()), times: times.clone().into(), values, ..Series::default() };
        hidden.take_from(&mut series);
        prop_assert_eq!(&series.times, &want);
        prop_assert_eq!(series.values, want.iter().map(|time| *time as f64).collect::<Vec<_>>());
        let mut exemplars: Vec<Exemplar> =
            times.iter().map(|time| Exemplar { labels: Labels::empty(), value: 1.0, time: *time }).collect();
        hidden.take_exemplars(&labels, &mut exemplars);
        prop_assert_eq!(exemplars.iter().map(|exemplar| exemplar.time).collect::<Vec<_>>(), want);
    }
}
