//! An opened row group: its templates and columns, and pages of them.

use super::Inner;
use super::column::ColumnReader;
use super::lines::{Channel, Lines};
use crate::column::{ints, pool::PackedPool};
use crate::error::Error;
use crate::frame;
use crate::index::{DATA, Group, TIMES};
use crate::varint::Cursor;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

pub struct GroupReader {
    meta: Group,
    page_rows: u32,
    times: ints::Decoder,
    pool: Arc<PackedPool>,
    channels: Vec<ChannelReader>,
    /// The last id that was looked for.
    found: Option<(u128, Option<i64>)>,
}

/// Lines, or structured metadata.
pub struct ChannelReader {
    pub rows: ints::Decoder,
    pub templates: Vec<Template>,
    pub columns: Vec<ColumnReader>,
}

pub struct Template {
    /// Text before each slot, and its column.
    pub slots: Vec<(Range<u32>, u32)>,
    pub end: Range<u32>,
    pub text: Vec<u8>,
}

impl GroupReader {
    pub fn open(inner: &Inner, meta: &Group) -> Result<GroupReader, Error> {
        let frame = inner.read(DATA, meta.header.clone())?;
        let header = frame::unpack(frame::open(&frame)?)?;
        let mut cursor = Cursor(&header);
        let times = ints::Decoder::new(cursor.bytes()?)?;
        let mut shared = inner.read(DATA, meta.shared.clone())?;
        let mut take = |len: usize| -> Result<Bytes, Error> {
            if len == 0 {
                return Ok(Bytes::new());
            }
            if len > shared.len() {
                return Err(Error::corrupt("a dictionary is longer than what is there"));
            }
            let frame = shared.split_to(len);
            let len = frame::open(&frame)?.len();
            Ok(frame.slice(..len))
        };
        let ids = cursor.count(usize::MAX)?;
        let pool = take(cursor.count(usize::MAX)?)?;
        let pool = Arc::new(if pool.is_empty() { PackedPool::default() } else { PackedPool::new(pool, ids)? });
        let mut channels = Vec::new();
        for _ in 0..cursor.byte()? {
            let mut columns = Vec::new();
            for _ in 0..cursor.items()? {
                let descriptor = cursor.bytes()?;
                let dictionary = take(cursor.count(usize::MAX)?)?;
                columns.push(ColumnReader::new(descriptor, dictionary, &pool)?);
            }
            let rows = ints::Decoder::new(cursor.bytes()?)?;
            let templates = (0..cursor.items()?).map(|_| Template::read(&mut cursor, columns.len()));
            let templates = templates.collect::<Result<_, _>>()?;
            channels.push(ChannelReader { rows, templates, columns });
        }
        if channels.is_empty() {
            return Err(Error::corrupt("a row group has no lines"));
        }
        Ok(GroupReader { meta: meta.clone(), page_rows: inner.index.page_rows, times, pool, channels, found: None })
    }

    /// Whether any row has structured metadata.
    pub fn has_metadata(&self) -> bool {
        self.channels.len() > 1
    }

    fn count(&self, page: usize) -> usize {
        let rows = self.meta.page(page, self.page_rows);
        (rows.end - rows.start) as usize
    }

    /// The times of a page's rows.
    pub fn times(&mut self, inner: &Inner, page: usize) -> Result<Arc<Vec<i64>>, Error> {
        let count = self.count(page);
        let mut times = Vec::new();
        let frame = inner.read(TIMES, self.meta.times[page].clone())?;
        let bytes = if self.times.has_pages() { frame::open(&frame)? } else { &[] };
        self.times.page(bytes, count, &mut times)?;
        Ok(Arc::new(times))
    }

    /// The place of an id in the pool.
    pub fn find(&mut self, id: u128) -> Option<i64> {
        match self.found {
            Some((known, place)) if known == id => place,
            _ => {
                let place = self.pool.find(id);
                self.found = Some((id, place));
                place
            }
        }
    }

