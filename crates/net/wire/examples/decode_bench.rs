//! Measures what decoding pushes costs: `decode_bench FILE.blk…` prints CPU seconds per GB of lines, or per million
//! samples.
//!
//! A `.blk` file repeats `u32 body length, u32 entries, u32 raw bytes, u16 tenant length, tenant, body`, little-endian;
//! the body is a snappy-compressed Loki push, or a remote write 1.0 where the file's name begins with `metrics`.

use ouro_wire::prometheus::{Version, series};
use ouro_wire::{loki, snappy};
use std::hint::black_box;
use std::path::Path;
use tenancy::DiscoverySettings;

/// Compressed bodies, and the raw bytes and entries that they stand for.
struct Blocks {
    bodies: Vec<Vec<u8>>,
    raw: u64,
    entries: u64,
}

fn main() {
    for path in std::env::args().skip(1) {
        let path = Path::new(&path);
        let blocks = read(&std::fs::read(path).expect("the file can be read"));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.starts_with("metrics") {
            true => metrics(&name, &blocks),
            false => logs(&name, &blocks),
        }
    }
}

fn read(mut rest: &[u8]) -> Blocks {
    let mut blocks = Blocks { bodies: Vec::new(), raw: 0, entries: 0 };
    let number = |rest: &mut &[u8], len: usize| {
        let (bytes, tail) = rest.split_at(len);
        *rest = tail;
        bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte))
    };
    while !rest.is_empty() {
        let len = number(&mut rest, 4) as usize;
        blocks.entries += number(&mut rest, 4);
        blocks.raw += number(&mut rest, 4);
        let tenant = number(&mut rest, 2) as usize;
        blocks.bodies.push(rest[tenant..tenant + len].to_vec());
        rest = &rest[tenant + len..];
    }
    blocks
}

/// CPU nanoseconds of this thread so far.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

/// CPU seconds per unit, the best of three.
fn measure(name: &str, units: f64, mut work: impl FnMut()) {
    let run = |work: &mut dyn FnMut()| {
        let start = cpu();
        work();
        cpu() - start
    };
    let best = (0..3).map(|_| run(&mut work)).min().unwrap_or(0);
    println!("  {name:<28} {:>8.4} CPU-s", best as f64 / 1e9 / units);
}

fn logs(name: &str, blocks: &Blocks) {
    let gigabytes = blocks.raw as f64 / 1e9;
    println!("{name}: {} pushes, {} lines, {gigabytes:.3} GB; per GB:", blocks.bodies.len(), blocks.entries);
    let bodies = inflate(blocks);
    measure("snappy", gigabytes, || blocks.bodies.iter().for_each(|body| drop(black_box(decompress(body)))));
    measure("streams and keys", gigabytes, || {
        for body in &bodies {
            for stream in loki::streams(body) {
                black_box(loki::key(stream.expect("reads").labels));
            }
        }
    });
    measure("streams, keys, entries", gigabytes, || {
        let mut lines = 0;
        for body in &bodies {
            for stream in loki::streams(body) {
                let stream = stream.expect("reads");
                black_box(loki::key(stream.labels));
                lines += stream.entries().filter(|entry| black_box(entry).is_ok()).count();
            }
        }
        assert_eq!(lines as u64, blocks.entries);
    });
    // What `limits.discover.pushes` costs beside that.
    let names = DiscoverySettings { levels: false, ..DiscoverySettings::default() };
    for (name, settings) in [("services", names), ("services, levels", DiscoverySettings::default())] {
        let discover = |body: &Vec<u8>| loki::discover(body, &settings, 1 << 30).expect("reads");
        measure(name, gigabytes, || bodies.iter().for_each(|body| drop(black_box(discover(body)))));
        let found: Vec<Vec<u8>> = bodies.iter().map(discover).collect();
        measure("… compressed", gigabytes, || found.iter().for_each(|body| drop(black_box(snappy::compress(body)))));
    }
}

fn metrics(name: &str, blocks: &Blocks) {
    let millions = blocks.entries as f64 / 1e6;
    println!("{name}: {} pushes, {millions:.3} M samples; per million samples:", blocks.bodies.len());
    let bodies = inflate(blocks);
    measure("snappy", millions, || blocks.bodies.iter().for_each(|body| drop(black_box(decompress(body)))));
    measure("series, keys", millions, || {
        for body in &bodies {
            for series in series(body, Version::V1) {
                black_box(series.expect("reads").key());
            }
        }
    });
    measure("series, keys, samples", millions, || {
        let mut samples = 0;
        for body in &bodies {
            for series in series(body, Version::V1) {
                let series = series.expect("reads");
                black_box(series.key());
                samples += series.samples().filter(|sample| black_box(sample).is_ok()).count();
            }
        }
        assert_eq!(samples as u64, blocks.entries);
    });
    measure("series, labels, samples", millions, || {
        for body in &bodies {
            for series in series(body, Version::V1) {
                let series = series.expect("reads");
                let labels = series.labels().filter(|label| black_box(label).is_ok()).count();
                black_box(labels + series.samples().filter(|sample| black_box(sample).is_ok()).count());
            }
        }
    });
}

fn decompress(body: &[u8]) -> Vec<u8> {
    snappy::decompress(body, 1 << 30).expect("snappy")
}

fn inflate(blocks: &Blocks) -> Vec<Vec<u8>> {
    blocks.bodies.iter().map(|body| decompress(body)).collect()
}
