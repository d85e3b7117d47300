//! Opens a segment by its end, and gives each tenant's sections.

use crate::directory::{Directory, SectionEntry};
use crate::error::Error;
use crate::part::{MemorySections, Sections, Source};
use crate::writer::{TAIL, TRAILER, VERSION};
use bytes::{Buf, Bytes};
use model::TenantId;
use std::{ops::Range, sync::Arc};

/// How much is read at the end at once: the trailer and, for most segments, the whole directory.
const FIRST_READ: u64 = 64 << 10;

/// An opened segment. Cheap to share; reads may block.
pub struct Segment {
    object: Arc<dyn Source>,
    directory: Directory,
}

impl Segment {
    /// Reads the directory. Blocks.
    pub fn open(object: impl Source + 'static) -> Result<Segment, Error> {
        let size = object.size()?;
        let start = size.saturating_sub(FIRST_READ);
        let end = object.read(start..size)?;
        let corrupt = |why| Error::Corrupt { name: object.name().to_owned(), why };
        let trailer = Trailer::decode(&end).map_err(corrupt)?;
        if trailer.version > VERSION {
            let name = object.name().to_owned();
            return Err(Error::Newer { name, version: trailer.version, newest: VERSION });
        }
        if trailer.version == 0 {
            return Err(corrupt("its version is zero"));
        }
        let stop = trailer.offset.checked_add(u64::from(trailer.len)).filter(|stop| *stop <= size);
        let stop = stop.ok_or_else(|| corrupt("the directory lies outside of it"))?;
        let bytes = match trailer.offset.checked_sub(start) {
            Some(at) => end.slice(at as usize..(stop - start) as usize),
            None => object.read(trailer.offset..stop)?,
        };
        if crc32c::crc32c(&bytes) != trailer.crc {
            return Err(corrupt("the checksum of its directory is wrong"));
        }
        let directory = Directory::decode(&bytes).ok_or_else(|| corrupt("its directory cannot be read"))?;
        Ok(Segment { object: Arc::new(object), directory })
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The sections of one tenant; `None` when the segment has no row of that tenant.
    pub fn part(&self, tenant: &TenantId) -> Option<Arc<dyn Sections>> {
        let entry = self.directory.part(tenant)?;
        Some(Arc::new(ObjectSections { object: self.object.clone(), sections: entry.sections.clone() }))
    }

    /// As `part`; sections that lie within `most` bytes are read at once, for whoever will need all of them. Blocks.
    pub fn load(&self, tenant: &TenantId, most: u64) -> Result<Option<Arc<dyn Sections>>, Error> {
        let Some(entry) = self.directory.part(tenant) else { return Ok(None) };
        let start = entry.sections.iter().map(|s| s.offset).min().unwrap_or(0);
        let end = entry.sections.iter().map(|s| s.offset + s.len).max().unwrap_or(0);
        if end - start > most {
            return Ok(self.part(tenant));
        }
        let data = self.object.read(start..end)?;
        let slice =
            |s: &SectionEntry| (s.kind, data.slice((s.offset - start) as usize..(s.offset - start + s.len) as usize));
        Ok(Some(Arc::new(MemorySections(entry.sections.iter().map(slice).collect()))))
    }
}

struct Trailer {
    offset: u64,
    len: u32,
    crc: u32,
    version: u16,
}

impl Trailer {
    fn decode(end: &Bytes) -> Result<Trailer, &'static str> {
        let at = end.len().checked_sub(TRAILER).ok_or("it is shorter than a trailer")?;
        let mut trailer = end.slice(at..);
        if !trailer.ends_with(TAIL) {
            return Err("it does not end like a segment");
        }
        let (offset, len) = (trailer.get_u64_le(), trailer.get_u32_le());
        Ok(Trailer { offset, len, crc: trailer.get_u32_le(), version: trailer.get_u16_le() })
    }
}

struct ObjectSections {
    object: Arc<dyn Source>,
    sections: Vec<SectionEntry>,
}

impl Sections for ObjectSections {
    fn read(&self, kind: u8, range: Range<u64>) -> Result<Bytes, Error> {
        let section = self.sections.iter().find(|s| s.kind == kind);
        let len = section.map_or(0, |s| s.len);
        match section {
            Some(section) if range.start <= range.end && range.end <= len => {
                Ok(self.object.read(section.offset + range.start..section.offset + range.end)?)
            }
            _ => Err(Error::Range { kind, start: range.start, end: range.end, len }),
        }
    }

