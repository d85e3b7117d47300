//! Encodes a corpus of pushes, says what it cost, reads everything back and compares it byte for byte.
//!
//! `corpus DIR`: every `logs-*.blk` in it, each `{u32 body length, u32 entries, u32 raw bytes, u16 tenant length,
//! tenant, snappy-compressed PushRequest}`, little-endian; needles from `logs-manifest.json`, if it is there.

use block::{MemorySections, Sections};
use bytes::{Buf, Bytes};
use model::{BatchId, LogPage, Matcher, TenantId, TimeRange};
use ouro_logs::{Head, Payload, Reader, Selection, Settings};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
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

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("").to_owned()
}

struct Corpus {
    batches: Vec<(Header, Bytes)>,
    raw: u64,
    rows: u64,
    compressed: u64,
}

fn load(dir: &str) -> Corpus {
    let mut corpus = Corpus { batches: Vec::new(), raw: 0, rows: 0, compressed: 0 };
    let mut files: Vec<_> = std::fs::read_dir(dir).expect("a folder").flatten().map(|file| file.path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("logs-")));
    files.retain(|path| path.extension().is_some_and(|e| e == "blk"));
    files.sort();
    let mut files: Vec<Bytes> = files.iter().map(|path| std::fs::read(path).expect("a file").into()).collect();
    // In turns, as they would arrive.
    while files.iter().any(|file| !file.is_empty()) {
        for file in files.iter_mut().filter(|file| !file.is_empty()) {
            let (len, entries, raw) = (file.get_u32_le(), file.get_u32_le(), file.get_u32_le());
            let tenant_len = file.get_u16_le() as usize;
            let tenant = file.split_to(tenant_len);
            let payload = file.split_to(len as usize);
            let tenant = std::str::from_utf8(&tenant).ok().and_then(|name| TenantId::new(name).ok());
            let body = wire::snappy::decompress(&payload, 1 << 30).expect("snappy");
            let (mut times, mut streams) = (TimeRange::EMPTY, Vec::new());
            for stream in wire::loki::streams(&body) {
                let stream = stream.expect("a stream");
                let (mut range, mut rows) = (TimeRange::EMPTY, 0);
                for entry in stream.entries() {
                    range.include(entry.expect("an entry").time);
                    rows += 1;
                }
                times = times.union(range);
                streams.push(StreamHeader { key: wire::loki::key(stream.labels), rows, times: range });
            }
            let header = Header {
                id: BatchId(xxh3_128(&payload)),
                tenant: tenant.unwrap_or_else(TenantId::anonymous),
                format: Format::LokiPush,
                rows: entries,
                body_len: body.len() as u32,
                times,
                streams,
            };
            corpus.raw += u64::from(raw);
            corpus.rows += u64::from(entries);
            corpus.compressed += payload.len() as u64;
            corpus.batches.push((header, payload));
        }
    }
    corpus
}

/// A sum over rows that does not depend on their order.
fn digest(labels: &str, time: i64, line: &str) -> u128 {
    xxh3_128(line.as_bytes()).wrapping_mul(3) ^ xxh3_128(labels.as_bytes()).wrapping_add(time as u128).wrapping_mul(7)
}

