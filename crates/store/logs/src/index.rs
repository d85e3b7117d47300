//! The index of one tenant's part: its streams, and where each row group is.

use crate::error::Error;
use crate::frame::{self, Compressor};
use crate::rows::Run;
use crate::varint::{self, Cursor};
use model::{LabelSets, Packed, TimeRange};
use std::ops::Range;
use std::sync::Arc;

/// Sections of a part.
pub const INDEX: u8 = 1;
pub const TIMES: u8 = 2;
pub const DATA: u8 = 3;
pub const FILTERS: u8 = 4;

/// The newest version of the format, and the only one so far.
pub const VERSION: u8 = 1;

#[derive(Debug, Default, PartialEq)]
pub struct Index {
    pub page_rows: u32,
    /// Sorted.
    pub streams: Arc<LabelSets>,
    pub groups: Vec<Group>,
}

/// Where a row group is. Ranges are those of the section that holds them.
#[derive(Debug, Default, PartialEq, Clone)]
pub struct Group {
    pub rows: u32,
    pub raw_bytes: u64,
    /// Streams in order; each at most once.
    pub runs: Vec<Run>,
    /// DATA: templates and columns.
    pub header: Range<u64>,
    /// DATA: the pool of ids, then dictionaries.
    pub shared: Range<u64>,
    /// DATA: columns, page by page.
    pub pages: Vec<Range<u64>>,
    /// TIMES: page by page.
    pub times: Vec<Range<u64>>,
    /// FILTERS: empty when there is none.
    pub filter: Range<u64>,
}

impl Group {
    pub fn times(&self) -> TimeRange {
        self.runs.iter().fold(TimeRange::EMPTY, |all, run| all.union(run.times))
    }

    /// The rows of a page.
    pub fn page(&self, page: usize, page_rows: u32) -> Range<u32> {
        let start = (page as u64 * u64::from(page_rows)).min(self.rows.into()) as u32;
        start..start.saturating_add(page_rows).min(self.rows)
    }
}

impl Index {
    /// About how many bytes it takes.
    pub fn held(&self) -> usize {
        let of = |group: &Group| {
            let ranges = group.pages.len() + group.times.len();
            size_of::<Group>() + size_of::<Run>() * group.runs.len() + size_of::<Range<u64>>() * ranges
        };
        self.streams.held() + self.groups.iter().map(of).sum::<usize>()
    }

    pub fn encode(&self, compressor: &mut Compressor) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        varint::put(&mut body, self.page_rows.into());
        varint::put(&mut body, self.streams.len() as u64);
        self.streams.iter().for_each(|labels| varint::put_bytes(&mut body, labels.text().as_bytes()));
        varint::put(&mut body, self.groups.len() as u64);
        for group in &self.groups {
            group.encode(&mut body);
        }
        let mut out = vec![VERSION];
        compressor.pack(&mut out, &body)?;
        frame::seal(&mut out, 0);
        Ok(out)
    }

    pub fn decode(data: &[u8]) -> Result<Index, Error> {
        let version = *data.first().ok_or(Error::Corrupt { why: "the index is empty" })?;
        if version > VERSION {
            return Err(Error::Newer { version, newest: VERSION });
        }
        let packed = frame::open(data)?.get(1..).ok_or(Error::Corrupt { why: "the index is empty" })?;
        let body = frame::unpack(packed)?;
        let mut cursor = Cursor(&body);
        let page_rows = u32::try_from(cursor.varint()?).ok().filter(|rows| *rows > 0);
        let page_rows = page_rows.ok_or(Error::Corrupt { why: "pages have no rows" })?;
        let mut index = Index { page_rows, ..Index::default() };
        let mut streams = LabelSets::default();
        for _ in 0..cursor.items()? {
            let labels = Packed::checked(cursor.bytes()?);
            let labels = labels.ok_or(Error::Corrupt { why: "a label set is not packed as it should be" })?;
            if !streams.push(labels) {
                return Err(Error::corrupt("there are more label sets than fit"));
            }
        }
        streams.shrink();
        index.streams = Arc::new(streams);
        let mut at = Places::default();
        for _ in 0..cursor.items()? {
            index.groups.push(Group::decode(&mut cursor, &mut at, page_rows, index.streams.len())?);
        }
        Ok(index)
    }
}

/// How far each section is used up by the groups so far.
#[derive(Default)]
struct Places {
    data: u64,
    times: u64,
    filters: u64,
}

fn take(at: &mut u64, cursor: &mut Cursor<'_>) -> Result<Range<u64>, Error> {
    let start = *at;
    *at = start.checked_add(cursor.varint()?).ok_or(Error::Corrupt { why: "a range is too long" })?;
    Ok(start..*at)
}

