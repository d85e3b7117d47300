//! Takes a corpus of remote write bodies through head, segment and reader, and prints what each step costs.
//!
//! `corpus DIR`: reads DIR/metrics-*.blk, which repeat `u32 body length, u32 samples, u32 raw bytes, u16 tenant length,
//! tenant, body` (little endian; the body is a snappy-compressed remote write 1.0 request).

use block::MemorySections;
use model::{BatchId, Matcher, Signal, TenantId, TimeRange};
use ouro_metrics::{Bounds, Head, Reader, Settings};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::batch::{Format, Header};

fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "bench-data".into());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("the folder is readable")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "blk") && name(path).starts_with(Signal::Metrics.name()))
        .collect();
    files.sort();
    let idle = resident();
    let head = Head::new(Settings::default());
    let tenant = TenantId::anonymous();
    let mut spent = [Duration::ZERO; 3];
    let (mut samples, mut index, mut sum) = (0u64, 0u64, 0u64);
    let mut input = Fingerprint::default();
    // The files in turn, as agents send them.
    let mut readers: Vec<_> =
        files.iter().map(|path| std::io::BufReader::new(std::fs::File::open(path).expect("opens"))).collect();
    let bounds = Bounds { window: Some(Duration::from_secs(3600)), ..Bounds::default() };
    while !readers.is_empty() {
        readers.retain_mut(|file| {
            let Some((count, packed)) = next_body(file) else { return false };
            let start = cpu();
            let body = wire::snappy::decompress(&packed, 1 << 30).expect("decompresses");
            spent[0] += cpu() - start;
            let start = cpu();
            let admission = head.admit(&tenant, Format::PromV1, &body, &bounds).expect("admits");
            spent[1] += cpu() - start;
            assert!(admission.refused.is_empty(), "{admission:?}");
            index += 1;
            let header = Header {
                id: BatchId(u128::from(index)),
                tenant: tenant.clone(),
                format: Format::PromV1,
                rows: count,
                body_len: body.len() as u32,
                times: TimeRange::EMPTY,
                streams: Vec::new(),
            };
            let start = cpu();
            let outcome = head.apply(index, &header, &body).expect("applies");
            spent[2] += cpu() - start;
            assert_eq!((outcome.rows, outcome.duplicates, outcome.late), (count, 0, 0));
            input.add_body(&body);
            samples += u64::from(count);
            sum += packed.len() as u64;
            true
        });
    }
    let million = samples as f64 / 1e6;
    println!("{samples} samples in {index} bodies of {sum} bytes, {} series", head.stats().series);
    for (name, spent) in ["decompress", "admit", "apply"].iter().zip(spent) {
        println!("{name:24} {:8.3} CPU-s/M samples", spent.as_secs_f64() / million);
    }
    let stats = head.stats();
    println!("head                     {} B/series by its count, {stats:?}", stats.memory_bytes / stats.series);
    println!("resident                 {:.1} MiB (idle {:.1})", resident(), idle);
    read_head(&head, &tenant);

    let start = cpu();
    let frozen = head.cut(index);
    let parts: Vec<block::Part> = frozen.encode().collect::<Result<_, _>>().expect("encodes");
    println!("cut and encode           {:8.3} CPU-s/M samples", (cpu() - start).as_secs_f64() / million);
    println!("resident after encoding  {:.1} MiB, peak {:.1}", resident(), status("VmHWM:"));
    let part = &parts[0];
    let total: usize = part.sections.iter().map(|(_, data)| data.len()).sum();
    for (kind, data) in &part.sections {
        println!(
            "section {kind}                {:9} bytes {:8.4} a sample",
            data.len(),
            data.len() as f64 / samples as f64
        );
    }
    println!("all sections             {total:9} bytes {:8.4} a sample", total as f64 / samples as f64);
    compare(&head, part, input.sum);
}

fn read_head(head: &Head, tenant: &TenantId) {
    let view = head.snapshot();
    for (name, matchers) in queries() {
        let (mut series, mut samples) = (0, 0);
        let took = best(|| {
            (series, samples) = (0, 0);
            for one in view.select(tenant, &matchers, TimeRange::ALL) {
                series += 1;
                samples += one.times.len();
            }
        });
        println!("head {name:40} {series:7} series {samples:8} samples {took:8.2} ms");
    }
    let took = best(|| assert!(view.series(tenant, &[], TimeRange::ALL).len() > 1));
    println!("head labels of all series: {took:.2} ms");
}

