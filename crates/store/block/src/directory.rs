//! The directory at a segment's end: whose rows it has, of which log entries, and where.

use bytes::{Buf, BufMut};
use model::{ShardId, Signal, TenantId, TimeRange};

/// Where a segment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentMeta {
    pub shard: ShardId,
    /// 0: written by a flush.
    pub level: u8,
    /// The segment holds the log entries with `after < index <= through`.
    pub after: u64,
    pub through: u64,
    /// The term of the leader that wrote it.
    pub term: u64,
    /// Unix milliseconds.
    pub created: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Directory {
    pub meta: SegmentMeta,
    /// Sorted by tenant.
    pub parts: Vec<PartEntry>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PartEntry {
    pub tenant: TenantId,
    pub rows: u64,
    pub raw_bytes: u64,
    pub times: TimeRange,
    pub sections: Vec<SectionEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionEntry {
    pub kind: u8,
    pub offset: u64,
    pub len: u64,
}

impl Directory {
    pub fn part(&self, tenant: &TenantId) -> Option<&PartEntry> {
        let at = self.parts.binary_search_by(|part| part.tenant.cmp(tenant)).ok()?;
        self.parts.get(at)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 96 * self.parts.len());
        let meta = self.meta;
        out.put_u8(meta.shard.signal.code());
        out.put_u8(meta.level);
        out.put_u32_le(meta.shard.index);
        out.put_u64_le(meta.after);
        out.put_u64_le(meta.through);
        out.put_u64_le(meta.term);
        out.put_i64_le(meta.created);
        out.put_u32_le(self.parts.len() as u32);
        for part in &self.parts {
            let tenant = part.tenant.as_str().as_bytes();
            out.put_u8(tenant.len() as u8); // at most 150
            out.put_slice(tenant);
            out.put_u64_le(part.rows);
            out.put_u64_le(part.raw_bytes);
            out.put_i64_le(part.times.min);
            out.put_i64_le(part.times.max);
            out.put_u8(part.sections.len() as u8);
            for section in &part.sections {
                out.put_u8(section.kind);
                out.put_u64_le(section.offset);
                out.put_u64_le(section.len);
            }
        }
        out
    }

    /// Reads a directory; `None` when the bytes are not one.
    pub(crate) fn decode(mut data: &[u8]) -> Option<Directory> {
        let data = &mut data;
        let signal = Signal::from_code(data.try_get_u8().ok()?)?;
        let level = data.try_get_u8().ok()?;
        let shard = ShardId::new(signal, data.try_get_u32_le().ok()?);
        let (after, through) = (data.try_get_u64_le().ok()?, data.try_get_u64_le().ok()?);
        let (term, created) = (data.try_get_u64_le().ok()?, data.try_get_i64_le().ok()?);
        let meta = SegmentMeta { shard, level, after, through, term, created };
        let count = data.try_get_u32_le().ok()? as usize;
        let mut parts = Vec::with_capacity(count.min(data.len()));
        for _ in 0..count {
            parts.push(PartEntry::decode(data)?);
        }
        (data.is_empty()).then_some(Directory { meta, parts })
    }
}

impl PartEntry {
    fn decode(data: &mut &[u8]) -> Option<PartEntry> {
        let len = usize::from(data.try_get_u8().ok()?);
        let tenant = TenantId::new(std::str::from_utf8(data.get(..len)?).ok()?).ok()?;
        data.advance(len);
        let (rows, raw_bytes) = (data.try_get_u64_le().ok()?, data.try_get_u64_le().ok()?);
        let times = TimeRange::new(data.try_get_i64_le().ok()?, data.try_get_i64_le().ok()?);
        let mut sections = Vec::new();
        for _ in 0..data.try_get_u8().ok()? {
            let kind = data.try_get_u8().ok()?;
            let (offset, len) = (data.try_get_u64_le().ok()?, data.try_get_u64_le().ok()?);
            offset.checked_add(len)?;
            sections.push(SectionEntry { kind, offset, len });
        }
        Some(PartEntry { tenant, rows, raw_bytes, times, sections })
    }
}
