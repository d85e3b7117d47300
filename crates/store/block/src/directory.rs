//! The directory at an object's end: whose rows it has, where they come from, and where they are.

use bytes::{Buf, BufMut};
use model::{ShardId, Signal, TenantId, TimeRange};

/// Where the rows of an object come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meta {
    /// From the log of a shard, by a flush.
    Segment(SegmentMeta),
    /// From segments or other blocks, by the compactor.
    Block(BlockMeta),
}

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

/// Where a block comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMeta {
    pub signal: Signal,
    /// One more than the highest of what went in; at least 1.
    pub level: u8,
    /// The lease under which it was written.
    pub epoch: u64,
    /// Unix milliseconds: when the newest of the segments that went in was written.
    pub created: i64,
    /// The place of that segment among all rows of the signal: the catalog's version that took it, then the index in
    /// its shard's log after which it begins, and the shard.
    pub order: u64,
    pub after: u64,
    pub shard: u32,
    /// The shards whose segments went in, ascending, and the last log index of each.
    pub flushed: Vec<(u32, u64)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Directory {
    pub meta: Meta,
    /// Sorted by tenant. A block has one.
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
        match &self.meta {
            Meta::Segment(meta) => meta.encode(&mut out),
            Meta::Block(meta) => meta.encode(&mut out),
        }
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
        let meta = match data.try_get_u8().ok()? {
            0 => Meta::Segment(SegmentMeta::decode(signal, data)?),
            level => Meta::Block(BlockMeta::decode(signal, level, data)?),
        };
        let count = data.try_get_u32_le().ok()? as usize;
        let mut parts = Vec::with_capacity(count.min(data.len()));
        for _ in 0..count {
            parts.push(PartEntry::decode(data)?);
        }
        (data.is_empty()).then_some(Directory { meta, parts })
    }
}

impl SegmentMeta {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.shard.signal.code());
        out.put_u8(self.level);
        out.put_u32_le(self.shard.index);
        out.put_u64_le(self.after);
        out.put_u64_le(self.through);
        out.put_u64_le(self.term);
        out.put_i64_le(self.created);
    }

    fn decode(signal: Signal, data: &mut &[u8]) -> Option<SegmentMeta> {
        let shard = ShardId::new(signal, data.try_get_u32_le().ok()?);
        let (after, through) = (data.try_get_u64_le().ok()?, data.try_get_u64_le().ok()?);
        let (term, created) = (data.try_get_u64_le().ok()?, data.try_get_i64_le().ok()?);
        Some(SegmentMeta { shard, level: 0, after, through, term, created })
    }
}

impl BlockMeta {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.signal.code());
        out.put_u8(self.level);
        out.put_u64_le(self.epoch);
        out.put_i64_le(self.created);
        out.put_u64_le(self.order);
        out.put_u64_le(self.after);
        out.put_u32_le(self.shard);
        out.put_u32_le(self.flushed.len() as u32);
        for (shard, through) in &self.flushed {
            out.put_u32_le(*shard);
            out.put_u64_le(*through);
        }
    }

    fn decode(signal: Signal, level: u8, data: &mut &[u8]) -> Option<BlockMeta> {
        let (epoch, created) = (data.try_get_u64_le().ok()?, data.try_get_i64_le().ok()?);
        let (order, after) = (data.try_get_u64_le().ok()?, data.try_get_u64_le().ok()?);
        let shard = data.try_get_u32_le().ok()?;
        let shards = data.try_get_u32_le().ok()?;
        let flushed = (0..shards).map(|_| Some((data.try_get_u32_le().ok()?, data.try_get_u64_le().ok()?)));
        let flushed = flushed.collect::<Option<Vec<_>>>()?;
        Some(BlockMeta { signal, level, epoch, created, order, after, shard, flushed })
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
