//! Labels at rest: for each name its values, sorted, and a column that says which one each series has.

use super::frame::{self, Frames};
use crate::bytes_io::{Cursor, put_varint};
use crate::error::{Error, corrupt};
use hashbrown::HashMap;
use model::Labels;
use std::cmp::Ordering;
use std::sync::Arc;

/// Columns are put into one frame until it has so many bytes.
const FRAME: usize = 32 << 10;
/// A column that fewer series than one in this many have is kept as a list.
const SPARSE: usize = 8;

const ALL_FIRST: u8 = 0;
const PLANES: u8 = 1;
const LIST: u8 = 2;

/// Gathers the labels of series in their order.
#[derive(Default)]
pub struct ColumnsWriter {
    names: HashMap<Box<str>, usize>,
    columns: Vec<Gathered>,
    series: u32,
}

#[derive(Default)]
struct Gathered {
    values: HashMap<Box<str>, u32>,
    /// The last series' value and its number.
    last: (Box<str>, u32),
    /// Series and value number.
    entries: Vec<(u32, u32)>,
}

/// What a directory says of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnEntry {
    pub name: Box<str>,
    pub frame: u32,
    /// Where it begins in the frame.
    pub offset: u32,
}

/// Where a frame of columns is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameEntry {
    pub len: u64,
    pub crc: u32,
}

/// All columns as they are written, in order of their names.
pub struct Columns {
    pub entries: Vec<ColumnEntry>,
    pub frames: Vec<FrameEntry>,
    pub bytes: Vec<u8>,
}

impl ColumnsWriter {
    pub fn push(&mut self, labels: &Labels) {
        for (name, value) in labels {
            let at = match self.names.get(name) {
                Some(&at) => at,
                None => {
                    self.names.insert(name.into(), self.columns.len());
                    self.columns.push(Gathered::default());
                    self.columns.len() - 1
                }
            };
            let number = self.columns[at].number(value);
            self.columns[at].entries.push((self.series, number));
        }
        self.series += 1;
    }

    pub fn finish(self, frames: &mut Frames) -> Result<Columns, Error> {
        let mut names: Vec<(Box<str>, usize)> = self.names.into_iter().collect();
        names.sort_unstable();
        let (mut entries, mut places, mut out, mut raw) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut columns: Vec<Option<Gathered>> = self.columns.into_iter().map(Some).collect();
        for (name, at) in names {
            let Some(column) = columns[at].take() else { continue };
            entries.push(ColumnEntry { name, frame: places.len() as u32, offset: raw.len() as u32 });
            column.put(self.series, &mut raw);
            if raw.len() >= FRAME {
                put_frame(&raw, frames, &mut out, &mut places)?;
                raw.clear();
            }
        }
        if !raw.is_empty() {
            put_frame(&raw, frames, &mut out, &mut places)?;
        }
        Ok(Columns { entries, frames: places, bytes: out })
    }
}

fn put_frame(raw: &[u8], frames: &mut Frames, out: &mut Vec<u8>, places: &mut Vec<FrameEntry>) -> Result<(), Error> {
    let from = out.len();
    frames.put(raw, out)?;
    let data = &out[from..];
    places.push(FrameEntry { len: data.len() as u64, crc: crc32c::crc32c(data) });
    Ok(())
}

impl Gathered {
    fn number(&mut self, value: &str) -> u32 {
        if !self.entries.is_empty() && *self.last.0 == *value {
            return self.last.1;
        }
        let next = self.values.len() as u32;
        let number = match self.values.get(value) {
            Some(&number) => number,
            None => {
                self.values.insert(value.into(), next);
                next
            }
        };
        self.last = (value.into(), number);
        number
    }

    /// Count and texts of the values, each as what it shares with the one before and the rest; then the column.
    fn put(self, series: u32, out: &mut Vec<u8>) {
        let mut values: Vec<(Box<str>, u32)> = self.values.into_iter().collect();
        values.sort_unstable();
        let mut ranks = vec![0u32; values.len()];
        put_varint(out, values.len() as u64);
        let mut last = "";
        for (rank, (value, number)) in (1u32..).zip(&values) {
            ranks[*number as usize] = rank;
            let shared = last.bytes().zip(value.bytes()).take_while(|(a, b)| a == b).count();
            put_varint(out, shared as u64);
            put_varint(out, (value.len() - shared) as u64);
            out.extend_from_slice(&value.as_bytes()[shared..]);
            last = value;
        }
        if values.len() == 1 && self.entries.len() == series as usize {
            out.push(ALL_FIRST);
        } else if self.entries.len() < series as usize / SPARSE {
            out.push(LIST);
            put_varint(out, self.entries.len() as u64);
            let mut last = 0;
            for &(series, _) in &self.entries {
                put_varint(out, u64::from(series - last));
                last = series;
            }
            self.entries.iter().for_each(|&(_, number)| put_varint(out, u64::from(ranks[number as usize])));
        } else {
            out.push(PLANES);
            let mut column = vec![0u32; series as usize];
            self.entries.iter().for_each(|&(series, number)| column[series as usize] = ranks[number as usize]);
            for plane in 0..width(values.len()) {
                out.extend(column.iter().map(|rank| (rank >> (8 * plane)) as u8));
            }
        }
    }
}

