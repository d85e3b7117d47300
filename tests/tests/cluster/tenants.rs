//! Tenants never see each other's rows, wherever those are.

use crate::home;
use ouro_tests::client::Client;
use ouro_tests::ledger::{LOKI, WRITE, now_ms};
use ouro_tests::remote_write::{Series, v1};
use serde_json::{Value, json};

/// Both have the same labels and times; only lines, values and one label's value tell them apart.
async fn push(client: &Client, tenant: &str, time: i64) {
    let body = json!({ "streams": [{ "stream": { "job": "same", "owner": tenant }, "values": [
        [format!("{time}000000"), format!("secret of {tenant}")]
    ] }, { "stream": { "job": "same" }, "values": [[format!("{time}000000"), format!("same labels, {tenant}")]] }] });
    let headers = [("content-type", "application/json"), ("x-scope-orgid", tenant)];
    client.send("POST", LOKI, &headers, body.to_string()).await.expect("an answer").is(tenant, 204, &[]);
    let value = tenant.len() as f64;
    let series = [
        Series::new(&[("__name__", "same"), ("owner", tenant)], &[(time, value)]),
        Series::new(&[("__name__", "same")], &[(time, value)]),
    ];
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", tenant)];
    let body = wire::snappy::compress(&v1(&series));
    client.send("POST", WRITE, &headers, body).await.expect("an answer").is(tenant, 204, &[]);
}

async fn sees_its_own(client: &Client, tenant: &str, time: i64, when: &str) {
    let (start, end) = (format!("{}000000", time - 60_000), format!("{}000000", time + 60_000));
    let range = [("start", &*start), ("end", &*end)];
    let with = |more: (&'static str, &'static str)| [range[0], range[1], more];
    let lines = client.json(tenant, "/loki/api/v1/query_range", &with(("query", "{job=\"same\"}"))).await;
    let mut found: Vec<&str> = lines["data"]["result"]
        .as_array()
        .expect("streams")
        .iter()
        .flat_map(|stream| stream["values"].as_array().expect("values"))
        .filter_map(|value| value[1].as_str())
        .collect();
    found.sort_unstable();
    let want = [format!("same labels, {tenant}"), format!("secret of {tenant}")];
    assert_eq!(found, want, "{when}: {tenant}: lines");

    let count =
        client.json(tenant, "/loki/api/v1/query", &[("query", "sum(count_over_time({job=\"same\"}[1h]))")]).await;
    assert_eq!(count["data"]["result"][0]["value"][1], "2", "{when}: {tenant}: count");
    let at = (time / 1000 + 30).to_string();
    let sum = client.json(tenant, "/prometheus/api/v1/query", &[("query", "sum(same)"), ("time", &at)]).await;
    let want = Value::from((2 * tenant.len()).to_string());
    assert_eq!(sum["data"]["result"][0]["value"][1], want, "{when}: {tenant}: sum");

    let owners = json!([tenant]);
    for path in ["/loki/api/v1/label/owner/values", "/prometheus/api/v1/label/owner/values"] {
        let parameters: &[(&str, &str)] = if path.starts_with("/loki") { &range } else { &[] };
        let values = client.json(tenant, path, parameters).await;
        assert_eq!(values["data"], owners, "{when}: {tenant}: {path}");
    }
    let series = client.json(tenant, "/loki/api/v1/series", &with(("match[]", "{job=\"same\"}"))).await;
    assert!(only(&series["data"], tenant) && series["data"].as_array().is_some_and(|all| all.len() == 2), "{series}");
    let series = client.json(tenant, "/prometheus/api/v1/series", &[("match[]", "same")]).await;
    assert!(only(&series["data"], tenant) && series["data"].as_array().is_some_and(|all| all.len() == 2), "{series}");
    for path in ["/loki/api/v1/labels", "/prometheus/api/v1/labels"] {
        let parameters: &[(&str, &str)] = if path.starts_with("/loki") { &range } else { &[] };
        let names = client.json(tenant, path, parameters).await;
        let count = if path.starts_with("/loki") { 3 } else { 2 }; // with `service_name`
        assert!(
            names["data"].as_array().is_some_and(|names| names.len() == count),
            "{when}: {tenant}: {path}: {names}"
        );
    }
}

/// Whether all label sets are of this tenant, or of nobody.
fn only(series: &Value, tenant: &str) -> bool {
    series.as_array().is_some_and(|all| all.iter().all(|labels| labels["owner"].is_null() || labels["owner"] == tenant))
}

#[tokio::test]
async fn nobody_sees_anothers_rows() {
    let home = home("");
    let process = home.start();
    let time = now_ms() - 60_000;
    let tenants = ["a", "bb", "it's_(1)*!", "anonymous"];
    for tenant in tenants {
        push(&process.client(), tenant, time).await;
    }
    for (when, flush) in [("in heads", true), ("in segments", false)] {
        for tenant in tenants {
            sees_its_own(&process.client(), tenant, time, when).await;
        }
        if flush {
            process.client().flush().await;
        }
    }
    let nobody = process.client().json("nobody", "/prometheus/api/v1/labels", &[]).await;
    assert_eq!(nobody["data"], json!([]));
    // Without a name it is `anonymous`.
    let unnamed = process.client().json("", "/prometheus/api/v1/label/owner/values", &[]).await;
    assert_eq!(unnamed["data"], json!(["anonymous"]));
}

#[tokio::test]
async fn bad_names_are_refused_everywhere() {
    let home = home("");
    let process = home.start();
    let client = process.client();
    let long = "x".repeat(151);
    for (tenant, word) in [
        ("a/b", "'/' at byte 1"),
        ("..", "the tenant name may not be"),
        ("a b", "' '"),
        (&*long, "151 bytes, the limit is 150"),
        ("a|b|", "empty"),
    ] {
        for path in ["/loki/api/v1/labels", "/prometheus/api/v1/labels", "/prometheus/api/v1/query?query=up"] {
            let answer = client.send("GET", path, &[("x-scope-orgid", tenant)], "").await.expect("an answer");
            answer.is(&format!("{path} as {tenant}"), 400, &[word]);
        }
        if tenant != "a|b|" {
            for path in [LOKI, WRITE] {
                let answer = client.send("POST", path, &[("x-scope-orgid", tenant)], "").await.expect("an answer");
                answer.is(&format!("{path} as {tenant}"), 400, &[word]);
            }
        }
    }
    let answer = client.send("POST", LOKI, &[("x-scope-orgid", "a|b")], "").await.expect("an answer");
    answer.is("a push for two", 400, &["2 tenants"]);
}
