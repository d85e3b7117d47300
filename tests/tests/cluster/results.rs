//! Answers that a querier keeps are those that it would give anew.

use crate::home;
use ouro_tests::client::{Answer, Client};
use ouro_tests::ledger::{WRITE, now_ms};
use ouro_tests::remote_write::{Series, v1};
use serde_json::Value;

const DAY: i64 = 86_400_000;
const STEP: i64 = 3_600_000;

async fn push(client: &Client, series: &str, samples: &[(i64, f64)]) -> Answer {
    let body = wire::snappy::compress(&v1(&[Series::new(&[("__name__", "kept"), ("series", series)], samples)]));
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", "a")];
    client.send("POST", WRITE, &headers, body).await.expect("an answer")
}

/// The answer's data without statistics, and how many of its steps were kept.
async fn ask(client: &Client, parameters: &str, headers: &[(&str, &str)]) -> (Value, u64) {
    let path = format!("/prometheus/api/v1/query_range?stats=all&query=sum(kept)&{parameters}");
    let headers = [headers, &[("x-scope-orgid", "a")]].concat();
    let answer = client.send("GET", &path, &headers, "").await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut data = serde_json::from_str::<Value>(&answer.text).expect("JSON")["data"].take();
    let samples = &data["stats"]["samples"];
    let each = samples["totalQueryableSamplesPerStep"].as_array().expect("a list");
    let sum: u64 = each.iter().map(|step| step[1].as_u64().expect("a count")).sum();
    assert_eq!((each.len(), samples["totalQueryableSamples"].as_u64()), (73, Some(sum)), "{samples}");
    let kept = data["stats"]["results"]["stepsKept"].as_u64().expect("a count");
    (data["result"].take(), kept)
}

#[tokio::test]
async fn days_that_are_over_are_kept_until_something_comes_late() {
    let home = home("[limits]\nout_of_order_window = \"7d\"\ndeletion = true\n");
    let process = home.start();
    let client = process.client();
    let today = now_ms() / DAY * DAY;
    let days: Vec<(i64, f64)> = (-4 * 288..0).map(|i| (today + i * 300_000, 1.0)).collect();
    push(&client, "steady", &days).await.is("days", 204, &[]);
    let range = format!("start={}&end={}&step={}", (today - 3 * DAY) / 1000, today / 1000, STEP / 1000);
    let check = async |kept: u64, when: &str| {
        let (answer, found) = ask(&client, &range, &[]).await;
        let (anew, none) = ask(&client, &range, &[("cache-control", "no-store")]).await;
        assert_eq!(answer, anew, "{when}");
        assert_eq!((found, none), (kept, 0), "{when}");
    };
    check(0, "in the head").await;
    check(0, "still in the head").await;
    client.flush().await;
    check(0, "flushed").await;
    check(72, "kept").await;
    // The sample is there at once, and its day and those after it are not kept while it is in a head.
    push(&client, "late", &[(today - 2 * DAY + 2 * STEP, 100.0)]).await.is("late", 204, &[]);
    check(24, "late").await;
    client.flush().await;
    check(48, "late and flushed").await;
    check(72, "kept again").await;
    // What is deleted is not in an answer that was kept.
    let (before, _) = ask(&client, &range, &[]).await;
    let late = (today - 2 * DAY + 2 * STEP) / 1000;
    let path = format!(
        "/prometheus/api/v1/admin/tsdb/delete_series?match[]=kept%7Bseries%3D%22late%22%7D&start={late}&end={late}"
    );
    client.send("POST", &path, &[("x-scope-orgid", "a")], "").await.expect("an answer").is("a request", 204, &[]);
    check(48, "deleted").await;
    check(72, "deleted and kept").await;
    let (after, _) = ask(&client, &range, &[]).await;
    assert!(before != after && before.to_string().contains("\"101\"") && !after.to_string().contains("\"101\""));
    let opened = client.meter("ouro_querier_result_days_found_total").await;
    assert!(opened >= 9.0, "{opened}");
}