fn main() {
    let dir = std::env::args().nth(1).expect("usage: corpus DIR");
    let corpus = load(&dir);
    let gb = corpus.raw as f64 / 1e9;
    println!(
        "{} rows, {:.3} GB raw, {:.3} GB compressed, {} batches",
        corpus.rows,
        gb,
        corpus.compressed as f64 / 1e9,
        corpus.batches.len()
    );
    let settings = Settings { verify: std::env::var("VERIFY").is_ok(), ..Settings::default() };
    let settings = match std::env::var("PAGE").ok().and_then(|p| p.parse().ok()) {
        Some(page_rows) => Settings { page_rows, ..settings },
        None => settings,
    };
    let head = Head::new(settings);
    let start = cpu();
    for (index, (header, payload)) in corpus.batches.iter().enumerate() {
        head.apply(index as u64, header, payload, Arc::new(Memory(payload.clone()))).expect("applies");
    }
    println!("apply: {:.3} CPU-s/GB; {:?}", (cpu() - start) / gb, head.stats().active);
    let before = peak();
    let start = cpu();
    let parts: Vec<block::Part> =
        head.cut(corpus.batches.len() as u64).encode().collect::<Result<_, _>>().expect("encodes");
    let spent = cpu() - start;
    let bytes: u64 = parts.iter().flat_map(|p| &p.sections).map(|(_, data)| data.len() as u64).sum();
    println!(
        "encode: {:.3} CPU-s/GB, {bytes} bytes, ratio {:.2}; peak before {before}, after {}",
        spent / gb,
        corpus.raw as f64 / bytes as f64,
        peak()
    );
    if std::env::var("ENCODE_ONLY").is_ok() {
        return;
    }
    let mut kinds: HashMap<u8, u64> = HashMap::new();
    parts
        .iter()
        .flat_map(|p| &p.sections)
        .for_each(|(kind, data)| *kinds.entry(*kind).or_default() += data.len() as u64);
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort();
    println!("sections (1 index, 2 times, 3 data, 4 filters): {kinds:?}");
    let readers: Vec<Reader> = parts
        .into_iter()
        .map(|part| {
            let sections: Arc<dyn Sections> = Arc::new(MemorySections(part.sections));
            Reader::open(sections).expect("opens")
        })
        .collect();
    if std::env::var("REPORT").is_ok() {
        let mut total: HashMap<String, (u64, u64)> = HashMap::new();
        for reader in &readers {
            for (what, size) in reader.sizes().expect("reads") {
                let entry = total.entry(what).or_default();
                *entry = (entry.0 + size, entry.1 + 1);
            }
        }
        let mut total: Vec<_> = total.into_iter().collect();
        total.sort_by_key(|(_, (size, _))| std::cmp::Reverse(*size));
        for (what, (size, count)) in total.iter().take(60) {
            println!("{size:>10} {count:>4} {what}");
        }
    }
    let start = cpu();
    let mut rows = 0;
    let mut bytes = 0;
    for page in readers.iter().flat_map(|reader| reader.pages(&Selection::all())) {
        let page = page.expect("decodes");
        rows += page.len();
        bytes += page.text.len();
    }
    println!("decode: {:.3} CPU-s/GB, {rows} rows, {bytes} bytes", (cpu() - start) / gb);
    compare(&corpus, &readers);
    let start = Instant::now();
    let counted: usize =
        readers.iter().flat_map(|r| r.times(&Selection::all())).map(|t| t.expect("times").1.len()).sum();
    println!("count of {counted} rows by times: {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    let manifest = std::fs::read_to_string(format!("{dir}/logs-manifest.json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap_or_default();
    let needles = manifest["needles"].as_array().cloned().unwrap_or_default();
    for needle in needles
        .iter()
        .filter_map(|n| n["id"].as_str())
        .chain(["00000000-aaaa-4bbb-8ccc-dddddddddddd", "request finished\",\"request.id\":\"af847df5"])
    {
        let selection = Selection { contains: vec![needle.to_owned()], ..Selection::all() };
        let mut best = f64::MAX;
        let mut found = 0;
        for _ in 0..10 {
            let start = Instant::now();
            let pages: Vec<LogPage> =
                readers.iter().flat_map(|r| r.pages(&selection)).collect::<Result<_, _>>().expect("reads");
            best = best.min(start.elapsed().as_secs_f64() * 1e3);
            found =
                pages.iter().flat_map(|p| (0..p.len()).map(|row| p.line(row).contains(needle))).filter(|f| *f).count();
        }
        println!("needle {needle}: {found} rows, {best:.3} ms");
    }
    let selection = Selection { matchers: vec![Matcher::equal("status", "5xx")], ..Selection::all() };
    let start = Instant::now();
    let found: usize = readers.iter().flat_map(|r| r.pages(&selection)).map(|p| p.expect("reads").len()).sum();
    println!("status 5xx: {found} rows, {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let found: usize = readers.iter().flat_map(|r| r.newest(&selection, 100)).map(|p| p.expect("reads").len()).sum();
    println!("newest 100 of status 5xx: {found} rows, {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    println!("{}", peak());
}

fn compare(corpus: &Corpus, readers: &[Reader]) {
    let (mut want, mut have) = (0u128, 0u128);
    for (header, payload) in &corpus.batches {
        let body = wire::snappy::decompress(payload, header.body_len as usize).expect("snappy");
        for stream in wire::loki::streams(&body) {
            let stream = stream.expect("a stream");
            let labels = wire::loki::parse_labels(stream.labels).expect("labels").to_string();
            for entry in stream.entries() {
                let entry = entry.expect("an entry");
                want = want.wrapping_add(digest(&labels, entry.time, entry.line));
            }
        }
    }
    for page in readers.iter().flat_map(|reader| reader.pages(&Selection::all())) {
        let page = page.expect("decodes");
        let labels = page.labels.to_string();
        for row in 0..page.len() {
            have = have.wrapping_add(digest(&labels, page.times[row], page.line(row)));
        }
    }
    assert_eq!(want, have, "the rows that come back are not those that were written");
    println!("every row came back, byte for byte");
}
