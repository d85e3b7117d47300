//! Encodes one row group: its times, the templates and columns of its lines and metadata, and its filter.

use crate::column::pool::Pool;
use crate::column::relation::{self, Candidate, Relation};
use crate::column::{Encoded, ints};
use crate::error::Error;
use crate::filter::{self, Keys};
use crate::frame::{self, Compressor};
use crate::index::Group;
use crate::rows::{Row, Rows};
use crate::shred::Shredder;
use crate::varint;
use std::collections::HashMap;
use std::ops::Range;

/// What is used again for every row group.
pub struct Workshop {
    lines: Shredder,
    metadata: Shredder,
    pool: Pool,
    keys: Keys,
    scratch: Vec<u8>,
}

/// The sections of a part as far as they are written.
#[derive(Default)]
pub struct Buffers {
    pub data: Vec<u8>,
    pub times: Vec<u8>,
    pub filters: Vec<u8>,
}

/// Below this size, describing columns costs more than they save.
const TINY: u64 = 12 << 10;
/// Below this size it is cheap, and worth it, to try both ways.
const SMALL: u64 = 256 << 10;

impl Workshop {
    pub fn new() -> Workshop {
        Workshop {
            lines: Shredder::new(),
            metadata: Shredder::new(),
            pool: Pool::default(),
            keys: Keys::default(),
            scratch: Vec::new(),
        }
    }

    /// Gives back the memory of the last row group. The templates stay.
    pub fn rest(&mut self) {
        self.lines.rest();
        self.metadata.rest();
        (self.pool, self.keys, self.scratch) = (Pool::default(), Keys::default(), Vec::new());
    }
}

impl Buffers {
    /// Of data, times and filters.
    pub fn lengths(&self) -> [u64; 3] {
        [&self.data, &self.times, &self.filters].map(|buffer| buffer.len() as u64)
    }

    /// Takes away what was appended since the lengths were taken.
    fn split_off(&mut self, [data, times, filters]: [u64; 3]) -> Buffers {
        Buffers {
            data: self.data.split_off(data as usize),
            times: self.times.split_off(times as usize),
            filters: self.filters.split_off(filters as usize),
        }
    }

    fn append(&mut self, mut tail: Buffers) {
        self.data.append(&mut tail.data);
        self.times.append(&mut tail.times);
        self.filters.append(&mut tail.filters);
    }
}

/// Lines or metadata, taken apart.
struct Channel {
    /// The template of each row.
    rows: ints::Encoded,
    columns: Vec<Encoded>,
}

/// Encodes the rows and appends them to the buffers. Small row groups are encoded with whole lines, too, and the smaller
/// result is kept.
pub fn encode(
    rows: &Rows,
    page_rows: u32,
    workshop: &mut Workshop,
    compressor: &mut Compressor,
    out: &mut Buffers,
) -> Result<Group, Error> {
    let raw_bytes = rows.raw_bytes();
    if raw_bytes < TINY {
        return encode_as(false, rows, page_rows, workshop, compressor, out);
    }
    let before = out.lengths();
    let apart = encode_as(true, rows, page_rows, workshop, compressor, out)?;
    if raw_bytes >= SMALL {
        return Ok(apart);
    }
    // Whole lines take at least what zstd makes of them.
    let size = |buffers: &Buffers| buffers.lengths().iter().sum::<u64>() - before.iter().sum::<u64>();
    workshop.scratch.clear();
    rows.rows.iter().for_each(|row| workshop.scratch.extend_from_slice(rows.line(row)));
    let mut packed = Vec::new();
    compressor.pack(&mut packed, &workshop.scratch)?;
    if packed.len() as u64 >= size(out) {
        return Ok(apart);
    }
    let shredded = out.split_off(before);
    let whole = encode_as(false, rows, page_rows, workshop, compressor, out)?;
    if size(out) < shredded.lengths().iter().sum() {
        return Ok(whole);
    }
    drop(out.split_off(before));
    out.append(shredded);
    Ok(apart)
}