/// Bytes of a value's number, where 0 means that a series does not have the label.
fn width(values: usize) -> usize {
    match values {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    }
}

/// One label of all series of a part.
pub struct Column {
    pub name: Box<str>,
    text: String,
    /// Where each value ends in `text`.
    ends: Vec<u32>,
    index: Index,
}

enum Index {
    AllFirst,
    /// Where each run of series with one value ends, and the number of that value.
    Runs(Vec<(u32, u32)>),
    Bytes(Vec<u8>),
    Shorts(Vec<u16>),
    Words(Vec<u32>),
    List(Vec<u32>, Vec<u32>),
}

impl Column {
    /// Reads a column at the front of `data`; `series` is how many the part has.
    pub fn decode(name: Box<str>, data: &[u8], series: u32) -> Result<Column, Error> {
        let mut cursor = Cursor::new(data);
        let count = cursor.count(2)?;
        let mut bytes: Vec<u8> = Vec::new();
        let mut ends = Vec::with_capacity(count);
        let mut last = 0..0;
        for _ in 0..count {
            let (shared, len) = (cursor.varint()? as usize, cursor.count(1)?);
            let start = bytes.len();
            // Shared beginnings make the text longer than its source; so long is no dictionary that was written.
            if shared > last.len() || start.saturating_add(shared + len) > MAX_TEXT {
                return corrupt("a label's values are too long");
            }
            bytes.extend_from_within(last.start..last.start + shared);
            bytes.extend_from_slice(cursor.take(len)?);
            last = start..bytes.len();
            ends.push(bytes.len() as u32);
        }
        let text = String::from_utf8(bytes).map_err(|_| Error::Corrupt { why: "a label value is not UTF-8" })?;
        if ends.iter().any(|&end| !text.is_char_boundary(end as usize)) {
            return corrupt("a label value is not UTF-8");
        }
        let index = Index::decode(&mut cursor, series as usize, count)?;
        Ok(Column { name, text, ends, index })
    }

    /// How many values there are; they are numbered from 1.
    pub fn values(&self) -> usize {
        self.ends.len()
    }

