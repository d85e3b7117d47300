//! Two rulers of which one dies, and one stops and goes on: every group is evaluated by one of them, and what they
//! record and alert is as if there had always been one.

use model::Role;
use ouro_tests::client::until;
use ouro_tests::members::{Members, Running, Shape};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const TENANT: &str = "ruled";
const GROUPS: usize = 12;
const LEASE: i64 = 5;
/// How much longer than the lease a gap may be: the interval, and a machine with much else to do.
const SLACK: i64 = 20;
const RULERS: [&str; 2] = ["ruler-0", "ruler-1"];

/// Each group records the time of its evaluation, so a sample says itself whether it is right.
fn rules() -> String {
    let mut text = "groups:\n".to_owned();
    for n in 0..GROUPS {
        text.push_str(&format!(
            "- name: g{n}\n  interval: 1s\n  rules:\n  - {{record: evaluated, expr: time(), labels: {{n: '{n}'}}}}\n  \
             - {{alert: Always, expr: 'vector({n})', for: 2s, labels: {{n: '{n}'}}}}\n"
        ));
    }
    text
}

fn cluster() -> Members {
    let seats = &[(Role::Ingester, 1), (Role::Distributor, 1), (Role::Querier, 1), (Role::Ruler, 2)];
    let shape = Shape { seats, placement: "replicas = 1", ..Shape::default() };
    let mut members = Members::new(env!("CARGO_BIN_EXE_ouro-under-test"), shape);
    let folder = members.data("rules");
    std::fs::create_dir_all(folder.join(TENANT)).expect("a folder");
    std::fs::write(folder.join(TENANT).join("rules.yaml"), rules()).expect("written");
    for name in RULERS {
        let at = members.seat_at(name);
        members.write(at, "", &format!("[ruler]\nfolder = {folder:?}\nlease = \"{LEASE}s\"\n"));
    }
    members
}

async fn held(members: &Members, name: &str) -> usize {
    members.client(name).meter("ouro_rule_groups_held").await as usize
}

/// Waits until both rulers have their parts.
async fn shared(members: &Members) {
    until("both rulers evaluate groups, each its own", async || {
        let counts = [held(members, RULERS[0]).await, held(members, RULERS[1]).await];
        counts.iter().all(|count| *count > 0) && counts.iter().sum::<usize>() == GROUPS
    })
    .await;
}

async fn ask(members: &Members, query: &str) -> Vec<Value> {
    let answer = members.read().whole(TENANT, "/prometheus/api/v1/query", &[("query", query)]).await;
    answer["data"]["result"].as_array().expect("a result").clone()
}

/// Time and value of each sample of a series.
fn samples(series: &Value) -> Vec<(i64, i64)> {
    let values = series["values"].as_array().expect("values");
    let number = |value: &Value| value.as_str().expect("a value").parse::<f64>().expect("a number") as i64;
    values.iter().map(|point| (point[0].as_f64().expect("a time") as i64, number(&point[1]))).collect()
}

/// Waits until every group has been evaluated after this time.
async fn evaluated_after(members: &Members, time: i64) {
    until("every group is evaluated again", async || {
        let found = ask(members, &format!("evaluated > {time}")).await;
        found.len() == GROUPS
    })
    .await;
}

fn now() -> i64 {
    ouro_tests::ledger::now_ms() / 1000
}