/// Encodes the rows, with lines taken apart or whole.
fn encode_as(
    apart: bool,
    rows: &Rows,
    page_rows: u32,
    workshop: &mut Workshop,
    compressor: &mut Compressor,
    out: &mut Buffers,
) -> Result<Group, Error> {
    let ends = page_ends(rows.rows.len() as u32, page_rows);
    let raw_bytes = rows.raw_bytes();
    let Workshop { lines, metadata, pool, keys, scratch } = workshop;
    pool.clear();
    shred(lines, apart, &rows.text, rows.rows.iter().map(|row| (row.start, row.end)), page_rows, pool);
    let with_metadata = !rows.metadata.is_empty();
    if with_metadata {
        let spans = rows.rows.iter().map(|row: &Row| (row.meta_start, row.meta_end));
        shred(metadata, apart, &rows.metadata, spans, page_rows, pool);
    }
    let shredders: Vec<&Shredder> = [(true, &*lines), (with_metadata, &*metadata)]
        .into_iter()
        .filter_map(|(present, shredder)| present.then_some(shredder))
        .collect();
    let mut channels = Vec::new();
    for shredder in &shredders {
        let ids: Vec<i64> = shredder.rows().iter().map(|id| i64::from(*id)).collect();
        let relations = relate(shredder, &rows.rows);
        let columns = shredder.columns().iter().enumerate().map(|(at, column)| {
            let of = |part: u32| relations.get(&(at as u32 * 2 + part));
            column.encode([of(0), of(1)], compressor, scratch)
        });
        channels.push(Channel { rows: ints::encode(&ids, &ends)?, columns: columns.collect::<Result<_, _>>()? });
    }
    let times: Vec<i64> = rows.rows.iter().map(|row| row.time).collect();
    let times = ints::encode(&times, &ends)?;
    keys.clear();
    if raw_bytes >= TINY {
        pool.ids().iter().for_each(|id| keys.id(*id));
        lines.templates().for_each(|template| template.literals().for_each(|literal| keys.text(literal)));
        lines.columns().iter().for_each(|column| column.texts(|text| keys.text(text)));
    }
    let mut group = Group { rows: rows.rows.len() as u32, raw_bytes, runs: rows.runs.clone(), ..Group::default() };
    group.header = append(&mut out.data, |out| {
        let header = header(&shredders, &channels, &times, pool);
        compressor.pack(out, &header)?;
        frame::seal(out, 0);
        Ok(())
    })?;
    group.shared = append(&mut out.data, |out| {
        if !pool.ids().is_empty() {
            pool.pack(out);
            frame::seal(out, 0);
        }
        for dictionary in channels.iter().flat_map(|channel| &channel.columns).filter_map(|c| c.dictionary.as_ref()) {
            let start = out.len();
            out.extend_from_slice(dictionary);
            frame::seal(out, start);
        }
        Ok(())
    })?;
    for page in 0..ends.len() {
        group.pages.push(append(&mut out.data, |out| {
            write_page(page, &channels, out);
            Ok(())
        })?);
        group.times.push(append(&mut out.times, |out| {
            if let Some(bytes) = times.pages.get(page) {
                out.extend_from_slice(bytes);
                frame::seal(out, 0);
            }
            Ok(())
        })?);
    }
    group.filter = append(&mut out.filters, |out| {
        if let Some(filter) = filter::build(keys) {
            out.extend_from_slice(&filter);
            frame::seal(out, 0);
        }
        Ok(())
    })?;
    Ok(group)
}

fn page_ends(rows: u32, page_rows: u32) -> Vec<u32> {
    (1..=rows.div_ceil(page_rows)).map(|page| page.saturating_mul(page_rows).min(rows)).collect()
}

/// Runs `write` on an empty buffer and appends what it wrote.
fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> Result<Range<u64>, Error> {
    let start = out.len() as u64;
    let mut written = Vec::new();
    write(&mut written)?;
    out.extend_from_slice(&written);
    Ok(start..out.len() as u64)
}

