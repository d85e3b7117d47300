//! Encodes generated samples as several segments, merges them, and says what merging cost and gained; then compares them.
//!
//! `metrics-merge [SEGMENTS] [SERIES] [SAMPLES EACH]`: counters, gauges and constants, scraped every 15 s.

use block::{MemorySections, Part};
use model::{Labels, Series, TenantId, TimeRange};
use ouro_metrics::{Compaction, Encoder, Reader, Settings, order};
use std::sync::Arc;
use std::time::Duration;

/// A number that looks random and is always the same.
fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n ^ n >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ n >> 32
}

fn labels(series: u64) -> Labels {
    let (pod, metric) = (series / 50, series % 50);
    let name = format!("container_{}_{metric}", ["cpu_seconds_total", "memory_bytes", "info"][metric as usize % 3]);
    let (pod, node) = (format!("web-{:08x}", mix(pod)), format!("node-{}", pod % 20));
    Labels::from_pairs([("__name__", name.as_str()), ("namespace", "shop"), ("node", &node), ("pod", &pod)])
}

/// The samples of a series from the `from`-th scrape on.
fn samples(series: u64, from: u64, count: u64) -> Series {
    let offset = mix(series / 50) % 15_000;
    let value = |n: u64| match series % 50 % 3 {
        0 => (n * (1 + mix(series) % 90) + mix(series ^ n << 20) % 30) as f64 / 100.0,
        1 => ((1 << 28) + (mix(series ^ n << 20) % 5000) * 4096) as f64,
        _ => 1.0,
    };
    let scrapes = from..from + count;
    Series {
        times: scrapes.clone().map(|n| 1_800_000_000_000 + (n * 15_000 + offset) as i64).collect(),
        values: scrapes.map(value).collect(),
        ..Series::new(labels(series))
    }
}

fn size(part: &Part) -> u64 {
    part.sections.iter().map(|(_, data)| data.len() as u64).sum()
}

fn open(part: Part) -> Arc<Reader> {
    Arc::new(Reader::open(Arc::new(MemorySections(part.sections))).expect("opens"))
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned()
}

/// A sum over samples that does not depend on their order.
fn digest<'a>(readers: impl IntoIterator<Item = &'a Arc<Reader>>) -> (u64, u64) {
    let (mut rows, mut sum) = (0, 0u64);
    for series in readers.into_iter().flat_map(|reader| reader.select(&[], TimeRange::ALL).expect("selects")) {
        let series = series.expect("decodes");
        let id = series.labels().id().0 as u64;
        for (time, value) in series.times.iter().zip(&series.values) {
            rows += 1;
            sum = sum.wrapping_add(mix(id ^ (*time as u64).rotate_left(21)) ^ value.to_bits());
        }
    }
    (rows, sum)
}

fn main() {
    let argument = |at, default| std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (segments, series, count): (u64, u64, u64) = (argument(1, 24), argument(2, 20_000), argument(3, 60));
    let settings = Settings::default();
    let mut ids: Vec<u64> = (0..series).collect();
    let all: Vec<Labels> = ids.iter().map(|id| labels(*id)).collect();
    ids.sort_by(|a, b| order(&all[*a as usize], &all[*b as usize]));
    let start = cpu();
    let parts = (0..segments).map(|segment| {
        let mut encoder = Encoder::new(&settings).expect("compressors");
        ids.iter().for_each(|id| encoder.push(&samples(*id, segment * count, count), &[]).expect("in order"));
        encoder.finish(TenantId::anonymous()).expect("encodes")
    });
    let parts: Vec<Part> = parts.collect();
    let million = (segments * series * count) as f64 / 1e6;
    let each = |bytes: u64| bytes as f64 / million / 1e6;
    let before = parts.iter().map(size).sum();
    let spent = (cpu() - start).as_secs_f64() / million;
    println!(
        "{million:.1} M samples of {series} series in {segments} segments; made and encoded with {spent:.3} CPU-s/M"
    );
    let inputs: Vec<Arc<Reader>> = parts.into_iter().map(open).collect();
    let (start, idle) = (cpu(), peak());
    let merge = Compaction::new(TenantId::anonymous(), &inputs, TimeRange::ALL, 512 << 20, &settings).expect("begins");
    let merged: Vec<Part> = merge.collect::<Result<_, _>>().expect("merges");
    let spent = (cpu() - start).as_secs_f64() / million;
    println!("merge: {spent:.4} CPU-s/M samples, {} parts; {idle} before, {} after", merged.len(), peak());
    let after = merged.iter().map(size).sum();
    println!("before {before} bytes ({:.3} a sample), after {after} bytes ({:.3} a sample)", each(before), each(after));
    let merged: Vec<Arc<Reader>> = merged.into_iter().map(open).collect();
    let start = cpu();
    let want = digest(&inputs);
    println!("reading all: {:.4} CPU-s/M samples from segments", (cpu() - start).as_secs_f64() / million);
    let start = cpu();
    assert_eq!(digest(&merged), want, "the samples of the merge are not those of its inputs");
    println!(
        "reading all: {:.4} CPU-s/M samples from blocks; all {} are the same",
        (cpu() - start).as_secs_f64() / million,
        want.0
    );
}