    /// A value by its number; 0 is the empty text.
    pub fn value(&self, number: u32) -> &str {
        let Some(at) = (number as usize).checked_sub(1) else { return "" };
        let start = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or(0) as usize };
        self.ends.get(at).and_then(|&end| self.text.get(start..end as usize)).unwrap_or("")
    }

    /// The number of a value, if any series has it; the empty text has 0.
    pub fn find(&self, value: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.values() as u32);
        while low <= high {
            let middle = low + (high - low) / 2;
            match self.value(middle).cmp(value) {
                Ordering::Equal => return Some(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle.checked_sub(1)?,
            }
        }
        None
    }

    /// The number of the value that a series has; 0 if it has none.
    pub fn of(&self, series: u32) -> u32 {
        self.of_near(series, &mut 0)
    }

    /// As `of`, for one who asks for ascending series: `near` is where the last one was, first 0.
    fn of_near(&self, series: u32, near: &mut usize) -> u32 {
        let at = series as usize;
        match &self.index {
            Index::AllFirst => 1,
            Index::Runs(runs) => {
                let begin = near.checked_sub(1).and_then(|before| runs.get(before)).map_or(0, |(end, _)| *end);
                let is_near = begin <= series;
                let next = runs.get(*near..).unwrap_or_default().iter().take(2).position(|(end, _)| series < *end);
                *near = match next.filter(|_| is_near) {
                    Some(step) => *near + step,
                    None => runs.partition_point(|(end, _)| *end <= series),
                };
                runs.get(*near).map_or(0, |(_, value)| *value)
            }
            Index::Bytes(all) => all.get(at).map_or(0, |&n| u32::from(n)),
            Index::Shorts(all) => all.get(at).map_or(0, |&n| u32::from(n)),
            Index::Words(all) => all.get(at).copied().unwrap_or(0),
            Index::List(series_with, values) => match series_with.binary_search(&series) {
                Ok(at) => values.get(at).copied().unwrap_or(0),
                Err(_) => 0,
            },
        }
    }

    /// Whether it has a number for each series.
    pub fn is_dense(&self) -> bool {
        matches!(self.index, Index::Bytes(_) | Index::Shorts(_) | Index::Words(_))
    }

    /// Of the series in `chosen` (`None`: of all `count`), those whose value's number `keep` says yes to.
    pub fn filter(&self, chosen: Option<Vec<u32>>, count: u32, keep: &[bool]) -> Vec<u32> {
        let yes = |number: u32| keep.get(number as usize).copied().unwrap_or(false);
        match (chosen, &self.index) {
            (Some(mut chosen), _) => {
                let mut near = 0;
                chosen.retain(|&series| yes(self.of_near(series, &mut near)));
                chosen
            }
            (None, Index::AllFirst) if yes(1) => (0..count).collect(),
            (None, Index::AllFirst) => Vec::new(),
            (None, Index::Runs(runs)) => {
                let begins = std::iter::once(0).chain(runs.iter().map(|(end, _)| *end));
                let wanted = begins.zip(runs).filter(|(_, (_, value))| yes(*value));
                wanted.flat_map(|(begin, (end, _))| begin..*end).collect()
            }
            (None, Index::Bytes(all)) => pick(all.iter().map(|&n| yes(u32::from(n)))),
            (None, Index::Shorts(all)) => pick(all.iter().map(|&n| yes(u32::from(n)))),
            (None, Index::Words(all)) => pick(all.iter().map(|&n| yes(n))),
            (None, Index::List(with, values)) if !yes(0) => {
                with.iter().zip(values).filter(|(_, value)| yes(**value)).map(|(series, _)| *series).collect()
            }
            (None, Index::List(..)) => (0..count).filter(|&series| yes(self.of(series))).collect(),
        }
    }

    pub fn memory_bytes(&self) -> usize {
        let index = match &self.index {
            Index::AllFirst => 0,
            Index::Runs(runs) => 8 * runs.len(),
            Index::Bytes(all) => all.len(),
            Index::Shorts(all) => 2 * all.len(),
            Index::Words(all) => 4 * all.len(),
            Index::List(with, _) => 8 * with.len(),
        };
        self.text.len() + 4 * self.ends.len() + index + 96
    }
}

fn pick(flags: impl Iterator<Item = bool>) -> Vec<u32> {
    (0u32..).zip(flags).filter(|(_, keep)| *keep).map(|(series, _)| series).collect()
}

/// Bytes of a run.
const RUN: usize = 8;

/// A column whose values are asked for from series to series, ascending.
pub struct Walk {
    column: Arc<Column>,
    near: usize,
}

impl Walk {
    pub fn along(column: Arc<Column>) -> Walk {
        Walk { column, near: 0 }
    }

    /// The label of a series: its name and its value, which is empty if the series does not have it.
    pub fn label(&mut self, series: u32) -> (&str, &str) {
        let number = self.column.of_near(series, &mut self.near);
        (&self.column.name, self.column.value(number))
    }
}

/// All values of one label together, in bytes.
const MAX_TEXT: usize = 256 << 20;

impl Index {
    /// Of the numbers of all series, in about `most` runs.
    fn runs(numbers: impl Iterator<Item = u32>, most: usize) -> Index {
        let mut runs: Vec<(u32, u32)> = Vec::with_capacity(most);
        for (series, number) in (1u32..).zip(numbers) {
            match runs.last_mut() {
                Some((end, value)) if *value == number => *end = series,
                _ => runs.push((series, number)),
            }
        }
        Index::Runs(runs)
    }

