//! A column of an opened row group, and one page of it.

use crate::column::form::Form;
use crate::column::pool::PackedPool;
use crate::column::relation::{self, Term};
use crate::column::text::Texts;
use crate::column::{CONSTANT, DICTIONARY, TEXTS, TYPED, ints};
use crate::error::Error;
use crate::frame;
use crate::varint::Cursor;
use bytes::Bytes;
use std::sync::Arc;

pub struct ColumnReader {
    pub(super) kind: Kind,
    pub(super) page: PageValues,
    /// Which entries of the dictionary contain the text that was last looked for.
    pub(super) hits: Option<(Vec<u8>, Vec<bool>)>,
}

pub(super) enum Kind {
    Constant(Vec<u8>),
    Typed(Box<Typed>),
    Dictionary { packed: Bytes, count: usize, entries: Option<Texts>, codes: ints::Decoder },
    Texts,
}

pub(super) struct Typed {
    pub form: Form,
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    pub excepts: bool,
    /// What each number is derived from, and what is kept of it.
    numbers: Vec<(Vec<Term>, ints::Decoder)>,
    pool: Arc<PackedPool>,
}

/// What is decoded of the page at hand.
#[derive(Default)]
pub(super) struct PageValues {
    frame: Bytes,
    pub count: usize,
    /// Decoded, except for what is derived.
    decoded: bool,
    /// Everything is there.
    ready: bool,
    pub numbers: [Vec<i64>; 2],
    /// Place in the page, and where the text is in the frame.
    pub exceptions: Vec<(u32, std::ops::Range<u32>)>,
    pub texts: Texts,
}

impl ColumnReader {
    pub fn new(descriptor: &[u8], dictionary: Bytes, pool: &Arc<PackedPool>) -> Result<ColumnReader, Error> {
        let mut cursor = Cursor(descriptor);
        let kind = match cursor.byte()? {
            CONSTANT => Kind::Constant(cursor.bytes()?.to_vec()),
            TYPED => {
                let code = cursor.take(5)?.first_chunk().copied().and_then(Form::from_code);
                let form = code.ok_or(Error::Corrupt { why: "a column has an unknown form" })?;
                let (prefix, suffix) = (cursor.bytes()?.to_vec(), cursor.bytes()?.to_vec());
                let excepts = cursor.byte()? != 0;
                let numbers = (0..form.arity()).map(|_| {
                    let terms = relation::read(&mut cursor)?;
                    Ok((terms, ints::Decoder::new(cursor.bytes()?)?))
                });
                let numbers = numbers.collect::<Result<_, Error>>()?;
                Kind::Typed(Box::new(Typed { form, prefix, suffix, excepts, numbers, pool: pool.clone() }))
            }
            DICTIONARY => {
                // Every entry takes at least a byte once it is inflated.
                let count = cursor.count(1 << 30)?;
                let codes = ints::Decoder::new(cursor.bytes()?)?;
                Kind::Dictionary { packed: dictionary, count, entries: None, codes }
            }
            TEXTS => Kind::Texts,
            _ => return Err(Error::corrupt("a column is encoded in an unknown way")),
        };
        Ok(ColumnReader { kind, page: PageValues::default(), hits: None })
    }

    /// Turns to another page, which is decoded when a value is asked for.
    pub fn turn(&mut self, frame: Bytes, count: usize) {
        self.page.frame = frame;
        self.page.count = count;
        self.page.decoded = false;
        self.page.ready = false;
    }

    /// Whether the numbers are places in the pool.
    pub fn is_pooled(&self) -> bool {
        matches!(&self.kind, Kind::Typed(typed) if typed.form.pooled())
    }

    pub fn is_ready(&self) -> bool {
        self.page.ready
    }

    /// What the numbers are derived from.
    pub fn terms(&self) -> impl Iterator<Item = &[Term]> {
        let numbers = match &self.kind {
            Kind::Typed(typed) => typed.numbers.as_slice(),
            _ => &[],
        };
        numbers.iter().map(|(terms, _)| terms.as_slice())
    }

    /// The first or second numbers of the prepared page.
    pub fn numbers(&self, part: usize) -> &[i64] {
        &self.page.numbers[part]
    }

    /// Adds what a number of the prepared page is derived from.
    pub fn derive(
        &mut self,
        part: usize,
        values: impl ExactSizeIterator<Item = i64>,
        negative: bool,
    ) -> Result<(), Error> {
        let numbers = &mut self.page.numbers[part];
        if values.len() != numbers.len() {
            return Err(Error::corrupt("a column is derived from one of another length"));
        }
        relation::apply(numbers, values, negative);
        Ok(())
    }

    /// Notes that everything is derived.
    pub fn finish(&mut self) {
        self.page.ready = true;
    }

