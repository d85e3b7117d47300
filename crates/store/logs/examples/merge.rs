//! Flushes generated logs as several segments, merges them, and says what merging cost and gained; then compares rows.
//!
//! `logs-merge [SEGMENTS] [MEGABYTES EACH]`: access logs as JSON and application logs as text, of 60 streams.

use block::{MemorySections, Part};
use bytes::Bytes;
use model::{BatchId, TenantId, TimeRange};
use ouro_logs::{Head, Merge, Payload, Reader, Selection, Settings};
use std::sync::Arc;
use wire::batch::{Format, Header, StreamHeader};
use xxhash_rust::xxh3::xxh3_128;

struct Memory(Bytes);

impl Payload for Memory {
    fn read(&self) -> std::io::Result<Bytes> {
        Ok(self.0.clone())
    }
}

/// User and system time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn resident(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// A number that looks random and is always the same.
fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n ^ n >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ n >> 32
}

fn line(stream: u64, n: u64) -> String {
    let r = mix(n);
    let id = format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        r as u32,
        r >> 48,
        r >> 20 & 0xfff,
        r >> 8 & 0xfff,
        mix(r) >> 16
    );
    let (took, size) = (r % 900, mix(r + 1) % 90_000);
    if stream.is_multiple_of(3) {
        let paths = ["/simple/", "/pypi/json/", "/files/"];
        return format!(
            r#"{{"ClientAddr":"10.{}.{}.{}:{}","Duration":{},"DownstreamContentSize":{size},"DownstreamStatus":{},"RequestMethod":"GET","RequestPath":"{}{}","RequestProtocol":"HTTP/2.0","request_id":"{id}","level":"info","msg":"","retries":0}}"#,
            r % 16,
            r >> 8 & 0xff,
            r >> 16 & 0xff,
            1024 + r % 60_000,
            took * 1000 + r % 1000,
            [200, 200, 200, 304, 404, 500][r as usize % 6],
            paths[r as usize % 3],
            r >> 40 & 0x3ff,
        );
    }
    match r % 4 {
        0 => format!("INFO warehouse.requests request {id} finished in {took}.{:03} ms with {size} bytes", r % 1000),
        1 => format!("DEBUG sqlalchemy.pool connection {} checked out after {took} us", r >> 40 & 0xff),
        2 => format!("WARNING warehouse.cache key project-{} was not found", r >> 44 & 0xfff),
        _ => format!("INFO celery.task task {id} received on queue {}", ["default", "mail", "malware"][r as usize % 3]),
    }
}

/// A push of one stream.
fn batch(stream: u64, first: u64, base: i64) -> (Header, Bytes, u64) {
    let labels = format!("{{app=\"app-{}\", pod=\"pod-{stream}\", namespace=\"shop\"}}", stream % 12);
    let mut builder = wire::loki::Builder::new();
    builder.stream(&labels);
    let (mut times, mut raw) = (TimeRange::EMPTY, 0);
    for n in first..first + 400 {
        let (time, text) = (base + (n - first) as i64 * 2_000_000 + (mix(n) % 1_000_000) as i64, line(stream, n));
        builder.entry(time, &text, []);
        times.include(time);
        raw += text.len() as u64;
    }
    let body = builder.finish();
    let header = Header {
        id: BatchId(xxh3_128(&body)),
        tenant: TenantId::anonymous(),
        format: Format::LokiPush,
        rows: 400,
        body_len: body.len() as u32,
        times,
        streams: vec![StreamHeader { key: wire::loki::key(&labels), rows: 400, times }],
    };
    (header, wire::snappy::compress(&body).into(), raw)
}

fn flush(number: u64, bytes: u64, settings: &Settings) -> (Part, u64) {
    let head = Head::new(settings.clone());
    let (mut raw, mut index) = (0, 0);
    while raw < bytes {
        let n = number * 1_000_000 + index;
        let base = 1_800_000_000_000_000_000 + (n / 60) as i64 * 1_000_000_000;
        let (header, payload, own) = batch(mix(n) % 60, n * 400, base);
        index += 1;
        raw += own;
        head.apply(index, &header, &payload, Arc::new(Memory(payload.clone()))).expect("applies");
    }
    (head.cut(index).encode().next().expect("a part").expect("encodes"), raw)
}

fn size(part: &Part) -> u64 {
    part.sections.iter().map(|(_, data)| data.len() as u64).sum()
}

fn open(part: Part) -> Reader {
    Reader::open(Arc::new(MemorySections(part.sections))).expect("opens")
}

/// A sum over rows that does not depend on their order.
fn digest<'a>(readers: impl IntoIterator<Item = &'a Reader>) -> (u64, u128) {
    let (mut rows, mut sum) = (0, 0u128);
    for page in readers.into_iter().flat_map(|reader| reader.pages(&Selection::all())) {
        let page = page.expect("decodes");
        let stream = xxh3_128(page.labels.packed());
        for row in 0..page.len() {
            rows += 1;
            let time = (page.times[row] as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            sum = sum.wrapping_add(xxh3_128(page.line(row).as_bytes()) ^ stream.wrapping_add(time));
        }
    }
    (rows, sum)
}

fn main() {
    let argument = |at, default| std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (segments, megabytes): (u64, u64) = (argument(1, 24), argument(2, 40));
    let settings = Settings { verify: false, ..Settings::default() };
    let start = cpu();
    let (parts, raw): (Vec<Part>, Vec<u64>) =
        (0..segments).map(|number| flush(number, megabytes * 1_000_000, &settings)).unzip();
    let (raw, before) = (raw.iter().sum::<u64>(), parts.iter().map(size).sum::<u64>());
    let gb = raw as f64 / 1e9;
    println!("{segments} segments, {gb:.3} GB of lines; made and flushed with {:.2} CPU-s/GB", (cpu() - start) / gb);
    let inputs: Vec<Reader> = parts.into_iter().map(open).collect();
    let (start, idle) = (cpu(), resident("VmRSS:"));
    let merge = Merge::new(TenantId::anonymous(), &inputs, TimeRange::ALL, 512 << 20, &settings).expect("begins");
    let merged: Vec<Part> = merge.collect::<Result<_, _>>().expect("merges");
    let (spent, after) = (cpu() - start, merged.iter().map(size).sum::<u64>());
    println!(
        "merge: {:.3} CPU-s/GB, {} parts; memory {idle:.0} MiB before, {:.0} MiB after, peak of all {:.0} MiB",
        spent / gb,
        merged.len(),
        resident("VmRSS:"),
        resident("VmHWM:")
    );
    let ratio = |bytes: u64| raw as f64 / bytes as f64;
    println!("before {before} bytes (ratio {:.2}), after {after} bytes (ratio {:.2})", ratio(before), ratio(after));
    let merged: Vec<Reader> = merged.into_iter().map(open).collect();
    let start = cpu();
    let want = digest(&inputs);
    println!("reading all: {:.3} CPU-s/GB from segments", (cpu() - start) / gb);
    let start = cpu();
    assert_eq!(digest(&merged), want, "the rows of the merge are not those of its inputs");
    println!("reading all: {:.3} CPU-s/GB from blocks; all {} rows are the same", (cpu() - start) / gb, want.0);
}