    fn len(&self, kind: u8) -> Option<u64> {
        self.sections.iter().find(|s| s.kind == kind).map(|s| s.len)
    }

    fn stride(&self) -> u64 {
        self.object.stride()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{BlockMeta, Meta, SegmentMeta};
    use crate::part::Part;
    use model::{ShardId, Signal, TimeRange};
    use objects::{Settings, Store};

    fn part(tenant: &str, text: &str) -> Part {
        Part {
            tenant: TenantId::new(tenant).expect("a name"),
            rows: 3,
            raw_bytes: 9,
            times: TimeRange::new(-1, 5),
            sections: vec![(1, Bytes::copy_from_slice(text.as_bytes())), (7, Bytes::from_static(b"seven"))],
        }
    }

    fn meta() -> SegmentMeta {
        let shard = ShardId::new(Signal::Logs, 2);
        SegmentMeta { shard, level: 0, after: 4, through: 9, term: 3, created: 77 }
    }

    async fn stored(data: Bytes) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(&Settings::default(), dir.path()).expect("opens");
        store.put("s", data).await.expect("written");
        (dir, store)
    }

    #[tokio::test]
    async fn a_segment_gives_back_its_parts() {
        let many: Vec<Part> = (0..900).map(|n| part(&format!("tenant-{n:05}"), &n.to_string())).collect();
        let (data, directory) = crate::write(meta(), many); // a directory longer than the first read
        let (_dir, store) = stored(data).await;
        let segment = Segment::open(store.object("s")).expect("opens");
        assert_eq!(segment.directory(), &directory);
        let tenant = TenantId::new("tenant-00123").expect("a name");
        let sections = segment.part(&tenant).expect("there");
        assert_eq!(sections.read(1, 0..3).expect("read"), "123");
        assert_eq!(sections.read(7, 1..3).expect("read"), "ev");
        assert_eq!((sections.len(7), sections.len(8)), (Some(5), None));
        assert!(sections.read(7, 3..6).is_err());
        assert!(segment.part(&TenantId::anonymous()).is_none());
    }

    #[tokio::test]
    async fn a_block_says_where_it_comes_from() {
        let (signal, flushed) = (Signal::Metrics, vec![(0, 9), (3, u64::MAX)]);
        let meta = BlockMeta { signal, level: 2, epoch: 7, created: -5, order: 8, after: 4, shard: 3, flushed };
        let (data, directory) = crate::write_block(meta.clone(), part("a", "text"));
        let (_dir, store) = stored(data).await;
        let segment = Segment::open(store.object("s")).expect("opens");
        assert_eq!((segment.directory(), &segment.directory().meta), (&directory, &Meta::Block(meta)));
        let tenant = TenantId::new("a").expect("a name");
        for most in [0, 8, 9, 1000] {
            let sections = segment.load(&tenant, most).expect("read").expect("there");
            assert_eq!((sections.read(1, 1..3).expect("read"), sections.len(7)), ("ex".into(), Some(5)), "{most}");
        }
        assert!(segment.load(&TenantId::anonymous(), 10).expect("read").is_none());
    }

    #[tokio::test]
    async fn a_damaged_segment_is_refused() {
        let (data, _) = crate::write(meta(), vec![part("a", "text"), part("b", "more")]);
        refuse_damage(data).await;
        let flushed = vec![(1, 2)];
        let signal = Signal::Logs;
        let meta = BlockMeta { signal, level: 1, epoch: 1, created: 1, order: 1, after: 0, shard: 1, flushed };
        refuse_damage(crate::write_block(meta, part("a", "text")).0).await;
    }

    async fn refuse_damage(data: Bytes) {
        let directory_at = data.slice(data.len() - TRAILER..).get_u64_le() as usize;
        for at in directory_at..data.len() {
            let mut bytes = data.to_vec();
            bytes[at] ^= 1;
            let (_dir, store) = stored(bytes.into()).await;
            let zeros = data.len() - 14..data.len() - 8; // not used by this version
            assert_eq!(Segment::open(store.object("s")).is_ok(), zeros.contains(&at), "byte {at}");
        }
        for len in [0, 7, 31, 40, data.len() - 1] {
            let (_dir, store) = stored(data.slice(..len)).await;
            assert!(Segment::open(store.object("s")).is_err(), "cut at {len}");
        }
    }
}
