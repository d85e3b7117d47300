//! Keeps book of the rows that were acked, and holds a process to it: each is there, and there once.

use crate::client::{Answer, Client, Gone};
use crate::remote_write::{self, Series};
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::loki::Builder;

pub const LOKI: &str = "/loki/api/v1/push";
pub const WRITE: &str = "/api/v1/push";
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");
const V2: (&str, &str) = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
/// The label by which a ledger finds its rows.
const JOB: &str = "story";
/// The most lines of one answer, as `limits.max_log_rows` has it.
const LINES: usize = 5000;
/// How far back a story's rows begin.
const BACK_MS: i64 = 30 * 60_000;

/// A row as a reader sees it: tenant, labels as `{name="value",…}`, time in the signal's unit, and line or value.
type Row = (String, String, i64, String);

/// A request and the rows in it. Sent again, it is the same request.
#[derive(Debug, Clone)]
pub struct Push {
    pub path: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub rows: Vec<Row>,
}

impl Push {
    fn new(path: &'static str, tenant: &str, headers: &[(&str, &str)], body: Vec<u8>, rows: Vec<Row>) -> Push {
        let mut headers = remote_write::labels(headers);
        headers.push(("x-scope-orgid".into(), tenant.into()));
        Push { path, headers, body: body.into(), rows }
    }

    pub fn is_logs(&self) -> bool {
        self.path == LOKI
    }

    pub async fn send(&self, client: &Client) -> Result<Answer, Gone> {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client.send("POST", self.path, &headers, self.body.clone()).await
    }
}

/// Makes pushes that no other push is like, over and over, in all formats that agents use.
pub struct Sender {
    tenant: String,
    /// Unix milliseconds of the first row.
    pub base: i64,
    next: AtomicU64,
    /// Bytes of each line.
    padding: usize,
}

impl Sender {
    pub fn new(tenant: &str) -> Sender {
        Sender { tenant: tenant.into(), base: now_ms() - BACK_MS, next: AtomicU64::new(0), padding: 0 }
    }

    /// With lines that take so many bytes more, and do not compress.
    pub fn padded(tenant: &str, padding: usize) -> Sender {
        Sender { padding, ..Sender::new(tenant) }
    }

    /// Logs and metrics in turn.
    pub fn push(&self) -> Push {
        match self.next.fetch_add(1, Ordering::Relaxed) {
            n if n.is_multiple_of(2) => self.logs_of(n),
            n => self.samples_of(n),
        }
    }

    pub fn logs(&self) -> Push {
        self.logs_of(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub fn samples(&self) -> Push {
        self.samples_of(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn logs_of(&self, n: u64) -> Push {
        let time = |row: u64| (self.base + n as i64) * 1_000_000 + row as i64;
        let streams = (0..3u64).map(|stream| {
            let labels = [("job", JOB.to_owned()), ("stream", stream.to_string())];
            let rows = (0..4u64).map(|row| {
                (time(row), format!("line {n} of {stream}, {row}{}", noise(n * 12 + stream * 4 + row, self.padding)))
            });
            (text(labels.iter().map(|(n, v)| (*n, v.as_str()))), rows.collect::<Vec<_>>())
        });
        let streams: Vec<_> = streams.collect();
        let rows = streams.iter().flat_map(|(labels, rows)| {
            rows.iter().map(|(time, line)| (self.tenant.clone(), labels.clone(), *time, line.clone()))
        });
        let rows = rows.collect();
        if n.is_multiple_of(3) {
            let json = [("content-type", "application/json")];
            return Push::new(LOKI, &self.tenant, &json, json_body(&streams).into_bytes(), rows);
        }
        let mut builder = Builder::new();
        for (labels, rows) in &streams {
            builder.stream(labels);
            for (time, line) in rows {
                builder.entry(*time, line, []);
            }
        }
        Push::new(LOKI, &self.tenant, &[PROTOBUF, SNAPPY], wire::snappy::compress(&builder.finish()), rows)
    }

    fn samples_of(&self, n: u64) -> Push {
        let time = self.base + n as i64;
        let series = (0..5u64).map(|series| {
            let number = series.to_string();
            let value = n as f64 + series as f64 / 8.0;
            Series::new(&[("__name__", "story_value"), ("job", JOB), ("series", &number)], &[(time, value)])
        });
        let series: Vec<Series> = series.collect();
        let rows = series.iter().flat_map(|series| {
            let labels = text(series.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            series
                .samples
                .iter()
                .map(move |(time, value)| (self.tenant.clone(), labels.clone(), *time, value.to_string()))
        });
        let rows = rows.collect();
        let (kind, body) = match n % 4 < 2 {
            true => (V2, remote_write::v2(&series)),
            false => (PROTOBUF, remote_write::v1(&series)),
        };
        Push::new(WRITE, &self.tenant, &[kind, SNAPPY], wire::snappy::compress(&body), rows)
    }
}

/// Text that does not compress, always the same for a seed.
pub fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + 1 + (state % 90) as u8)
    });
    letters.filter(|letter| *letter != '\\').take(bytes).collect()
}

fn json_body(streams: &[(String, Vec<(i64, String)>)]) -> String {
    let streams: Vec<Value> = streams
        .iter()
        .map(|(labels, rows)| {
            let labels: serde_json::Map<String, Value> = wire::loki::parse_labels(labels)
                .expect("labels of our own")
                .iter()
                .map(|(name, value)| (name.to_owned(), Value::from(value)))
                .collect();
            let values: Vec<Value> = rows.iter().map(|(t, line)| serde_json::json!([t.to_string(), line])).collect();
            serde_json::json!({ "stream": labels, "values": values })
        })
        .collect();
    serde_json::json!({ "streams": streams }).to_string()
}

/// `{a="1", b="2"}`, sorted.
fn text<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let sorted: BTreeMap<&str, &str> = labels.collect();
    let mut out = String::from("{");
    for (at, (name, value)) in sorted.into_iter().enumerate() {
        let _ = write!(out, "{}{name}={value:?}", if at > 0 { ", " } else { "" });
    }
    out.push('}');
    out
}

