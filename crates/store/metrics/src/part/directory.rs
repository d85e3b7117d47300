//! The first thing that is read of a part: what it has, and where.

use super::VERSION;
use super::columns::{ColumnEntry, FrameEntry};
use super::frame::{self, Frames};
use super::page::PageEntry;
use super::times::TimesPage;
use crate::bytes_io::{Cursor, put_bytes, put_signed, put_varint};
use crate::error::{Error, corrupt};
use model::TimeRange;

/// Bytes before the body: version and checksum.
const HEAD: usize = 5;
/// No part has more series than this.
const MAX_SERIES: u32 = 1 << 26;

#[derive(Debug, Clone, PartialEq)]
pub struct Directory {
    pub series: u32,
    pub rows: u64,
    pub columns: Vec<ColumnEntry>,
    pub frames: Vec<FrameEntry>,
    pub times: Vec<TimesPage>,
    pub pages: Vec<PageEntry>,
}

impl Directory {
    pub fn encode(&self, frames: &mut Frames) -> Result<Vec<u8>, Error> {
        let mut body = Vec::with_capacity(64 + self.pages.len() * 16);
        put_varint(&mut body, u64::from(self.series));
        put_varint(&mut body, self.rows);
        put_varint(&mut body, self.columns.len() as u64);
        for column in &self.columns {
            put_bytes(&mut body, column.name.as_bytes());
            put_varint(&mut body, u64::from(column.frame));
            put_varint(&mut body, u64::from(column.offset));
        }
        put_varint(&mut body, self.frames.len() as u64);
        for frame in &self.frames {
            put_varint(&mut body, frame.len);
            body.extend_from_slice(&frame.crc.to_le_bytes());
        }
        put_varint(&mut body, self.times.len() as u64);
        for page in &self.times {
            put_varint(&mut body, u64::from(page.vectors));
            put_varint(&mut body, page.len);
            body.extend_from_slice(&page.crc.to_le_bytes());
        }
        put_varint(&mut body, self.pages.len() as u64);
        let mut last = 0i64;
        for page in &self.pages {
            put_varint(&mut body, u64::from(page.series));
            put_signed(&mut body, page.times.min.wrapping_sub(last));
            put_signed(&mut body, page.times.max.wrapping_sub(page.times.min));
            last = page.times.min;
            put_varint(&mut body, page.len);
            body.extend_from_slice(&page.crc.to_le_bytes());
        }
        let mut packed = Vec::new();
        frames.put(&body, &mut packed)?;
        let mut out = Vec::with_capacity(packed.len() + HEAD);
        out.push(VERSION);
        out.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
        out.extend_from_slice(&packed);
        Ok(out)
    }

    pub fn decode(data: &[u8]) -> Result<Directory, Error> {
        let mut cursor = Cursor::new(data);
        let version = cursor.u8()?;
        if version > VERSION {
            return Err(Error::Newer { version, newest: VERSION });
        }
        if version == 0 {
            return corrupt("it has version 0");
        }
        let crc = cursor.u32_le()?;
        let packed = cursor.take(cursor.len())?;
        frame::check(packed, crc)?;
        let body = frame::open(packed)?;
        let mut body = Cursor::new(&body);
        let (series, rows) = (body.u32()?, body.varint()?);
        if series > MAX_SERIES {
            return corrupt("it says that it has more series than any part");
        }
        let mut columns = Vec::new();
        for _ in 0..body.count(3)? {
            columns.push(ColumnEntry { name: body.text()?.into(), frame: body.u32()?, offset: body.u32()? });
        }
        if columns.windows(2).any(|pair| pair[0].name >= pair[1].name) {
            return corrupt("label names are not in order");
        }
        let mut frames = Vec::new();
        for _ in 0..body.count(5)? {
            frames.push(FrameEntry { len: body.varint()?, crc: body.u32_le()? });
        }
        let mut times = Vec::new();
        for _ in 0..body.count(6)? {
            times.push(TimesPage { vectors: body.u32()?, len: body.varint()?, crc: body.u32_le()? });
        }
        let mut pages = Vec::new();
        let (mut last, mut all) = (0i64, 0u64);
        for _ in 0..body.count(8)? {
            let count = body.u32()?;
            let min = last.wrapping_add(body.signed()?);
            let max = min.wrapping_add(body.signed()?);
            last = min;
            all += u64::from(count);
            pages.push(PageEntry {
                series: count,
                times: TimeRange::new(min, max),
                len: body.varint()?,
                crc: body.u32_le()?,
            });
        }
        if all != u64::from(series) {
            return corrupt("its pages do not have the series that it says");
        }
        Ok(Directory { series, rows, columns, frames, times, pages })
    }
}