    /// The lines of a page.
    pub fn lines(&mut self, inner: &Inner, page: usize, times: &Arc<Vec<i64>>) -> Result<Lines<'_>, Error> {
        let region = inner.read(DATA, self.meta.pages[page].clone())?;
        let mut cursor = Cursor(&region);
        let directory = cursor.bytes()?;
        let head = region.len() - cursor.0.len();
        frame::open(region.get(..head + frame::CHECKSUM).ok_or(Error::Corrupt { why: "a page has no directory" })?)?;
        let mut frames = region.slice(head + frame::CHECKSUM..);
        let mut directory = Cursor(directory);
        let mut take = || -> Result<Bytes, Error> {
            let len = directory.count(frames.len())?;
            if len == 0 {
                return Ok(Bytes::new());
            }
            if len + frame::CHECKSUM > frames.len() {
                return Err(Error::corrupt("a page ends too early"));
            }
            Ok(frames.split_to(len + frame::CHECKSUM))
        };
        let mut channels = Vec::with_capacity(self.channels.len());
        for channel in &mut self.channels {
            let rows = take()?;
            let columns = channel.columns.iter().map(|_| take()).collect::<Result<Vec<_>, _>>()?;
            channels.push(Channel::open(channel, times, &rows, columns)?);
        }
        Lines::new(channels)
    }
}

impl Template {
    fn read(cursor: &mut Cursor<'_>, columns: usize) -> Result<Template, Error> {
        let count = cursor.items()?;
        let columns = (0..count).map(|_| match cursor.varint()? {
            column if column < columns as u64 => Ok(column as u32),
            _ => Err(Error::corrupt("a template has a column that its row group does not have")),
        });
        let columns = columns.collect::<Result<Vec<u32>, Error>>()?;
        let mut text = Vec::new();
        let mut slots = Vec::with_capacity(count);
        let mut literal = || -> Result<Range<u32>, Error> {
            let start = text.len() as u32;
            text.extend_from_slice(cursor.bytes()?);
            Ok(start..text.len() as u32)
        };
        for column in columns {
            slots.push((literal()?, column));
        }
        let end = literal()?;
        Ok(Template { slots, end, text })
    }
}

impl GroupReader {
    /// Bytes by column, named by how it is kept and the text before its slot.
    pub fn sizes(&mut self, inner: &Inner) -> Result<Vec<(String, u64)>, Error> {
        let mut sizes = vec![
            ("header".to_owned(), self.meta.header.end - self.meta.header.start),
            ("filter".to_owned(), self.meta.filter.end - self.meta.filter.start),
            ("times".to_owned(), self.meta.times.iter().map(|range| range.end - range.start).sum()),
        ];
        let mut names: Vec<Vec<String>> = Vec::new();
        for channel in &self.channels {
            let mut of_columns = vec![String::new(); channel.columns.len()];
            for template in &channel.templates {
                for (literal, column) in &template.slots {
                    let text = &template.text[literal.start as usize..literal.end as usize];
                    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(32)..]).into_owned();
                    let kind = channel.columns[*column as usize].describe();
                    of_columns[*column as usize] = format!("{kind} {text}");
                }
            }
            names.push(of_columns);
        }
        let mut pool = self.meta.shared.end - self.meta.shared.start;
        for (channel, names) in self.channels.iter().zip(&names) {
            for (column, name) in channel.columns.iter().zip(names) {
                pool = pool.saturating_sub(column.dictionary_len());
                sizes.push((format!("dictionary of {name}"), column.dictionary_len()));
            }
        }
        sizes.push(("ids".to_owned(), pool));
        for page in &self.meta.pages {
            let region = inner.read(DATA, page.clone())?;
            let mut cursor = Cursor(&region);
            let mut directory = Cursor(cursor.bytes()?);
            let head = region.len() - cursor.0.len() + frame::CHECKSUM;
            sizes.push(("directories of pages".to_owned(), head as u64));
            let mut len = || directory.varint().map(|len| if len == 0 { 0 } else { len + frame::CHECKSUM as u64 });
            for names in &names {
                sizes.push(("templates of rows".to_owned(), len()?));
                for name in names {
                    sizes.push((name.clone(), len()?));
                }
            }
        }
        Ok(sizes)
    }
}
