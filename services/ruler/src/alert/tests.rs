//! What becomes of one alert, evaluation by evaluation.

use super::*;

/// A letter an evaluation, a minute apart: `x` found, `.` not. Wanted likewise: `p`ending, `f`iring, `r`esolved, `-`
/// nothing.
fn check(hold: u64, keep: u64, found: &str, want: &str) {
    let rule = Alerting {
        hold: Duration::from_secs(60 * hold),
        keep: Duration::from_secs(60 * keep),
        annotations: BTreeMap::new(),
    };
    let labels = Labels::from_pairs([("alertname", "A")]);
    let mut alerts = Alerts::new();
    let mut got = String::new();
    for (minute, letter) in found.chars().enumerate() {
        let rows = if letter == 'x' { vec![(labels.clone(), BTreeMap::new(), minute as f64)] } else { Vec::new() };
        advance(&mut alerts, &rule, rows, minute as i64 * 60_000);
        // Another ruler goes on from what is remembered, at any evaluation.
        let text = serde_json::to_string(&alerts.values().map(|a| &a.course).collect::<Vec<_>>()).expect("writes");
        let courses: Vec<Course> = serde_json::from_str(&text).expect("reads");
        alerts = courses.into_iter().map(|course| (labels.clone(), Alert::remembered(course))).collect();
        got.push(match alerts.get(&labels).map(|alert| alert.course.state) {
            None => '-',
            Some(State::Pending) => 'p',
            Some(State::Firing) => 'f',
            Some(State::Inactive) => 'r',
        });
    }
    assert_eq!(got, want, "for {hold}m, keep {keep}m, {found}");
}

#[test]
fn alerts_take_their_course() {
    check(0, 0, "x..", "frr");
    check(2, 0, "xxxx.", "ppffr");
    check(2, 0, "xx.xxx", "pp-ppf");
    check(1, 0, "xx.xxx", "pfrpff");
    check(0, 2, "x.....", "fffrrr");
    check(0, 2, "x.x...", "fffffr");
    check(0, 0, "x.x", "frf");
    check(0, 0, "x..................", "frrrrrrrrrrrrrrrr--");
}

#[test]
fn alertmanager_is_told_of_what_fires_and_of_its_end() {
    let delay = Duration::from_secs(60);
    let alert = |state, resolved_at, sent_at| {
        let course = Course { state, active_at: 0, fired_at: Some(0), resolved_at, keep_since: None };
        Alert { sent_at, ..Alert::remembered(course) }
    };
    for (state, resolved, sent, now, want) in [
        (State::Pending, None, None, 0, false),
        (State::Firing, None, None, 0, true),
        (State::Firing, None, Some(0), 60_000, false),
        (State::Firing, None, Some(0), 60_001, true),
        (State::Inactive, Some(10), Some(5), 10, true),
        (State::Inactive, Some(10), Some(10), 11, false),
        (State::Inactive, Some(10), Some(10), 60_011, true),
    ] {
        assert_eq!(alert(state, resolved, sent).is_due(now, delay), want, "{state:?} {resolved:?} {sent:?} {now}");
    }
}

#[test]
fn values_and_annotations_are_the_newest() {
    let rule = Alerting { hold: Duration::ZERO, keep: Duration::ZERO, annotations: BTreeMap::new() };
    let labels = Labels::from_pairs([("alertname", "A")]);
    let mut alerts = Alerts::new();
    for (now, text) in [(0, "old"), (1, "new")] {
        let annotations = BTreeMap::from([("s".to_owned(), text.to_owned())]);
        advance(&mut alerts, &rule, vec![(labels.clone(), annotations, now as f64)], now);
    }
    let alert = &alerts[&labels];
    assert_eq!((alert.value, alert.annotations["s"].as_str(), alert.course.active_at), (1.0, "new", 0));
}
