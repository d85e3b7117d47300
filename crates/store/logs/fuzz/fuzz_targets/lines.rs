//! Encodes arbitrary lines, each a few times, and compares what comes back: `verify` does it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ouro_logs::{Head, Payload, Settings};
use ouro_model::{BatchId, ByteSize, TenantId, TimeRange};
use ouro_wire::batch::{Format, Header, StreamHeader};
use std::sync::Arc;

struct Memory(Bytes);

impl Payload for Memory {
    fn read(&self) -> std::io::Result<Bytes> {
        Ok(self.0.clone())
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines: Vec<&str> = text.split('\u{1}').collect();
    let mut builder = ouro_wire::loki::Builder::new();
    let labels = "{app=\"fuzz\"}";
    builder.stream(labels);
    // Often enough that shapes are learned, and so many that the group is not tiny.
    let copies = 8 + 20_000 / (text.len() + 1);
    for copy in 0..copies {
        for (n, line) in lines.iter().enumerate() {
            builder.entry((copy * 31 + n) as i64, line, []);
        }
    }
    let body = builder.finish();
    let rows = (copies * lines.len()) as u32;
    let times = TimeRange::new(0, i64::from(u32::MAX));
    let streams = vec![StreamHeader { key: ouro_wire::loki::key(labels), rows, times }];
    let (tenant, body_len) = (TenantId::anonymous(), body.len() as u32);
    let header = Header { id: BatchId(0), tenant, format: Format::LokiPush, rows, body_len, times, streams };
    let payload: Bytes = ouro_wire::snappy::compress(&body).into();
    let settings = Settings { row_group: ByteSize(1 << 20), page_rows: 64, verify: true, ..Settings::default() };
    let head = Head::new(settings);
    head.apply(1, &header, &payload, Arc::new(Memory(payload.clone()))).expect("a good batch");
    for part in head.cut(1).encode() {
        part.expect("comes back");
    }
});