    /// Decodes the page if that was not done yet, except for what is derived.
    pub fn prepare(&mut self) -> Result<(), Error> {
        if self.page.decoded {
            return Ok(());
        }
        let PageValues { frame, count, numbers, exceptions, texts, decoded, .. } = &mut self.page;
        let data = if frame.is_empty() { &[][..] } else { frame::open(frame)? };
        match &mut self.kind {
            Kind::Constant(_) => {}
            Kind::Typed(typed) => typed.decode(data, *count, numbers, exceptions)?,
            Kind::Dictionary { packed, count: entry_count, entries, codes } => {
                open_dictionary(packed, *entry_count, entries)?;
                let data = if codes.has_pages() { data } else { &[] };
                codes.page(data, *count, &mut numbers[0])?;
            }
            Kind::Texts => {
                *texts = if *count == 0 { Texts::default() } else { Texts::unpack(data, *count)? };
            }
        }
        *decoded = true;
        Ok(())
    }

    /// Appends the value at a place of the prepared page.
    #[inline]
    pub fn append(&self, at: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        const MISSING: Error = Error::Corrupt { why: "a column has too few values" };
        match &self.kind {
            Kind::Constant(value) => out.extend_from_slice(value),
            Kind::Typed(typed) => {
                let number = *self.page.numbers[0].get(at).ok_or(MISSING)?;
                let exceptions = &self.page.exceptions;
                if !exceptions.is_empty()
                    && let Ok(found) = exceptions.binary_search_by_key(&(at as u32), |(place, _)| *place)
                {
                    let range = &exceptions[found].1;
                    out.extend_from_slice(&self.page.frame[range.start as usize..range.end as usize]);
                    return Ok(());
                }
                out.extend_from_slice(&typed.prefix);
                if typed.form.pooled() {
                    let id = typed.pool.get(number);
                    typed.form.write_wide(id.ok_or(Error::Corrupt { why: "an id is not in the pool" })?, out);
                } else {
                    let second = self.page.numbers[1].get(at).copied().unwrap_or(0);
                    typed.form.write([number, second], out);
                }
                out.extend_from_slice(&typed.suffix);
            }
            Kind::Dictionary { entries, .. } => {
                let code = *self.page.numbers[0].get(at).ok_or(MISSING)?;
                let entry = entries.as_ref().and_then(|entries| entries.get(usize::try_from(code).ok()?));
                out.extend_from_slice(entry.ok_or(Error::Corrupt { why: "a value is not in its dictionary" })?);
            }
            Kind::Texts => out.extend_from_slice(self.page.texts.get(at).ok_or(MISSING)?),
        }
        Ok(())
    }
}

/// The entries of a dictionary, unpacked when they are first asked for.
pub(super) fn open_dictionary<'e>(
    packed: &[u8],
    count: usize,
    entries: &'e mut Option<Texts>,
) -> Result<&'e Texts, Error> {
    Ok(match entries {
        Some(entries) => entries,
        None => entries.insert(Texts::unpack(packed, count)?),
    })
}

impl Typed {
    /// What all values without an exception begin and end with.
    pub fn affixes(&self) -> (&[u8], &[u8]) {
        (&self.prefix, &self.suffix)
    }

    /// Whether values without an exception are plain decimal numbers.
    pub fn is_decimal(&self) -> bool {
        let plain = matches!(self.form, Form::Int | Form::Padded(_) | Form::Decimal(_) | Form::Float);
        plain && self.prefix.is_empty() && self.suffix.is_empty()
    }

    fn decode(
        &mut self,
        data: &[u8],
        count: usize,
        numbers: &mut [Vec<i64>; 2],
        exceptions: &mut Vec<(u32, std::ops::Range<u32>)>,
    ) -> Result<(), Error> {
        let mut cursor = Cursor(data);
        let base = if self.form.pooled() { cursor.varint()? } else { 0 };
        for ((_, decoder), numbers) in self.numbers.iter_mut().zip(numbers.iter_mut()) {
            let page = if decoder.has_pages() { cursor.bytes()? } else { &[] };
            decoder.page(page, count, numbers)?;
        }
        if self.form.pooled() {
            let mut next = base as i64;
            for number in &mut numbers[0] {
                *number = next.wrapping_sub(*number);
                next = next.max(number.wrapping_add(1));
            }
        }
        exceptions.clear();
        if self.excepts {
            let mut at = 0u64;
            for _ in 0..cursor.items()? {
                at = at.saturating_add(cursor.varint()?);
                let text = cursor.bytes()?;
                let end = (data.len() - cursor.0.len()) as u32;
                exceptions.push((at.min(u64::from(u32::MAX)) as u32, end - text.len() as u32..end));
            }
        }
        Ok(())
    }
}

impl ColumnReader {
    /// How the column is kept, in a word or two.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Constant(_) => "constant".to_owned(),
            Kind::Typed(typed) => {
                let numbers: Vec<&str> = typed
                    .numbers
                    .iter()
                    .map(|(terms, rest)| if terms.is_empty() { rest.describe() } else { "derived" })
                    .collect();
                format!("{:?} {}", typed.form, numbers.join(" "))
            }
            Kind::Dictionary { codes, .. } => format!("dictionary {}", codes.describe()),
            Kind::Texts => "texts".to_owned(),
        }
    }

    pub fn dictionary_len(&self) -> u64 {
        match &self.kind {
            Kind::Dictionary { packed, .. } => packed.len() as u64,
            _ => 0,
        }
    }
}
