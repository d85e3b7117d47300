//! A store in memory with the APIs that the load generator speaks, and faults.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use wire::prometheus::Version;

/// What the store does wrong, all of them at one row of the tenth push where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    Lose,
    Double,
    Change,
    /// Adds a row that nobody sent.
    Invent,
    /// Gives a row to the other tenant, too.
    Leak,
    /// Refuses the first tries by 503 and 429.
    Busy {
        tries: u32,
    },
    /// Stores the first tries and answers when nobody listens any more.
    LateAnswer {
        tries: u32,
    },
    /// Stores the first tries and cuts the connection within the answer.
    Cut {
        tries: u32,
    },
    /// Refuses everything by 413.
    Refuse,
}

#[derive(Clone)]
struct Row {
    tenant: String,
    labels: BTreeMap<String, String>,
    time: i64,
    text: String,
}

struct Inner {
    fault: Fault,
    tries: AtomicU32,
    pushes: AtomicU32,
    rows: Mutex<Vec<Row>>,
    bodies: Mutex<HashSet<(String, Bytes)>>,
}

pub struct Store {
    pub url: String,
    inner: Arc<Inner>,
    runtime: Arc<Mutex<Option<Runtime>>>,
}

/// Takes the store's process away and starts it again at the same address.
pub struct Restarter {
    address: String,
    inner: Arc<Inner>,
    runtime: Arc<Mutex<Option<Runtime>>>,
}

impl Store {
    pub async fn start(fault: Fault) -> Store {
        let inner = Arc::new(Inner {
            fault,
            tries: AtomicU32::new(0),
            pushes: AtomicU32::new(0),
            rows: Mutex::default(),
            bodies: Mutex::default(),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let store = Store { url: format!("http://{address}"), inner, runtime: Arc::default() };
        store.restarter().start().await;
        store
    }

    pub fn restarter(&self) -> Restarter {
        let address = self.url.trim_start_matches("http://").to_owned();
        Restarter { address, inner: Arc::clone(&self.inner), runtime: Arc::clone(&self.runtime) }
    }

    pub fn forget_one(&mut self) {
        let mut rows = self.inner.rows.lock().expect("rows");
        let middle = rows.len() / 2;
        rows.swap_remove(middle);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.restarter().stop();
    }
}

impl Restarter {
    pub fn stop(&self) {
        if let Some(runtime) = self.runtime.lock().expect("a runtime").take() {
            runtime.shutdown_background();
        }
    }

    pub async fn start(&self) {
        let router = Router::new()
            .route("/loki/api/v1/push", post(push_logs))
            .route("/api/v1/push", post(push_metrics))
            .route("/loki/api/v1/query_range", get(query_range))
            .route("/prometheus/api/v1/query", get(query))
            .with_state(Arc::clone(&self.inner));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let address = self.address.clone();
        let (sender, bound) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::bind(&address).await.expect("the port");
            sender.send(()).expect("somebody waits");
            axum::serve(listener, router).await.expect("serves");
        });
        bound.await.expect("is bound");
        *self.runtime.lock().expect("a runtime") = Some(runtime);
    }
}

fn tenant(headers: &HeaderMap) -> String {
    headers["x-scope-orgid"].to_str().expect("text").to_owned()
}

async fn push_logs(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let raw = wire::snappy::decompress(&body, 1 << 26).expect("is snappy");
    let mut rows = Vec::new();
    for stream in wire::loki::streams(&raw) {
        let stream = stream.expect("is a stream");
        let labels = wire::loki::parse_labels(stream.labels).expect("are labels");
        let labels: BTreeMap<String, String> = labels.iter().map(|(name, value)| (name.into(), value.into())).collect();
        for entry in stream.entries() {
            let entry = entry.expect("is an entry");
            rows.push(Row {
                tenant: tenant(&headers),
                labels: labels.clone(),
                time: entry.time,
                text: entry.line.into(),
            });
        }
    }
    inner.push(tenant(&headers), body, rows, StatusCode::NO_CONTENT, false).await
}

async fn push_metrics(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["content-encoding"], "snappy");
    let v2 = headers["content-type"] == "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let raw = wire::snappy::decompress(&body, 1 << 26).expect("is snappy");
    let mut rows = Vec::new();
    for series in wire::prometheus::series(&raw, if v2 { Version::V2 } else { Version::V1 }) {
        let series = series.expect("is a series");
        let label = |label: Result<(&str, &str), _>| {
            label.map(|(name, value)| (name.to_owned(), value.to_owned())).expect("is a label")
        };
        let labels: BTreeMap<String, String> = series.labels().map(label).collect();
        for sample in series.samples() {
            let sample = sample.expect("is a sample");
            let text = sample.value.to_string();
            rows.push(Row { tenant: tenant(&headers), labels: labels.clone(), time: sample.time, text });
        }
    }
    inner.push(tenant(&headers), body, rows, StatusCode::OK, v2).await
}