/// What became of the rows that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Acked: it must be there.
    Acked,
    /// The connection broke, or the server could not say: it may be there.
    Unsure,
}

/// The book of one story.
#[derive(Debug, Default)]
pub struct Ledger {
    lines: BTreeMap<Row, Sent>,
    samples: BTreeMap<Row, Sent>,
}

impl Ledger {
    pub fn acked(&mut self, push: &Push) {
        self.enter(push, Sent::Acked);
    }

    pub fn unsure(&mut self, push: &Push) {
        self.enter(push, Sent::Unsure);
    }

    fn enter(&mut self, push: &Push, sent: Sent) {
        let book = if push.is_logs() { &mut self.lines } else { &mut self.samples };
        for row in &push.rows {
            let known = book.entry(row.clone()).or_insert(sent);
            if sent == Sent::Acked {
                *known = sent;
            }
        }
    }

    /// Sends a push that must be acked.
    pub async fn send(&mut self, client: &Client, push: &Push) {
        let answer = push.send(client).await.unwrap_or_else(|gone| panic!("{gone:?}"));
        assert_eq!(answer.status, 204, "{}", answer.text);
        self.acked(push);
    }

    /// Sends a push; says whether it was acked.
    pub async fn try_send(&mut self, client: &Client, push: &Push) -> bool {
        match push.send(client).await {
            Ok(answer) if answer.status == 204 => {
                self.acked(push);
                true
            }
            Ok(answer) => {
                assert!(answer.status >= 500 || answer.status == 429, "{}: {}", answer.status, answer.text);
                self.unsure(push);
                false
            }
            Err(_) => {
                self.unsure(push);
                false
            }
        }
    }

    /// Sends pushes of both signals that must be acked.
    pub async fn send_some(&mut self, client: &Client, sender: &Sender, count: usize) {
        for _ in 0..count {
            self.send(client, &sender.push()).await;
        }
    }

    /// Acked rows of both signals.
    pub fn acked_rows(&self) -> (usize, usize) {
        let count = |book: &BTreeMap<Row, Sent>| book.values().filter(|sent| **sent == Sent::Acked).count();
        (count(&self.lines), count(&self.samples))
    }

    pub fn merge(&mut self, other: Ledger) {
        for (book, other) in [(&mut self.lines, other.lines), (&mut self.samples, other.samples)] {
            for (row, sent) in other {
                let known = book.entry(row).or_insert(sent);
                if sent == Sent::Acked {
                    *known = sent;
                }
            }
        }
    }

    /// Reads everything back: every acked row is there once, and nothing is there that was never sent.
    pub async fn check(&self, client: &Client, when: &str) {
        let tenants = |book: &BTreeMap<Row, Sent>| -> std::collections::BTreeSet<String> {
            book.keys().map(|row| row.0.clone()).collect()
        };
        let mut found = Vec::new();
        for tenant in tenants(&self.lines) {
            found.extend(read_lines(client, &tenant, span(&self.lines, &tenant)).await);
        }
        compare(&self.lines, found, &format!("{when}: lines"));
        let mut found = Vec::new();
        for tenant in tenants(&self.samples) {
            found.extend(read_samples(client, &tenant, span(&self.samples, &tenant)).await);
        }
        compare(&self.samples, found, &format!("{when}: samples"));
    }
}

fn span(book: &BTreeMap<Row, Sent>, tenant: &str) -> (i64, i64) {
    let times = || book.keys().filter(|row| row.0 == tenant).map(|row| row.2);
    (times().min().unwrap_or(0), times().max().unwrap_or(0))
}

