//! Opens arbitrary bytes as a part and reads everything in it. Built for fuzzing, the reader skips its checksums.
#![no_main]

use block::MemorySections;
use libfuzzer_sys::fuzz_target;
use model::{Matcher, TimeRange};
use ouro_metrics::Reader;
use std::sync::Arc;

// Five sections, each a little-endian u16 length and its bytes; the last one takes the rest.
fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let mut sections = Vec::new();
    for kind in 1..=5u8 {
        let Some((len, tail)) = rest.split_first_chunk::<2>() else { break };
        let (own, tail) = tail.split_at(tail.len().min(usize::from(u16::from_le_bytes(*len))));
        sections.push((kind, own.to_vec().into()));
        rest = tail;
    }
    let Ok(reader) = Reader::open(Arc::new(MemorySections(sections))) else { return };
    let _ = reader.verify();
    let _ = reader.metadata();
    let _ = reader.exemplars(&[], TimeRange::ALL);
    let _ = reader.series(&[], TimeRange::ALL);
    if let Ok(all) = reader.select(&[Matcher::equal("job", "a")], TimeRange::new(0, 1 << 40)) {
        all.for_each(drop);
    }
});