fn shred(
    shredder: &mut Shredder,
    apart: bool,
    text: &[u8],
    spans: impl Iterator<Item = (u32, u32)>,
    page_rows: u32,
    pool: &mut Pool,
) {
    shredder.begin();
    let mut rows = 0u32;
    for (start, end) in spans {
        match apart {
            true => shredder.row(text, start, end, pool),
            false => shredder.whole(text, start, end, pool),
        }
        rows += 1;
        if rows.is_multiple_of(page_rows) {
            shredder.end_page(text, pool);
        }
    }
    if !rows.is_multiple_of(page_rows) {
        shredder.end_page(text, pool);
    }
}

/// Finds out which numbers follow from others in the same rows.
fn relate(shredder: &Shredder, rows: &[Row]) -> HashMap<u32, Relation> {
    // Columns with the same owners have a value in the same rows.
    let mut owners: Vec<Vec<u32>> = vec![Vec::new(); shredder.columns().len()];
    for (number, template) in shredder.templates().enumerate() {
        template.columns.iter().for_each(|column| owners[*column as usize].push(number as u32));
    }
    let mut alignments: Vec<&[u32]> = Vec::new();
    let mut candidates = Vec::new();
    for (at, column) in shredder.columns().iter().enumerate() {
        for (part, (values, unit)) in column.numbers().enumerate() {
            let same = alignments.iter().position(|known| *known == owners[at]);
            let alignment = same.unwrap_or(alignments.len());
            if same.is_none() {
                alignments.push(&owners[at]);
            }
            let number = (at * 2 + part) as u32;
            candidates.push(Candidate { number, values, alignment: alignment as u32, unit });
        }
    }
    let times = |alignment: u32| {
        let owners = alignments[alignment as usize];
        let mut uses = vec![0u32; shredder.templates().len()];
        owners.iter().for_each(|owner| uses[*owner as usize] += 1);
        let of_row = |(row, id): (&Row, &u32)| std::iter::repeat_n(row.time, uses[*id as usize] as usize);
        rows.iter().zip(shredder.rows()).flat_map(of_row).collect()
    };
    relation::find(&candidates, times).into_iter().collect()
}

fn header(shredders: &[&Shredder], channels: &[Channel], times: &ints::Encoded, pool: &Pool) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put_bytes(&mut out, &times.descriptor);
    varint::put(&mut out, pool.ids().len() as u64);
    let pool_len = if pool.ids().is_empty() { 0 } else { pool.packed_len() + frame::CHECKSUM };
    varint::put(&mut out, pool_len as u64);
    out.push(channels.len() as u8);
    for (shredder, channel) in shredders.iter().zip(channels) {
        varint::put(&mut out, channel.columns.len() as u64);
        for column in &channel.columns {
            varint::put_bytes(&mut out, &column.descriptor);
            varint::put(&mut out, column.dictionary.as_ref().map_or(0, |d| d.len() + frame::CHECKSUM) as u64);
        }
        varint::put_bytes(&mut out, &channel.rows.descriptor);
        let templates = shredder.templates();
        varint::put(&mut out, templates.len() as u64);
        for template in templates {
            varint::put(&mut out, template.columns.len() as u64);
            template.columns.iter().for_each(|column| varint::put(&mut out, (*column).into()));
            template.literals().for_each(|literal| varint::put_bytes(&mut out, literal));
        }
    }
    out
}

/// A directory of lengths, then a frame for each column that has bytes in this page.
fn write_page(page: usize, channels: &[Channel], out: &mut Vec<u8>) {
    let mut directory = Vec::new();
    let mut frames = Vec::new();
    for channel in channels {
        let pages = [&channel.rows.pages].into_iter().chain(channel.columns.iter().map(|column| &column.pages));
        for pages in pages {
            let bytes = pages.get(page).map_or(&[][..], |bytes| bytes);
            varint::put(&mut directory, bytes.len() as u64);
            if !bytes.is_empty() {
                let start = frames.len();
                frames.extend_from_slice(bytes);
                frame::seal(&mut frames, start);
            }
        }
    }
    varint::put_bytes(out, &directory);
    frame::seal(out, 0);
    out.extend_from_slice(&frames);
}
