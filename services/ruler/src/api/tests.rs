//! Pages and filters, and what rules look like.

use super::*;
use crate::api::page::{Asked, token};
use crate::view::AlertView;
use std::collections::BTreeMap;

fn group(name: &str) -> Arc<Group> {
    let text = format!(
        "groups:\n- name: {name}\n  rules:\n  - {{record: r, expr: up}}\n  - {{alert: A, expr: 'up==( 0 )', for: 1m, labels: {{s: p}}}}\n"
    );
    let file = (TenantId::anonymous(), "f.yaml".to_owned());
    crate::files::groups(&file, &text, Duration::from_secs(60)).expect("good rules")[0].clone()
}

#[test]
fn groups_come_in_pages() {
    let groups: Vec<_> = ["a", "b", "c"].iter().map(|name| (token(&group(name)), json!(name))).collect();
    let (mut query, mut seen) = ("group_limit=2".to_owned(), Vec::new());
    loop {
        let (page, next) = Asked::read(&query).expect("reads").page(groups.clone()).expect("a page");
        seen.push(page.len());
        let Some(next) = next else { break };
        query = format!("group_limit=2&group_next_token={next}");
    }
    assert_eq!(seen, [2, 1]);
    assert_eq!(Asked::read("").expect("reads").page(groups.clone()).expect("a page").0.len(), 3);
    let gone = Asked::read("group_limit=2&group_next_token=gone").expect("reads");
    assert!(gone.page(groups).expect_err("refused").contains("rule groups changed"));
    for bad in [
        "group_next_token=x",
        "group_limit=0",
        "group_limit=-1",
        "type=other",
        "exclude_alerts=maybe",
        "match[]={",
        "match[]={a=~\"(\"}",
    ] {
        assert!(Asked::read(bad).is_err(), "{bad}");
    }
}

#[test]
fn filters_are_those_of_prometheus() {
    let group = group("g");
    let check = |query: &str, wants: bool, rules: &[bool]| {
        let asked = Asked::read(query).expect("reads");
        let got: Vec<bool> = group.rules.iter().map(|rule| asked.wants_rule(rule)).collect();
        assert_eq!((asked.wants(&group), got.as_slice()), (wants, rules), "{query}");
    };
    check("", true, &[true, true]);
    check("type=alert", true, &[false, true]);
    check("type=record&rule_name[]=A", true, &[false, false]);
    check("rule_name%5B%5D=A&rule_name[]=r", true, &[true, true]);
    check("rule_group[]=other", false, &[true, true]);
    check("rule_group[]=other&rule_group[]=g&file[]=f.yaml", true, &[true, true]);
    check("file[]=other.yaml", false, &[true, true]);
    // Labels of the rule itself: neither its name nor what its series get.
    check("match[]={s=\"p\"}", true, &[false, true]);
    check("match[]={s=~\"p|q\",s!=\"x\"}", true, &[false, true]);
    check("match[]={s!~\"p.*\",t=\"x\"}&match[]={s!=\"x\",s=\"p\"}", true, &[false, true]);
    check("match[]={s=\"p\"}&type=record", true, &[false, false]);
    check("match[]=A", true, &[false, false]);
}

#[test]
fn rules_look_as_prometheus_shows_them() {
    let group = group("g");
    let labels = BTreeMap::from([("alertname".to_owned(), "A".to_owned())]);
    let one = AlertView {
        labels,
        annotations: BTreeMap::new(),
        state: crate::alert::State::Pending,
        active_at: 1_500,
        keep_since: None,
        value: "1e+00".into(),
    };
    let view = RuleView { took: 0.5, evaluated: 60_000, error: None, alerts: vec![one] };
    let shown = rule(&group.rules[1], Some(&view), true);
    assert_eq!(
        shown,
        json!({
            "name": "A", "query": "up == (0)", "type": "alerting", "health": "ok", "state": "pending", "duration": 60.0,
            "keepFiringFor": 0.0, "labels": {"s": "p"}, "annotations": {}, "evaluationTime": 0.5,
            "lastEvaluation": "1970-01-01T00:01:00Z",
            "alerts": [{"labels": {"alertname": "A"}, "annotations": {}, "state": "pending",
                        "activeAt": "1970-01-01T00:00:01.5Z", "value": "1e+00"}],
        })
    );
    assert_eq!(rule(&group.rules[1], Some(&view), false)["alerts"], json!([]));
    let unknown = rule(&group.rules[0], None, true);
    assert_eq!((&unknown["health"], &unknown["lastEvaluation"]), (&json!("unknown"), &json!("0001-01-01T00:00:00Z")));
    let failed = RuleView { error: Some("away".into()), ..RuleView::default() };
    let failed = rule(&group.rules[0], Some(&failed), true);
    assert_eq!((&failed["health"], &failed["lastError"]), (&json!("err"), &json!("away")));
}
