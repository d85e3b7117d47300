//! How many bytes of raw lines a core goes through in typical queries, over segments in memory:
//! `cargo run --release -p ouro-querier --example bench_logql`.

use block::MemorySections;
use bytes::Bytes;
use eval::source::{LogSelection, Order, PageIter, PageSource, SourceError, Take, Visit};
use logql::{Options, entries, parse, range};
use logs::{Head, Payload, Reader, Selection, Settings};
use model::{BatchId, TenantId, TimeRange};
use std::sync::Arc;
use wire::batch::{Format, Header, StreamHeader};

const SECOND: i64 = 1_000_000_000;
const SEGMENTS: usize = 4;
const BATCHES: usize = 250;
const ROWS: usize = 1_000;
/// CPU time that each query is repeated for at least, in seconds.
const LEAST: f64 = 1.0;

struct Memory(Bytes);

impl Payload for Memory {
    fn read(&self) -> std::io::Result<Bytes> {
        Ok(self.0.clone())
    }
}

/// An access line as JSON; `n` counts all lines.
fn line(n: usize) -> String {
    let (status, took) = ([200, 200, 200, 304, 404, 500][n * 7 % 6], n * 7919 % 90_000);
    format!(
        r#"{{"level":"info","status":{status},"took_ms":{}.{:02},"request":{{"method":"GET","path":"/simple/pkg-{}/","id":"{:016x}"}},"agent":"pip/24.{} (CPython 3.12; linux x86_64)"}}"#,
        took / 100,
        took % 100,
        n * 31 % 4_000,
        (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        n % 3,
    )
}

/// One flush: a thousand lines of a stream at a time, of twenty streams.
fn segment(number: usize) -> (Reader, usize) {
    let (head, mut raw) = (Head::new(Settings::default()), 0);
    for batch in 0..BATCHES {
        let labels = format!("{{app=\"web\", pod=\"web-{}\"}}", batch % 20);
        let mut builder = wire::loki::Builder::new();
        builder.stream(&labels);
        let (mut times, first) = (TimeRange::EMPTY, (number * BATCHES + batch) * ROWS);
        for n in first..first + ROWS {
            let (time, text) = (n as i64 * SECOND / 1_000, line(n));
            builder.entry(time, &text, std::iter::empty());
            times.include(time);
            raw += text.len();
        }
        let body = builder.finish();
        let header = Header {
            id: BatchId(batch as u128),
            tenant: TenantId::anonymous(),
            format: Format::LokiPush,
            rows: ROWS as u32,
            body_len: body.len() as u32,
            times,
            streams: vec![StreamHeader { key: wire::loki::key(&labels), rows: ROWS as u32, times }],
        };
        let payload: Bytes = wire::snappy::compress(&body).into();
        head.apply(batch as u64 + 1, &header, &payload, Arc::new(Memory(payload.clone()))).expect("applies");
    }
    let part = head.cut(BATCHES as u64).encode().next().expect("a part").expect("encodes");
    (Reader::open(Arc::new(MemorySections(part.sections))).expect("opens"), raw)
}

struct Segments(Vec<Reader>);

fn wanted(selection: &LogSelection) -> Selection {
    let LogSelection { matchers, range, contains, lines, .. } = selection.clone();
    Selection { matchers, range, contains, lines }
}

fn failed(error: logs::Error) -> SourceError {
    SourceError { reason: error.reason(), text: error.to_string() }
}

impl PageSource for Segments {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        let wanted = wanted(selection);
        let pages = |reader: &Reader| match (selection.limit, selection.order, &selection.horizon) {
            (None, _, None) => reader.pages(&wanted),
            (None, _, Some(horizon)) => reader.within(&wanted, horizon),
            (Some(limit), Order::Forward, _) => reader.oldest(&wanted, limit),
            (Some(limit), Order::Backward, _) => reader.newest(&wanted, limit),
        };
        let pages: Vec<_> = self.0.iter().map(pages).collect();
        Ok(Box::new(pages.into_iter().flatten().map(|page| page.map_err(failed))))
    }

    fn visits(&self, selection: &LogSelection, _: bool, ways: usize) -> Result<Vec<Visit<'_>>, SourceError> {
        let runs = (0..).zip(self.0.chunks(self.0.len().div_ceil(ways).max(1)));
        let visit = |(run, readers): (u32, &[Reader])| {
            let parts: Vec<_> = readers.iter().map(|reader| reader.pages(&wanted(selection))).collect();
            Box::new(move |take: Take<'_>| {
                for (number, pages) in (run << 16..).zip(parts) {
                    if ouro_querier::shredded::visit(pages, number, take).map_err(failed)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }) as Visit<'_>
        };
        Ok(runs.map(visit).collect())
    }
}

/// User and system time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    ticks / 100.0
}

const QUERIES: [(&str, &str); 9] = [
    ("a word that no line has", r#"{app="web"} |= "NoSuchWord""#),
    ("an id that one line has", r#"{app="web"} |= "9e3779b97f4a7c15""#),
    ("a regular expression with a word", r#"sum(count_over_time({app="web"} |~ "pkg-39[0-9]+/" [1h]))"#),
    ("a regular expression without one", r#"sum(count_over_time({app="web"} |~ "[0-9a-f]{6}00+\"" [1h]))"#),
    ("a filter of a JSON field, newest 100", r#"{app="web"} | json | status >= 500"#),
    ("a filter of a JSON field, all counted", r#"sum(count_over_time({app="web"} | json | status >= 500 [1h]))"#),
    ("sum by (pod) (rate)", r#"sum by (pod) (rate({app="web"} [1m]))"#),
    ("sum by (status) (rate) of a JSON field", r#"sum by (status) (rate({app="web"} | json [1m]))"#),
    ("p99 of a JSON number", r#"quantile_over_time(0.99, {app="web"} | json | unwrap took_ms [1m]) by (pod)"#),
];

fn main() {
    let before = cpu();
    let (readers, raw): (Vec<_>, Vec<_>) = (0..SEGMENTS).map(segment).unzip();
    let (raw, lines) = (raw.iter().sum::<usize>(), SEGMENTS * BATCHES * ROWS);
    println!("{lines} lines, {} MB; made, pushed and flushed in {:.1} CPU-s", raw / 1_000_000, cpu() - before);
    let (source, options) = (Segments(readers), Options::default());
    let end = lines as i64 * SECOND / 1_000;
    for (what, query) in QUERIES {
        let expr = parse(query).expect("a good query");
        let (begun, mut runs) = (cpu(), 0);
        while runs == 0 || cpu() - begun < LEAST {
            if expr.is_metric() {
                range(&source, &expr, 60 * SECOND, end, 60 * SECOND, &options).map(drop).expect("an answer");
            } else {
                entries(&source, &expr, 0, end, 100, Order::Backward, &options).map(drop).expect("an answer");
            }
            runs += 1;
        }
        let each = (cpu() - begun) / f64::from(runs);
        println!("{:9.1} ms {:8.1} GB/s  {what}: {query}", each * 1e3, raw as f64 / each / 1e9);
    }
}