impl Group {
    fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.rows.into());
        varint::put(out, self.raw_bytes);
        let base = self.times().min;
        varint::put_signed(out, base);
        varint::put(out, self.runs.len() as u64);
        let mut last = 0;
        for run in &self.runs {
            varint::put(out, u64::from(run.stream - last));
            last = run.stream;
            varint::put(out, run.rows.into());
            varint::put(out, run.times.min.wrapping_sub(base) as u64);
            varint::put(out, run.times.max.wrapping_sub(run.times.min) as u64);
        }
        let lengths = [&self.header, &self.shared, &self.filter].into_iter().chain(&self.pages).chain(&self.times);
        lengths.for_each(|range| varint::put(out, range.end - range.start));
    }

    fn decode(cursor: &mut Cursor<'_>, at: &mut Places, page_rows: u32, streams: usize) -> Result<Group, Error> {
        let rows = u32::try_from(cursor.varint()?).map_err(|_| Error::Corrupt { why: "a row group is too large" })?;
        let mut group = Group { rows, raw_bytes: cursor.varint()?, ..Group::default() };
        let base = cursor.signed()?;
        let (mut last, mut counted) = (0u64, 0u64);
        for place in 0..cursor.items()? {
            let step = cursor.varint()?;
            last = last.saturating_add(step);
            if last >= streams as u64 || (place > 0 && step == 0) {
                return Err(Error::corrupt("a row group has a stream that the part does not have"));
            }
            let rows = cursor.varint()?;
            counted = counted.saturating_add(rows);
            let min = base.wrapping_add(cursor.varint()? as i64);
            let max = min.wrapping_add(cursor.varint()? as i64);
            let run = Run { stream: last as u32, rows: rows as u32, times: TimeRange::new(min, max) };
            group.runs.push(run);
        }
        if counted != u64::from(rows) {
            return Err(Error::corrupt("the streams of a row group have another number of rows than the group"));
        }
        group.header = take(&mut at.data, cursor)?;
        group.shared = take(&mut at.data, cursor)?;
        group.filter = take(&mut at.filters, cursor)?;
        let pages = rows.div_ceil(page_rows) as usize;
        if pages > cursor.0.len() {
            return Err(Error::corrupt("a row group has more pages than the index can hold"));
        }
        group.pages = (0..pages).map(|_| take(&mut at.data, cursor)).collect::<Result<_, _>>()?;
        group.times = (0..pages).map(|_| take(&mut at.times, cursor)).collect::<Result<_, _>>()?;
        Ok(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    fn index() -> Index {
        let group = |from: u64, min: i64| Group {
            rows: 25,
            raw_bytes: 999,
            runs: vec![
                Run { stream: 0, rows: 5, times: TimeRange::new(min, min + 7) },
                Run { stream: 2, rows: 20, times: TimeRange::new(min + 3, i64::MAX) },
            ],
            header: from..from + 10,
            shared: from + 10..from + 10,
            pages: (0..3).map(|n| from + 10 + n * 5..from + 15 + n * 5).collect(),
            times: (0..3).map(|n| from / 25 * 6 + n * 2..from / 25 * 6 + 2 + n * 2).collect(),
            filter: from / 25 * 8..from / 25 * 8 + 8,
        };
        let mut streams = LabelSets::default();
        assert!(["a", "b", "c"].iter().all(|name| streams.push((&Labels::from_pairs([("app", *name)])).into())));
        Index { page_rows: 10, streams: Arc::new(streams), groups: vec![group(0, -5), group(25, i64::MIN)] }
    }

    #[test]
    fn an_index_comes_back() {
        let mut compressor = Compressor::new().expect("a context");
        let encoded = index().encode(&mut compressor).expect("encodes");
        assert_eq!(Index::decode(&encoded).expect("decodes"), index());
        assert_eq!(index().groups[0].page(2, 10), 20..25);
        for len in 0..encoded.len() {
            assert!(Index::decode(&encoded[..len]).is_err());
        }
        for at in 0..encoded.len() {
            let mut bytes = encoded.clone();
            bytes[at] ^= 4;
            assert!(Index::decode(&bytes).is_err());
        }
        let mut only_sealed = Vec::new();
        frame::seal(&mut only_sealed, 0); // its checksum's first byte is taken for the version
        assert!(Index::decode(&only_sealed).is_err());
        let mut newer = encoded;
        newer[0] = VERSION + 1;
        let text = Index::decode(&newer).expect_err("is newer").to_string();
        assert_eq!(text, "the logs of this part have format version 2, this program reads up to 1: update it");
    }
}
