//! Opens arbitrary bytes as a part and reads everything: errors are fine, panics and floods of memory are not.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ouro_block::{MemorySections, Sections};
use ouro_logs::{Reader, Selection};
use std::sync::Arc;

/// Splits the input at the lengths that its first bytes give, and seals what should be sealed, so that checksums do not
/// end every run.
fn sections(data: &[u8]) -> Option<MemorySections> {
    let (lengths, mut rest) = data.split_at_checked(8)?;
    let mut take = |at: usize| -> Bytes {
        let len = usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]])).min(rest.len());
        let (taken, left) = rest.split_at(len);
        rest = left;
        let mut sealed = taken.to_vec();
        sealed.extend_from_slice(&crc32c::crc32c(taken).to_le_bytes());
        sealed.into()
    };
    let (index, times, filters, data) = (take(0), take(2), take(4), take(6));
    Some(MemorySections(vec![(1, index), (2, times), (3, data), (4, filters)]))
}

fuzz_target!(|data: &[u8]| {
    let Some(sections) = sections(data) else { return };
    let Ok(reader) = Reader::open(Arc::new(sections) as Arc<dyn Sections>) else { return };
    let _ = reader.verify();
    let needle = Selection { contains: vec!["4abf32a3-ba90-483a-a3a9-64828d31284f".to_owned()], ..Selection::all() };
    reader.pages(&needle).take(100).for_each(drop);
    reader.times(&Selection::all()).take(100).for_each(drop);
});