impl Inner {
    async fn push(&self, tenant: String, body: Bytes, mut rows: Vec<Row>, status: StatusCode, v2: bool) -> Response {
        let (attempt, sent) = (self.tries.fetch_add(1, SeqCst), rows.len());
        match self.fault {
            Fault::Busy { tries } if attempt < tries => {
                let status = if attempt.is_multiple_of(2) {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::TOO_MANY_REQUESTS
                };
                return (status, [("retry-after", "1")], "not now\n").into_response();
            }
            Fault::Refuse => return (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n").into_response(),
            _ => {}
        }
        if self.bodies.lock().expect("bodies").insert((tenant, body)) {
            if self.pushes.fetch_add(1, SeqCst) == 9 {
                self.spoil(&mut rows);
            }
            self.rows.lock().expect("rows").append(&mut rows);
        }
        match self.fault {
            Fault::LateAnswer { tries } if attempt < tries => tokio::time::sleep(Duration::from_secs(1)).await,
            Fault::Cut { tries } if attempt < tries => {
                let broken = futures::stream::iter([Ok(Bytes::from("part")), Err(std::io::Error::other("cut"))]);
                return Response::new(Body::from_stream(broken));
            }
            _ => {}
        }
        let mut response = status.into_response();
        if v2 {
            response.headers_mut().insert("x-prometheus-remote-write-samples-written", sent.into());
        }
        response
    }

    fn spoil(&self, rows: &mut Vec<Row>) {
        let row = rows[rows.len() / 2].clone();
        match self.fault {
            Fault::Lose => drop(rows.swap_remove(0)),
            Fault::Double => rows.push(row),
            Fault::Change => {
                let last = rows.last_mut().expect("a row");
                last.text =
                    last.text.parse::<f64>().map_or(format!("{} ", last.text), |value| (value + 1.0).to_string());
            }
            Fault::Invent => rows.push(Row { time: row.time + 1, text: "1.5".into(), ..row }),
            Fault::Leak => {
                let tenant = if row.tenant == "load-0" { "load-1" } else { "load-0" };
                rows.push(Row { tenant: tenant.into(), ..row });
            }
            _ => {}
        }
    }

    /// Rows of a tenant with these labels in a range that leaves out its end, by series.
    fn select(
        &self,
        tenant: &str,
        selector: &str,
        times: std::ops::Range<i64>,
        limit: usize,
    ) -> BTreeMap<BTreeMap<String, String>, Vec<(i64, String)>> {
        let pairs: Vec<(&str, &str)> =
            selector.trim_matches(['{', '}']).split(", ").filter_map(|pair| pair.split_once('=')).collect();
        let matches = |row: &&Row| {
            let wanted = |(name, value): &(&str, &str)| {
                row.labels.get(*name).is_some_and(|found| found == value.trim_matches('"'))
            };
            row.tenant == tenant && times.contains(&row.time) && pairs.iter().all(wanted)
        };
        let rows = self.rows.lock().expect("rows");
        let mut found: Vec<&Row> = rows.iter().filter(matches).collect();
        found.sort_by_key(|row| row.time);
        let mut series = BTreeMap::<_, Vec<_>>::new();
        for row in found.into_iter().take(limit) {
            series.entry(row.labels.clone()).or_default().push((row.time, row.text.clone()));
        }
        series
    }
}

type Params = Query<BTreeMap<String, String>>;

async fn query_range(State(inner): State<Arc<Inner>>, headers: HeaderMap, Query(params): Params) -> String {
    let number = |name: &str| params[name].parse::<i64>().expect("a number");
    let series =
        inner.select(&tenant(&headers), &params["query"], number("start")..number("end"), number("limit") as usize);
    let result: Vec<Value> = series
        .into_iter()
        .map(|(labels, rows)| json!({"stream": labels, "values": rows.into_iter().map(|(time, line)| json!([time.to_string(), line])).collect::<Vec<_>>()}))
        .collect();
    json!({"status": "success", "data": {"resultType": "streams", "result": result}}).to_string()
}

async fn query(State(inner): State<Arc<Inner>>, headers: HeaderMap, Query(params): Params) -> String {
    let (selector, range) = params["query"].split_once('[').expect("a range");
    let range: i64 = range.trim_end_matches("ms]").parse().expect("milliseconds");
    let end = (params["time"].parse::<f64>().expect("a time") * 1000.0).round() as i64;
    let series = inner.select(&tenant(&headers), selector, end - range + 1..end + 1, usize::MAX);
    let result: Vec<Value> = series
        .into_iter()
        .map(|(labels, rows)| json!({"metric": labels, "values": rows.into_iter().map(|(time, value)| json!([time as f64 / 1000.0, value])).collect::<Vec<_>>()}))
        .collect();
    json!({"status": "success", "data": {"resultType": "matrix", "result": result}}).to_string()
}
