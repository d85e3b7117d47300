//! Encodes lines that are hard on an encoder, and says what each kind costs: it must never be many times the usual.

use bytes::Bytes;
use model::{BatchId, TenantId, TimeRange};
use ouro_logs::{Head, Payload, Settings};
use std::fmt::Write;
use std::sync::Arc;
use wire::batch::{Format, Header, StreamHeader};

struct Memory(Bytes);

impl Payload for Memory {
    fn read(&self) -> std::io::Result<Bytes> {
        Ok(self.0.clone())
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 29) ^ self.0 >> 51
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

const WORDS: [&str; 24] = [
    "the",
    "request",
    "was",
    "not",
    "found",
    "in",
    "cache",
    "after",
    "retry",
    "because",
    "upstream",
    "closed",
    "connection",
    "while",
    "reading",
    "header",
    "from",
    "client",
    "user",
    "session",
    "expired",
    "for",
    "token",
    "of",
];

type Make = fn(&mut Random, u64) -> String;

fn optional_keys(random: &mut Random, n: u64) -> String {
    let mut line = format!("{{\"n\":{n}");
    for key in 0..30 {
        if random.below(2) == 0 {
            write!(line, ",\"key_{key}\":{}", random.below(1000)).expect("a string");
        }
    }
    line + "}"
}

fn arrays(random: &mut Random, n: u64) -> String {
    let items: Vec<String> = (0..random.below(60)).map(|_| random.below(10_000).to_string()).collect();
    format!("{{\"n\":{n},\"items\":[{}],\"msg\":\"done\"}}", items.join(","))
}

fn base64(random: &mut Random, n: u64) -> String {
    let text: String = (0..400)
        .map(|_| {
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[random.below(64) as usize])
        })
        .collect();
    format!("{{\"n\":{n},\"blob\":\"{text}\"}}")
}

fn prose(random: &mut Random, _: u64) -> String {
    (0..8 + random.below(20)).map(|_| WORDS[random.below(24) as usize]).collect::<Vec<_>>().join(" ")
}

fn random_keys(random: &mut Random, n: u64) -> String {
    let pairs: Vec<String> =
        (0..12).map(|_| format!("\"k{:x}\":{}", random.below(1 << 24), random.below(100))).collect();
    format!("{{\"n\":{n},{}}}", pairs.join(","))
}

fn delimiters(random: &mut Random, _: u64) -> String {
    (0..200).map(|_| [" ", "=", "1", "a", "\"", "[", "]", ","][random.below(8) as usize]).collect()
}

fn short(_: &mut Random, n: u64) -> String {
    n.to_string()
}

fn mixed_types(random: &mut Random, n: u64) -> String {
    let value = match random.below(6) {
        0 => random.below(100).to_string(),
        1 => format!("{}.{}", random.below(100), random.below(1000)),
        2 => "null".to_owned(),
        3 => "true".to_owned(),
        4 => format!("1e{}", random.below(30)),
        _ => format!("{:x}", random.next()),
    };
    format!("{{\"n\":{n},\"v\":{value},\"w\":\"{value}\"}}")
}

/// User and system time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let kinds: [(&str, Make, u64); 8] = [
        ("30 optional keys", optional_keys, 200_000),
        ("variable arrays", arrays, 300_000),
        ("base64", base64, 150_000),
        ("prose", prose, 500_000),
        ("random keys", random_keys, 300_000),
        ("delimiters", delimiters, 300_000),
        ("short lines", short, 3_000_000),
        ("mixed types", mixed_types, 1_000_000),
    ];
    for (name, make, rows) in kinds {
        if name.contains(&only) {
            run(name, make, rows, 1);
        }
    }
    if !only.is_empty() {
        return;
    }
    run("500 small tenants", mixed_types, 1_000_000, 500);
    run("20000 tiny tenants", mixed_types, 400_000, 20_000);
}

fn run(name: &str, make: Make, rows: u64, tenants: u64) {
    let mut random = Random(7);
    let settings = Settings { verify: std::env::var("VERIFY").is_ok(), ..Settings::default() };
    let head = Head::new(settings);
    let per_batch = (rows / tenants).min(10_000);
    let (mut raw, mut compressed) = (0u64, 0usize);
    for at in 0..rows / per_batch {
        let labels = format!("{{app=\"web-{}\"}}", at % 5);
        let mut builder = wire::loki::Builder::new();
        builder.stream(&labels);
        for n in 0..per_batch {
            let line = make(&mut random, at * per_batch + n);
            raw += line.len() as u64;
            builder.entry((at * per_batch + n) as i64 * 1_000_003, &line, []);
        }
        let body = builder.finish();
        let times =
            TimeRange::new((at * per_batch) as i64 * 1_000_003, (at * per_batch + per_batch) as i64 * 1_000_003);
        let streams = vec![StreamHeader { key: wire::loki::key(&labels), rows: per_batch as u32, times }];
        let tenant = TenantId::new(&format!("tenant-{}", at % tenants)).expect("a tenant");
        let (rows, body_len) = (per_batch as u32, body.len() as u32);
        let header = Header { id: BatchId(0), tenant, format: Format::LokiPush, rows, body_len, times, streams };
        let payload: Bytes = wire::snappy::compress(&body).into();
        compressed += payload.len();
        head.apply(at, &header, &payload, Arc::new(Memory(payload.clone()))).expect("applies");
    }
    let start = cpu();
    let mut bytes = 0u64;
    for part in head.cut(rows).encode() {
        bytes += part.expect("encodes").sections.iter().map(|(_, data)| data.len() as u64).sum::<u64>();
    }
    let seconds = cpu() - start;
    println!(
        "{name:>20}: {:6.2} CPU-s/GB, ratio {:5.2} (snappy {:.2}), {} MB",
        seconds / (raw as f64 / 1e9),
        raw as f64 / bytes as f64,
        raw as f64 / compressed as f64,
        raw / 1_000_000
    );
}