    fn decode(cursor: &mut Cursor<'_>, series: usize, values: usize) -> Result<Index, Error> {
        match cursor.u8()? {
            ALL_FIRST if values >= 1 => Ok(Index::AllFirst),
            PLANES => {
                let mut planes = [&[][..]; 4];
                let width = width(values);
                for plane in planes.iter_mut().take(width) {
                    *plane = cursor.take(series)?;
                }
                let changes = |plane: &[u8]| plane.windows(2).filter(|pair| pair[0] != pair[1]).count();
                // Together the planes change at least as often as the whole numbers do.
                let most = 1 + planes.iter().map(|plane| changes(plane)).sum::<usize>();
                let [a, b, c, d] = planes;
                if series > 0 && most * RUN <= series * width {
                    let at = |plane: &[u8], at: usize| plane.get(at).copied().unwrap_or(0);
                    let number = |n: usize| u32::from_le_bytes([at(a, n), at(b, n), at(c, n), at(d, n)]);
                    return Ok(Index::runs((0..series).map(number), most));
                }
                Ok(match width {
                    1 => Index::Bytes(a.to_vec()),
                    2 => Index::Shorts(a.iter().zip(b).map(|(&a, &b)| u16::from_le_bytes([a, b])).collect()),
                    _ => {
                        let at = |plane: &[u8], at: usize| plane.get(at).copied().unwrap_or(0);
                        Index::Words((0..series).map(|n| u32::from_le_bytes([a[n], b[n], c[n], at(d, n)])).collect())
                    }
                })
            }
            LIST => {
                let count = cursor.count(2)?;
                let mut with = Vec::with_capacity(count);
                let mut last = 0u32;
                for at in 0..count {
                    let step = cursor.u32()?;
                    last = last.saturating_add(step);
                    if last as usize >= series || (at > 0 && step == 0) {
                        return corrupt("a label's list of series is not in order");
                    }
                    with.push(last);
                }
                let values = (0..count).map(|_| cursor.u32()).collect::<Result<_, _>>()?;
                Ok(Index::List(with, values))
            }
            _ => corrupt("a label's column has an unknown kind"),
        }
    }
}

/// The bytes of a frame of columns.
pub fn open_frame(data: &[u8], entry: &FrameEntry) -> Result<Vec<u8>, Error> {
    frame::check(data, entry.crc)?;
    Ok(frame::open(data)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(sets: &[Labels]) {
        let mut frames = Frames::new(3).expect("zstd");
        let mut writer = ColumnsWriter::default();
        sets.iter().for_each(|labels| writer.push(labels));
        let Columns { entries, frames: places, bytes } = writer.finish(&mut frames).expect("writes");
        let mut at = 0;
        let opened: Vec<Vec<u8>> = places
            .iter()
            .map(|place| {
                at += place.len as usize;
                open_frame(&bytes[at - place.len as usize..at], place).expect("opens")
            })
            .collect();
        let column = |e: &ColumnEntry| {
            let data = &opened[e.frame as usize][e.offset as usize..];
            Column::decode(e.name.clone(), data, sets.len() as u32).expect("decodes")
        };
        let columns: Vec<Column> = entries.iter().map(column).collect();
        for (series, labels) in (0u32..).zip(sets) {
            let pairs = columns.iter().map(|column| (&*column.name, column.value(column.of(series))));
            assert_eq!(Labels::from_sorted(pairs).as_ref(), Some(labels));
        }
        for column in &columns {
            for number in 0..=column.values() as u32 {
                let keep: Vec<bool> = (0..=column.values() as u32).map(|n| n == number).collect();
                let want: Vec<u32> = (0..sets.len() as u32).filter(|&s| column.of(s) == number).collect();
                assert_eq!(column.filter(None, sets.len() as u32, &keep), want);
                assert_eq!(column.filter(Some((0..sets.len() as u32).collect()), sets.len() as u32, &keep), want);
            }
        }
        // Ascending, with leaps, and from the front again.
        let mut walks: Vec<Walk> = columns.into_iter().map(|column| Walk::along(Arc::new(column))).collect();
        for step in [1, 3, 40] {
            for (series, labels) in (0u32..).zip(sets).step_by(step) {
                let pairs = walks.iter_mut().map(|walk| walk.label(series));
                assert_eq!(Labels::from_sorted(pairs).as_ref(), Some(labels));
            }
        }
    }

    #[test]
    fn columns_of_all_kinds_come_back() {
        let set = |at: u32| {
            let mut pairs = vec![
                ("job", "a".to_owned()),
                ("slow", (at / 100).to_string()),
                ("wide", format!("{:x}", at.wrapping_mul(0x9e37_79b9))),
            ];
            pairs.push(("few", (at % 3).to_string()));
            if at % 50 == 7 {
                pairs.push(("rare", format!("ä{}", at % 4)));
            }
            Labels::from_pairs(pairs)
        };
        check(&[]);
        check(&[set(7)]);
        check(&(0..1000).map(set).collect::<Vec<_>>());
        check(&(0..70_000).map(|at| Labels::from_pairs([("n", at.to_string())])).take(300).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), series in 0u32..50) {
            if let Ok(column) = Column::decode("n".into(), &bytes, series) {
                (0..series).for_each(|s| { column.value(column.of(s)); });
            }
        }
    }
}
