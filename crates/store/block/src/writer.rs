//! Puts the parts of a segment, or the one of a block, together.

use crate::directory::{BlockMeta, Directory, Meta, PartEntry, SectionEntry, SegmentMeta};
use crate::part::Part;
use bytes::{BufMut, Bytes, BytesMut};

pub(crate) const HEAD: &[u8; 8] = b"OUROSEG1";
pub(crate) const TAIL: &[u8; 8] = b"OUROEND1";
/// The newest version: that of blocks. Segments are of version 1.
pub(crate) const VERSION: u16 = 2;
const SEGMENT_VERSION: u16 = 1;
pub(crate) const TRAILER: usize = 32;

/// Writes a segment of the given parts, of which no two may have one tenant. Returns its bytes and its directory.
pub fn write(meta: SegmentMeta, mut parts: Vec<Part>) -> (Bytes, Directory) {
    parts.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    assemble(Meta::Segment(meta), parts)
}

/// Writes a block. Returns its bytes and its directory.
pub fn write_block(meta: BlockMeta, part: Part) -> (Bytes, Directory) {
    assemble(Meta::Block(meta), vec![part])
}

fn assemble(meta: Meta, parts: Vec<Part>) -> (Bytes, Directory) {
    let version = if matches!(meta, Meta::Segment(_)) { SEGMENT_VERSION } else { VERSION };
    let size: usize = parts.iter().flat_map(|p| &p.sections).map(|(_, data)| data.len()).sum();
    let mut out = BytesMut::with_capacity(size + 4096 + 128 * parts.len());
    out.put_slice(HEAD);
    let mut entries = Vec::with_capacity(parts.len());
    for part in parts {
        let mut sections = Vec::with_capacity(part.sections.len());
        for (kind, data) in part.sections {
            sections.push(SectionEntry { kind, offset: out.len() as u64, len: data.len() as u64 });
            out.put_slice(&data);
        }
        let Part { tenant, rows, raw_bytes, times, .. } = part;
        entries.push(PartEntry { tenant, rows, raw_bytes, times, sections });
    }
    let directory = Directory { meta, parts: entries };
    let encoded = directory.encode();
    let offset = out.len() as u64;
    out.put_slice(&encoded);
    out.put_u64_le(offset);
    out.put_u32_le(encoded.len() as u32);
    out.put_u32_le(crc32c::crc32c(&encoded));
    out.put_u16_le(version);
    out.put_bytes(0, 6);
    out.put_slice(TAIL);
    (out.freeze(), directory)
}