fn queries() -> Vec<(&'static str, Vec<Matcher>)> {
    let equal = Matcher::equal;
    let regex = |name, value| Matcher::new(name, model::MatchOp::Regex, value).expect("a pattern");
    vec![
        ("all", vec![]),
        ("job=kubelet-cadvisor", vec![equal("job", "kubelet-cadvisor")]),
        ("histogram buckets", vec![equal("__name__", "traefik_service_request_duration_seconds_bucket")]),
        ("one metric, one code", vec![equal("__name__", "traefik_service_requests_total"), equal("code", "200")]),
        ("pod regex", vec![regex("pod", "warehouse-web-0.*")]),
        (
            "one series",
            vec![equal("__name__", "node_cpu_seconds_total"), equal("instance", "node-07:9100"), equal("cpu", "0")],
        ),
        ("none", vec![equal("pod", "absent")]),
    ]
}

fn compare(head: &Head, part: &block::Part, input: u64) {
    let view = head.snapshot();
    let start = Instant::now();
    let reader = Reader::open(Arc::new(MemorySections(part.sections.clone()))).expect("opens");
    println!("open                     {:?}", start.elapsed());
    let bits = |series: &model::Series| series.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let mut want = HashMap::new();
    for series in view.select(&part.tenant, &[], TimeRange::ALL) {
        want.insert(series.labels(), series);
    }
    let mut rows = 0;
    let mut output = Fingerprint::default();
    for series in reader.select(&[], TimeRange::ALL).expect("selects") {
        let series = series.expect("decodes");
        let other = want.remove(&series.labels()).expect("the head has it too");
        assert!(other.times == series.times && bits(&other) == bits(&series), "{}", series.labels());
        rows += series.times.len() as u64;
        let id = series.labels().id().0 as u64;
        series.times.iter().zip(&series.values).for_each(|(time, value)| output.add(id, *time, *value));
    }
    assert_eq!(input, output.sum, "the samples are those of the bodies");
    assert!(want.is_empty() && rows == part.rows);
    println!("all {rows} samples came back bit for bit");
    drop(want);
    for (name, matchers) in queries() {
        for round in ["cold", "warm"] {
            let (mut series, mut samples) = (0, 0);
            let took = best(|| {
                (series, samples) = (0, 0);
                let fresh = Reader::open(Arc::new(MemorySections(part.sections.clone()))).expect("opens");
                let reader = if round == "cold" { &fresh } else { &reader };
                for one in reader.select(&matchers, TimeRange::ALL).expect("selects") {
                    series += 1;
                    samples += one.expect("decodes").times.len();
                }
            });
            println!("{round} {name:40} {series:7} series {samples:8} samples {took:8.2} ms");
        }
    }
    let took = best(|| assert!(reader.series(&[], TimeRange::ALL).expect("reads").len() > 1));
    println!("labels of all series: {took:.2} ms");
}

/// The fastest of a few runs, in milliseconds: the machine may be shared.
fn best(mut run: impl FnMut()) -> f64 {
    let mut time = || {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..4).map(|_| time()).fold(f64::MAX, f64::min)
}

/// A sum over all samples with their labels, whatever their order.
#[derive(Default)]
struct Fingerprint {
    sum: u64,
    ids: HashMap<u128, u64>,
}

impl Fingerprint {
    fn add(&mut self, id: u64, time: i64, value: f64) {
        let mixed = (id ^ (time as u64).rotate_left(21)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value.to_bits();
        self.sum = self.sum.wrapping_add((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9));
    }

    fn add_body(&mut self, body: &[u8]) {
        for series in wire::prometheus::series(body, wire::prometheus::Version::V1) {
            let series = series.expect("reads");
            let labels = || model::Labels::from_pairs(series.labels().map(|pair| pair.expect("reads")));
            let id = *self.ids.entry(series.key()).or_insert_with(|| labels().id().0 as u64);
            for sample in series.samples() {
                let sample = sample.expect("reads");
                self.add(id, sample.time, sample.value);
            }
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn next_body(file: &mut impl std::io::Read) -> Option<(u32, Vec<u8>)> {
    let mut head = [0; 14];
    file.read_exact(&mut head).ok()?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let mut tenant = vec![0; usize::from(u16::from_le_bytes([head[12], head[13]]))];
    file.read_exact(&mut tenant).ok()?;
    let mut body = vec![0; number(0) as usize];
    file.read_exact(&mut body).ok()?;
    Some((number(4), body))
}

/// CPU time of this thread, since the machine may be shared.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn resident() -> f64 {
    status("VmRSS:")
}

fn status(key: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
