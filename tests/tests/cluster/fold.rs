//! Aggregations are computed where the rows are: by leaders of shards, and by all queriers; whoever of them dies.

use crate::cluster;
use model::Role;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{LOKI, WRITE, now_ms};
use ouro_tests::members::Shape;
use ouro_tests::remote_write::{Series, v1};

const DAY: i64 = 86_400_000;
/// Enough for two queriers.
const SERIES: usize = 5_000;
const LINES: i64 = 640_000;
const LIMITS: &str = "[limits]\nout_of_order_window = \"7d\"\n";

async fn push(client: &Client, name: &str, times: &[i64]) {
    for part in (0..SERIES).collect::<Vec<_>>().chunks(1_000) {
        let series = part.iter().map(|i| {
            let samples: Vec<(i64, f64)> = times.iter().map(|time| (*time, *i as f64)).collect();
            Series::new(&[("__name__", name), ("i", &i.to_string()), ("half", &(i % 2).to_string())], &samples)
        });
        let body = wire::snappy::compress(&v1(&series.collect::<Vec<_>>()));
        let headers = [("content-encoding", "snappy"), ("x-scope-orgid", "sums")];
        client.send("POST", WRITE, &headers, body).await.expect("an answer").is("samples", 204, &[]);
    }
}

/// Lines of two statuses.
async fn push_lines(client: &Client, app: &str, count: i64, time: i64) {
    let line = |i: i64| {
        let line = format!("{{\"status\":{},\"took\":{i}}}", 200 + 300 * i64::from(i % 4 == 0));
        serde_json::json!([(time * 1_000_000 + i).to_string(), line])
    };
    let values: Vec<_> = (0..count).map(line).collect();
    let body = serde_json::json!({"streams": [{"stream": {"app": app}, "values": values}]}).to_string();
    let headers = [("content-type", "application/json"), ("x-scope-orgid", "sums")];
    client.send("POST", LOKI, &headers, body).await.expect("an answer").is("lines", 204, &[]);
}

/// How many lines of each status there are, and how many lines were looked at.
async fn count(client: &Client, app: &str) -> (Vec<String>, Option<u64>) {
    let query = format!("sum by (status) (count_over_time({{app={app:?}}} | json [1h]))");
    let found = client.whole("sums", "/loki/api/v1/query", &[("query", &query)]).await;
    let mut series = found["data"]["result"].as_array().expect("series").clone();
    series.sort_by_key(|series| series["metric"].to_string());
    let counts = series.iter().map(|series| series["value"][1].as_str().expect("a value").to_owned());
    (counts.collect(), found["data"]["stats"]["summary"]["totalLinesProcessed"].as_u64())
}

/// The values of the last step, by the order of labels.
async fn ask(client: &Client, query: &str, range: Option<(i64, i64)>) -> Vec<String> {
    let range = range.map(|(start, end)| [start / 1000, end / 1000].map(|time| time.to_string()));
    let found = match &range {
        None => client.whole("sums", "/prometheus/api/v1/query", &[("query", query)]).await,
        Some([start, end]) => {
            let parameters = [("query", query), ("start", start), ("end", end), ("step", "3600")];
            client.whole("sums", "/prometheus/api/v1/query_range", &parameters).await
        }
    };
    let value = |series: &serde_json::Value| {
        let last = series["values"].as_array().and_then(|all| all.last()).unwrap_or(&series["value"]);
        last[1].as_str().expect("a value").to_owned()
    };
    let mut series = found["data"]["result"].as_array().expect("series").clone();
    series.sort_by_key(|series| series["metric"].to_string());
    series.iter().map(value).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_and_queriers_compute_their_parts() {
    let seats = &[(Role::Ingester, 3), (Role::Distributor, 1), (Role::Querier, 2)];
    let mut members = cluster(Shape { seats, ..Shape::default() });
    for name in members.seats.iter().map(|seat| seat.name.clone()).collect::<Vec<_>>() {
        let at = members.seat_at(&name);
        members.write(at, "", LIMITS);
    }
    let mut running = members.start_all().await;
    members.settled(3).await;
    let (first, second) = (members.client("querier-0"), members.client("querier-1"));
    let (now, today) = (now_ms(), now_ms() / DAY * DAY);
    let past: Vec<i64> = (0..24).map(|hour| today - 2 * DAY + hour * 3_600_000).collect();
    push(&members.push(), "present", &[now - 30_000]).await;
    push(&members.push(), "past", &past).await;
    let (even, odd) = ("6247500".to_owned(), "6250000".to_owned());
    let by_half = [even.clone(), odd.clone()];
    assert_eq!(ask(&first, "sum by (half) (present)", None).await, by_half);
    assert_eq!(
        ask(&first, "topk(2, present)", None).await,
        ["4999", "4998"].map(str::to_owned).iter().rev().cloned().collect::<Vec<_>>()
    );
    assert_eq!(first.meter("ouro_querier_folded_total").await, 2.0, "the leaders did it");
    push_lines(&members.push(), "few", 1_000, now - 60_000).await;
    let counts = |all: [&str; 2]| all.map(str::to_owned).to_vec();
    assert_eq!(count(&first, "few").await, (counts(["750", "250"]), Some(1_000)));
    assert_eq!(first.meter("ouro_querier_folded_total").await, 3.0, "and that of logs");
    let leader = members.leaders().await.into_iter().max_by_key(|(_, led)| *led).expect("one leads").0;
    running.remove(&leader).expect("it runs").kill();
    assert_eq!(ask(&first, "sum by (half) (present)", None).await, by_half, "another leads");
    members.start(&mut running, &leader);
    members.settled(3).await;
    for part in 0..LINES / 20_000 {
        push_lines(&members.push(), "many", 20_000, now - 60_000 + part).await;
    }
    for ingester in members.ingesters() {
        members.client(&ingester).flush().await;
    }
    // Some lines are flushed, some are in a head.
    push_lines(&members.push(), "few", 1_000, now - 30_000).await;
    assert_eq!(count(&first, "few").await, (counts(["1500", "500"]), Some(2_000)));
    let halves = [LINES * 3 / 4, LINES / 4].map(|lines| lines.to_string()).to_vec();
    until("querier-1 counts a part of the lines", async || {
        assert_eq!(count(&first, "many").await, (halves.clone(), Some(LINES as u64)));
        second.meter("ouro_querier_slices_given_total").await > 0.0
    })
    .await;
    let given = second.meter("ouro_querier_slices_given_total").await;
    let closed = Some((today - 2 * DAY, today - DAY - 3_600_000));
    until("querier-1 does a part", async || {
        // Another query each time, so that nothing is kept of it.
        let asked = first.meter("ouro_querier_slices_asked_total").await;
        assert_eq!(ask(&first, &format!("sum by (half) (past) + 0 * {asked}"), closed).await, by_half);
        second.meter("ouro_querier_slices_given_total").await > given
    })
    .await;
    running.remove("querier-1").expect("it runs").kill();
    assert_eq!(count(&first, "many").await, (halves, Some(LINES as u64)), "alone");
    assert_eq!(ask(&first, "sum by (half) (past)", closed).await, by_half, "alone");
}
