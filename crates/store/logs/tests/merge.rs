//! What a merge promises: its parts read as the inputs do together, in order, and within their sizes.

use block::{MemorySections, Part};
use bytes::Bytes;
use model::{BatchId, ByteSize, TenantId, TimeRange};
use ouro_logs::{Head, Merge, Payload, Reader, Selection, Settings};
use proptest::prelude::*;
use std::sync::Arc;
use wire::batch::{Format, Header, StreamHeader};

/// App, time, text, and a value of structured metadata, if there is one.
type Line = (String, i64, String, String);

struct Memory(Bytes);

impl Payload for Memory {
    fn read(&self) -> std::io::Result<Bytes> {
        Ok(self.0.clone())
    }
}

fn batch(lines: &[Line]) -> (Header, Bytes) {
    let mut builder = wire::loki::Builder::new();
    let (mut all, mut streams) = (TimeRange::EMPTY, Vec::new());
    for run in lines.chunk_by(|a, b| a.0 == b.0) {
        let labels = format!("{{app={:?}}}", run[0].0);
        builder.stream(&labels);
        let mut times = TimeRange::EMPTY;
        for (_, time, text, metadata) in run {
            builder.entry(*time, text, (!metadata.is_empty()).then_some(("trace", metadata.as_str())));
            times.include(*time);
        }
        all = all.union(times);
        streams.push(StreamHeader { key: wire::loki::key(&labels), rows: run.len() as u32, times });
    }
    let body = builder.finish();
    let header = Header {
        id: BatchId(1),
        tenant: TenantId::anonymous(),
        format: Format::LokiPush,
        rows: lines.len() as u32,
        body_len: body.len() as u32,
        times: all,
        streams,
    };
    (header, wire::snappy::compress(&body).into())
}

fn settings() -> Settings {
    Settings { row_group: ByteSize(3000), page_rows: 7, verify: true, ..Settings::default() }
}

/// What a flush makes of these batches.
fn flushed(batches: &[Vec<Line>]) -> Option<Reader> {
    let head = Head::new(settings());
    for (index, lines) in batches.iter().enumerate() {
        let (header, payload) = batch(lines);
        head.apply(index as u64 + 1, &header, &payload, Arc::new(Memory(payload.clone()))).expect("applies");
    }
    let part = head.cut(batches.len() as u64).encode().next()?.expect("encodes");
    Some(open(part))
}

fn open(part: Part) -> Reader {
    let reader = Reader::open(Arc::new(MemorySections(part.sections))).expect("opens");
    reader.verify().expect("is whole");
    assert_eq!(reader.rows(), part.rows);
    reader
}

fn lines(reader: &Reader) -> Vec<Line> {
    let mut lines = Vec::new();
    for page in reader.pages(&Selection::all()) {
        let page = page.expect("decodes");
        for row in 0..page.len() {
            let metadata = page.metadata(row).map_or("", |metadata| metadata.value("trace")).to_owned();
            lines.push((page.labels.value("app").to_owned(), page.times[row], page.line(row).to_owned(), metadata));
        }
    }
    lines
}

fn merged(inputs: &[Reader], range: TimeRange, part_bytes: u64) -> Vec<Part> {
    let merge = Merge::new(TenantId::anonymous(), inputs, range, part_bytes, &settings()).expect("begins");
    merge.collect::<Result<_, _>>().expect("merges")
}

/// By stream and time, all ties in the order in which they were sent.
fn check(inputs: &[Vec<Vec<Line>>], range: TimeRange, part_bytes: u64) {
    let readers: Vec<Reader> = inputs.iter().filter_map(|batches| flushed(batches)).collect();
    let mut want: Vec<Line> = inputs.iter().flatten().flatten().filter(|l| range.contains(l.1)).cloned().collect();
    want.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let parts = merged(&readers, range, part_bytes);
    for part in &parts {
        assert!(part.rows > 0 && part.raw_bytes < part_bytes.saturating_add(3200), "{} bytes", part.raw_bytes);
    }
    let again: Vec<Reader> = parts.into_iter().map(open).collect();
    let got: Vec<Line> = again.iter().flat_map(lines).collect();
    assert_eq!(got, want);
    // Merged once more, nothing changes.
    let twice: Vec<Line> = merged(&again, range, u64::MAX).into_iter().flat_map(|part| lines(&open(part))).collect();
    assert_eq!(twice, want);
}

fn any_line() -> impl Strategy<Value = Line> {
    let text = prop_oneof![
        (0u32..50).prop_map(|n| format!("{{\"status\":{n},\"path\":\"/a/{}\",\"ms\":{}.5}}", n % 7, n * 3)),
        "[a-z ]{0,30}",
        (0u64..9).prop_map(|n| format!("user {n} has {:08x}-aaaa-4bbb-8ccc-{:012x}", n * 77, n * 12345)),
    ];
    ("[a-e]", 0i64..300, text, prop_oneof![3 => Just(String::new()), 1 => "[a-f0-9]{1,8}"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_merge_reads_as_its_inputs_together(
        inputs in prop::collection::vec(prop::collection::vec(prop::collection::vec(any_line(), 1..60), 1..4), 0..6),
        since in prop_oneof![Just(i64::MIN), 0i64..400],
        part_bytes in prop_oneof![Just(u64::MAX), 1u64..10_000],
    ) {
        check(&inputs, TimeRange::new(since, i64::MAX), part_bytes);
    }
}

#[test]
fn nothing_is_merged_to_nothing() {
    assert!(merged(&[], TimeRange::ALL, 1).is_empty());
    let old = flushed(&[vec![("a".into(), 5, "old".into(), String::new())]]).expect("a part");
    assert!(merged(std::slice::from_ref(&old), TimeRange::new(6, i64::MAX), 1).is_empty());
}

/// A damaged input ends a merge with an error.
#[test]
fn damage_is_an_error() {
    let line = |n: i64| ("a".to_owned(), n, format!("line {n} {}", n * 7919), String::new());
    let input: Vec<Line> = (0..200).map(line).collect();
    let head = Head::new(settings());
    let (header, payload) = batch(&input);
    head.apply(1, &header, &payload, Arc::new(Memory(payload.clone()))).expect("applies");
    let mut part = head.cut(1).encode().next().expect("a part").expect("encodes");
    for (_, data) in part.sections.iter_mut().filter(|(kind, _)| *kind == 3) {
        let mut bytes = data.to_vec();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        *data = bytes.into();
    }
    let reader = Reader::open(Arc::new(MemorySections(part.sections))).expect("opens");
    let merge = Merge::new(TenantId::anonymous(), &[reader], TimeRange::ALL, u64::MAX, &settings()).expect("begins");
    let all: Vec<_> = merge.collect();
    assert!(all.len() == 1 && all[0].is_err());
}