fn compare(book: &BTreeMap<Row, Sent>, found: Vec<Row>, what: &str) {
    let mut counts: BTreeMap<Row, u32> = BTreeMap::new();
    found.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
    let lost: Vec<&Row> = book
        .iter()
        .filter(|(row, sent)| **sent == Sent::Acked && !counts.contains_key(*row))
        .map(|(row, _)| row)
        .collect();
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    let strange: Vec<_> = counts.keys().filter(|row| !book.contains_key(*row)).collect();
    let good = lost.is_empty() && twice.is_empty() && strange.is_empty();
    assert!(
        good,
        "{what}: of {} rows sent, {} were read; {} acked are lost {:?}, {} come twice {:?}, {} were never sent {:?}",
        book.len(),
        counts.len(),
        lost.len(),
        &lost[..lost.len().min(3)],
        twice.len(),
        &twice[..twice.len().min(3)],
        strange.len(),
        &strange[..strange.len().min(3)],
    );
}

/// Reads in slices of time, each halved until it is below the limit of one answer.
pub async fn read_lines(client: &Client, tenant: &str, (first, last): (i64, i64)) -> Vec<Row> {
    let (mut rows, mut open) = (Vec::new(), vec![(first, last + 1)]);
    while let Some((from, to)) = open.pop() {
        let (start, end, limit) = (from.to_string(), to.to_string(), LINES.to_string());
        let selector = format!("{{job={JOB:?}}}");
        let parameters =
            [("query", &*selector), ("start", &start), ("end", &end), ("limit", &limit), ("direction", "forward")];
        let answer = client.whole(tenant, "/loki/api/v1/query_range", &parameters).await;
        let mut here = Vec::new();
        for stream in answer["data"]["result"].as_array().expect("streams") {
            let mut labels = stream["stream"].clone();
            // Found by the shard; a stream that lacks it is not equal to one that was sent.
            let service = labels.as_object_mut().and_then(|labels| labels.remove("service_name"));
            assert_eq!(service, Some(JOB.into()), "{labels}");
            let labels = labels_of(&labels);
            for value in stream["values"].as_array().expect("values") {
                let time = value[0].as_str().and_then(|t| t.parse().ok()).expect("a time");
                let line = value[1].as_str().expect("a line");
                here.push((tenant.to_owned(), labels.clone(), time, line.to_owned()));
            }
        }
        if here.len() >= LINES {
            assert!(to - from > 1, "over {LINES} lines at {from}");
            let middle = from + (to - from) / 2;
            open.extend([(middle, to), (from, middle)]);
            continue;
        }
        rows.extend(here);
    }
    rows
}

/// Reads by one selector of a range, which gives samples as they were stored.
pub async fn read_samples(client: &Client, tenant: &str, (first, last): (i64, i64)) -> Vec<Row> {
    let (query, time) = (format!("{{job={JOB:?}}}[{}ms]", last - first + 1), format!("{:.3}", last as f64 / 1000.0));
    let parameters = [("query", &*query), ("time", &*time)];
    let answer = client.whole(tenant, "/prometheus/api/v1/query", &parameters).await;
    let mut rows = Vec::new();
    for series in answer["data"]["result"].as_array().expect("series") {
        let labels = labels_of(&series["metric"]);
        for value in series["values"].as_array().into_iter().flatten() {
            let time = (value[0].as_f64().expect("a time") * 1000.0).round() as i64;
            rows.push((tenant.to_owned(), labels.clone(), time, value[1].as_str().expect("a value").to_owned()));
        }
    }
    rows
}

fn labels_of(value: &Value) -> String {
    text(value.as_object().expect("labels").iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or("?"))))
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(time: i64) -> Row {
        ("t".into(), "{}".into(), time, "x".into())
    }

    fn book() -> BTreeMap<Row, Sent> {
        [(row(1), Sent::Acked), (row(2), Sent::Acked), (row(3), Sent::Unsure)].into()
    }

    #[test]
    fn what_was_acked_is_there_once() {
        compare(&book(), vec![row(2), row(1)], "good");
        compare(&book(), vec![row(1), row(2), row(3)], "good");
    }

    #[test]
    #[should_panic(expected = "1 acked are lost")]
    fn a_lost_row_is_noticed() {
        compare(&book(), vec![row(1), row(3)], "bad");
    }

    #[test]
    #[should_panic(expected = "1 come twice")]
    fn a_row_that_comes_twice_is_noticed() {
        compare(&book(), vec![row(1), row(2), row(3), row(3)], "bad");
    }

    #[test]
    #[should_panic(expected = "1 were never sent")]
    fn a_row_from_nowhere_is_noticed() {
        compare(&book(), vec![row(1), row(2), row(4)], "bad");
    }
}
