//! Loki's push body: walked in place, built, and made from its JSON form.
//!
//! `PushRequest { streams = 1 { labels = 1, entries = 2 { timestamp = 1 { seconds = 1, nanos = 2 }, line = 2,
//! structuredMetadata = 3 { name = 1, value = 2 }, parsed = 4 }, hash = 3 } }`, from the public description of Loki's
//! push API. `hash` and `parsed` are not read.

mod builder;
mod cri;
mod discovered;
mod json;
mod labels;

pub use builder::{Builder, TRUNCATED_FROM, sanitize};
pub use cri::unwrap_cri;
pub use discovered::{discover, with_service};
pub use json::{JsonError, from_json};
pub use labels::{LabelError, label_text, parse_labels, quote};

use crate::error::DecodeError;
use crate::protobuf::{Field, Fields};
use xxhash_rust::xxh3::xxh3_128;

pub(crate) const STREAMS: u32 = 1;
pub(crate) const LABELS: u32 = 1;
pub(crate) const ENTRIES: u32 = 2;
pub(crate) const TIMESTAMP: u32 = 1;
pub(crate) const LINE: u32 = 2;
pub(crate) const METADATA: u32 = 3;
pub(crate) const NAME: u32 = 1;
pub(crate) const VALUE: u32 = 2;

/// One stream of a push: its label text as sent, and its entries.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    /// The raw text, for instance `{app="web"}`; empty when the message has none.
    pub labels: &'a str,
    message: &'a [u8],
}

/// One line with its time.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Unix nanoseconds.
    pub time: i64,
    pub line: &'a str,
    has_metadata: bool,
    message: &'a [u8],
}

/// The streams of an uncompressed push body, in its order. Ends after the first error.
pub fn streams(body: &[u8]) -> impl Iterator<Item = Result<Stream<'_>, DecodeError>> {
    let mut fields = Fields::new(body);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let stream = next_of(&mut fields, STREAMS, Stream::read);
        failed = matches!(stream, Some(Err(_)));
        stream
    })
}

/// Names a stream by its label text as sent: two spellings of one label set have two keys.
pub fn key(raw_labels: &str) -> u128 {
    xxh3_128(raw_labels.as_bytes())
}

/// Reads on to the next field of this number.
#[inline]
fn next_of<'a, T>(
    fields: &mut Fields<'a>,
    number: u32,
    read: impl Fn(&'a [u8]) -> Result<T, DecodeError>,
) -> Option<Result<T, DecodeError>> {
    loop {
        match fields.read() {
            Ok(None) => return None,
            Ok(Some(field)) if field.number == number => return Some(field.bytes().and_then(&read)),
            Ok(Some(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

impl<'a> Stream<'a> {
    /// Stops at the first label text, which every known sender writes first; `entries` refuses a second one.
    fn read(message: &'a [u8]) -> Result<Stream<'a>, DecodeError> {
        let labels =
            next_of(&mut Fields::new(message), LABELS, |text| std::str::from_utf8(text).map_err(|_| DecodeError::Utf8));
        Ok(Stream { labels: labels.transpose()?.unwrap_or(""), message })
    }

    /// The entries in the order of the body. Ends after the first error.
    #[inline]
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>, DecodeError>> + use<'a> {
        let mut fields = Fields::new(self.message);
        let mut labels = 0;
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let entry = next_entry(&mut fields, &mut labels);
            failed = matches!(entry, Some(Err(_)));
            entry
        })
    }

    /// The stream's message as sent.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }
}

#[inline]
fn next_entry<'a>(fields: &mut Fields<'a>, labels: &mut u32) -> Option<Result<Entry<'a>, DecodeError>> {
    loop {
        let field = match fields.read() {
            Ok(Some(field)) => field,
            Ok(None) => return None,
            Err(error) => return Some(Err(error)),
        };
        match field.number {
            ENTRIES => return Some(field.bytes().and_then(Entry::read)),
            LABELS => {
                *labels += 1;
                if *labels > 1 {
                    return Some(Err(DecodeError::Protobuf { why: "a stream has two label texts" }));
                }
            }
            _ => {}
        }
    }
}

impl<'a> Entry<'a> {
    #[inline]
    fn read(message: &'a [u8]) -> Result<Entry<'a>, DecodeError> {
        let raw = RawEntry::read(message)?;
        let line = std::str::from_utf8(raw.line).map_err(|_| DecodeError::Utf8)?;
        Ok(Entry { time: raw.time, line, has_metadata: raw.has_metadata, message })
    }

    pub fn has_metadata(&self) -> bool {
        self.has_metadata
    }

    /// The structured metadata as sent: neither sorted nor unique. Ends after the first error.
    pub fn metadata(&self) -> impl Iterator<Item = Result<(&'a str, &'a str), DecodeError>> + use<'a> {
        let mut fields = Fields::new(if self.has_metadata { self.message } else { &[] });
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let pair = next_of(&mut fields, METADATA, |pair| {
                let (name, value) = read_pair(pair)?;
                let text = |bytes| std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8);
                Ok((text(name)?, text(value)?))
            });
            failed = matches!(pair, Some(Err(_)));
            pair
        })
    }

    /// The entry's message as sent.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }
}

/// An entry whose line may be any bytes.
pub(crate) struct RawEntry<'a> {
    pub time: i64,
    pub line: &'a [u8],
    pub has_metadata: bool,
}

impl<'a> RawEntry<'a> {
    #[inline]
    pub fn read(message: &'a [u8]) -> Result<RawEntry<'a>, DecodeError> {
        let mut entry = RawEntry { time: 0, line: &[], has_metadata: false };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.read()? {
            match field.number {
                TIMESTAMP => entry.time = read_time(&field)?,
                LINE => entry.line = field.bytes()?,
                METADATA => {
                    field.bytes()?;
                    entry.has_metadata = true;
                }
                _ => {}
            }
        }
        Ok(entry)
    }
}

#[inline]
fn read_time(field: &Field<'_>) -> Result<i64, DecodeError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut fields = field.message()?;
    while let Some(part) = fields.read()? {
        match part.number {
            1 => seconds = part.int()?,
            2 => nanos = i64::from(part.int()? as i32),
            _ => {}
        }
    }
    let time = seconds.checked_mul(1_000_000_000).and_then(|time| time.checked_add(nanos));
    time.ok_or(DecodeError::Protobuf { why: "a timestamp lies outside of the years 1678 to 2261" })
}

/// A name and a value, each of any bytes.
pub(crate) fn read_pair(message: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (mut name, mut value) = (&[][..], &[][..]);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.read()? {
        match field.number {
            NAME => name = field.bytes()?,
            VALUE => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests;
