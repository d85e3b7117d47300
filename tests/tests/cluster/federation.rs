//! Reads of several tenants at once: every row says whose it is, and nobody else's are among them.

use crate::home;
use ouro_tests::client::Client;
use ouro_tests::ledger::{LOKI, WRITE, now_ms};
use ouro_tests::remote_write::{Series, v1};
use serde_json::{Value, json};

async fn push(client: &Client, tenant: &str, time: i64, labels: &[(&str, &str)]) {
    let stream: serde_json::Map<String, Value> = labels.iter().map(|(n, v)| ((*n).into(), json!(v))).collect();
    let body =
        json!({ "streams": [{ "stream": stream, "values": [[format!("{time}000000"), format!("of {tenant}")]] }] });
    let headers = [("content-type", "application/json"), ("x-scope-orgid", tenant)];
    client.send("POST", LOKI, &headers, body.to_string()).await.expect("an answer").is(tenant, 204, &[]);
    let labels = [labels, &[("__name__", "shared")]].concat();
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", tenant)];
    let body = wire::snappy::compress(&v1(&[Series::new(&labels, &[(time, tenant.len() as f64)])]));
    client.send("POST", WRITE, &headers, body).await.expect("an answer").is(tenant, 204, &[]);
}

fn tenants_of(result: &Value) -> Vec<String> {
    let labels = |one: &Value| if one["metric"].is_object() { one["metric"].clone() } else { one["stream"].clone() };
    let all = result.as_array().expect("a list").iter();
    let mut found: Vec<String> =
        all.filter_map(|one| Some(labels(one)["__tenant_id__"].as_str()?.to_owned())).collect();
    found.sort();
    found
}

#[tokio::test]
async fn rows_of_several_tenants_say_whose_they_are() {
    let home = home("");
    let process = home.start();
    let client = process.client();
    let time = now_ms() - 60_000;
    push(&client, "a", time, &[("job", "x")]).await;
    push(&client, "bb", time, &[("job", "x"), ("__tenant_id__", "mine")]).await;
    push(&client, "ccc", time, &[("job", "x"), ("secret", "s")]).await;
    let at = (time / 1000 + 30).to_string();
    let (start, end) = (format!("{}000000", time - 60_000), format!("{}000000", time + 60_000));
    for when in ["in heads", "in segments"] {
        for (query, want) in [
            ("shared", &["a", "bb"][..]),
            ("shared{__tenant_id__=\"a\"}", &["a"]),
            ("shared{__tenant_id__!=\"a\"}", &["bb"]),
            ("shared{__tenant_id__=~\"a|ccc\"}", &["a"]),
            ("shared{__tenant_id__=\"ccc\"}", &[]),
            ("shared{original___tenant_id__=\"mine\"}", &["bb"]),
            ("sum by (__tenant_id__) (shared)", &["a", "bb"]),
        ] {
            let asked = [("query", query), ("time", &*at)];
            let found = client.json("a|bb", "/prometheus/api/v1/query", &asked).await;
            assert_eq!(tenants_of(&found["data"]["result"]), want, "{when}: {query}");
        }
        let sum = [("query", "sum(shared)"), ("time", &*at)];
        let sum = client.json("a|bb", "/prometheus/api/v1/query", &sum).await;
        assert_eq!(sum["data"]["result"][0]["value"][1], "3", "{when}");
        for (query, want) in [
            ("{job=\"x\"}", &["a", "bb"][..]),
            ("{job=\"x\", __tenant_id__=\"bb\"}", &["bb"]),
            ("{__tenant_id__=\"a\"}", &["a"]),
            ("{original___tenant_id__=\"mine\"}", &["bb"]),
            ("{__tenant_id__=\"ccc\"}", &[]),
        ] {
            let asked = [("query", query), ("start", &start), ("end", &end)];
            let found = client.json("a|bb", "/loki/api/v1/query_range", &asked).await;
            assert_eq!(tenants_of(&found["data"]["result"]), want, "{when}: {query}");
        }
        for (path, more) in [
            ("/loki/api/v1/label/__tenant_id__/values", &[("start", &*start), ("end", &*end)][..]),
            ("/prometheus/api/v1/label/__tenant_id__/values", &[]),
        ] {
            assert_eq!(client.json("bb|a", path, more).await["data"], json!(["a", "bb"]), "{when}: {path}");
        }
        for path in ["/prometheus/api/v1/labels", "/prometheus/api/v1/series?match[]=shared", "/loki/api/v1/series"] {
            let found = client.json("a|bb", path, &[]).await;
            assert!(
                !found.to_string().contains("secret") && !found.to_string().contains("ccc"),
                "{when}: {path}: {found}"
            );
            assert!(found.to_string().contains("__tenant_id__"), "{when}: {path}: {found}");
        }
        // A tenant alone has its rows as they are, under whatever way it is named.
        for name in ["bb", "bb|bb"] {
            let alone = client.json(name, "/prometheus/api/v1/query", &[("query", "shared"), ("time", &at)]).await;
            assert_eq!(alone["data"]["result"][0]["metric"]["__tenant_id__"], "mine", "{when}: {name}");
        }
        client.flush().await;
    }
    let many = vec!["a"; 101].join("|");
    let refused = client.ask(&many, "/prometheus/api/v1/labels", &[]).await.expect("an answer");
    refused.is("too many tenants", 400, &["101 tenants, the limit is 100"]);
}