/// What must hold of all samples since the beginning.
async fn check(members: &Members, what: &str) {
    let recorded = ask(members, "evaluated[30m]").await;
    assert_eq!(recorded.len(), GROUPS, "{what}");
    let mut longest = 0;
    for series in &recorded {
        let samples = samples(series);
        for (time, value) in &samples {
            assert_eq!(time, value, "{what}: a sample says the time of its evaluation: {}", series["metric"]);
        }
        let gap = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(0);
        longest = longest.max(gap);
    }
    println!("{what}: the longest gap has {longest} s");
    assert!(longest <= LEASE + SLACK, "{what}: a gap of {longest} s");
    let since = ask(members, "ALERTS_FOR_STATE[30m]").await;
    assert_eq!(since.len(), GROUPS, "{what}");
    for series in &since {
        let values: BTreeSet<i64> = samples(series).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values.len(), 1, "{what}: an alert began again: {series}");
    }
    // Once it fires, it is pending no more.
    let begun = |series: &[Value], first: bool| -> BTreeMap<String, i64> {
        let edge = |one: &Value| {
            let samples = samples(one);
            let edge = if first { samples.first() } else { samples.last() };
            (one["metric"]["n"].as_str().expect("a label").to_owned(), edge.expect("a sample").0)
        };
        series.iter().map(edge).collect()
    };
    let pending = begun(&ask(members, r#"ALERTS{alertstate="pending"}[30m]"#).await, false);
    let firing = begun(&ask(members, r#"ALERTS{alertstate="firing"}[30m]"#).await, true);
    assert_eq!((pending.len(), firing.len()), (GROUPS, GROUPS), "{what}");
    for (n, last) in &pending {
        let first = firing[n];
        assert!(*last < first, "{what}: alert {n} was pending at {last} and fired from {first} on");
    }
}

/// Every ruler tells of all groups, and only to whom they belong; so do queriers, which ask one of them.
async fn check_api(members: &Members, what: &str) {
    for name in RULERS.into_iter().chain(["querier-0"]) {
        let client = members.client(name);
        until(&format!("{what}: {name} tells of all groups"), async || {
            let answer = client.json(TENANT, "/prometheus/api/v1/rules", &[]).await;
            let groups = answer["data"]["groups"].as_array().expect("groups").clone();
            let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
            let well = rules.filter(|rule| rule["health"] == "ok" && rule["state"] != "pending").count();
            groups.len() == GROUPS && well == 2 * GROUPS
        })
        .await;
        let alerts = client.json(TENANT, "/prometheus/api/v1/alerts", &[]).await;
        let alerts = alerts["data"]["alerts"].as_array().expect("alerts");
        assert_eq!(alerts.iter().filter(|alert| alert["state"] == "firing").count(), GROUPS, "{what}: {name}");
        let pages = client.json(TENANT, "/prometheus/api/v1/rules", &[("group_limit", "5"), ("type", "alert")]).await;
        assert_eq!(pages["data"]["groups"].as_array().map(Vec::len), Some(5), "{what}: {name}");
        assert!(pages["data"]["groupNextToken"].is_string(), "{what}: {name}");
        let chosen = [("match[]", "{n=\"3\"}"), ("match[]", "{n=\"4\"}"), ("type", "record")];
        let chosen = client.json(TENANT, "/prometheus/api/v1/rules", &chosen).await;
        assert_eq!(chosen["data"]["groups"].as_array().map(Vec::len), Some(2), "{what}: {name}");
        client.ask(TENANT, "/prometheus/api/v1/rules", &[("type", "other")]).await.expect("an answer").is(
            name,
            400,
            &["other"],
        );
        let others = client.json("somebody", "/prometheus/api/v1/rules", &[]).await;
        assert_eq!(others["data"]["groups"], serde_json::json!([]), "{what}: {name}");
        let others = client.json("somebody", "/prometheus/api/v1/alerts", &[]).await;
        assert_eq!(others["data"]["alerts"], serde_json::json!([]), "{what}: {name}");
    }
}

#[tokio::test]
async fn a_ruler_dies_another_stops_and_no_alert_begins_again() {
    let members = cluster();
    let mut running = Running::new();
    let others = ["ingester-0", "distributor-0", "querier-0"];
    others.into_iter().for_each(|name| members.start(&mut running, name));
    members.ready("distributor-0").await;
    members.ready("querier-0").await;
    // Answered once all shards are led: what rules say of their first seconds can be written then.
    ask(&members, "evaluated").await;
    RULERS.into_iter().for_each(|name| members.start(&mut running, name));
    shared(&members).await;
    evaluated_after(&members, now() + 4).await;
    check_api(&members, "at first").await;
    check(&members, "at first").await;

    running.remove(RULERS[0]).expect("it runs").kill();
    until("the other one has all groups", async || held(&members, RULERS[1]).await == GROUPS).await;
    evaluated_after(&members, now()).await;
    check(&members, "after a death").await;
    members.start(&mut running, RULERS[0]);
    members.ready(RULERS[0]).await;
    shared(&members).await;

    running[RULERS[1]].pause();
    until("the other one has all groups", async || held(&members, RULERS[0]).await == GROUPS).await;
    evaluated_after(&members, now()).await;
    running[RULERS[1]].resume();
    shared(&members).await;
    evaluated_after(&members, now()).await;
    check(&members, "after a stop").await;
    check_api(&members, "after a stop").await;

    // One that goes by itself makes others wait for nothing.
    let end = running.remove(RULERS[1]).expect("it runs").terminate();
    assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    until("the other one has all groups", async || held(&members, RULERS[0]).await == GROUPS).await;
    evaluated_after(&members, now()).await;
    check(&members, "after one left").await;
}
