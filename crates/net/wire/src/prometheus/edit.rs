//! Changes labels within a remote write body, leaving everything else byte for byte.

use super::cut::each_field;
use super::series::{LABELS, read_label};
use super::symbols::SYMBOLS;
use super::{Version, read_symbols, series};
use crate::error::DecodeError;
use crate::protobuf::{Fields, put_bytes, put_varint, varint};
use std::collections::{BTreeMap, HashMap};

/// The values of two labels in the first series that has both.
pub fn first_with<'a>(body: &'a [u8], version: Version, names: [&str; 2]) -> Result<Option<[&'a str; 2]>, DecodeError> {
    for series in series(body, version) {
        let mut found = [None; 2];
        for label in series?.labels() {
            let (name, value) = match label {
                // The check of all labels names it.
                Err(DecodeError::Utf8) => break,
                label => label?,
            };
            for (found, wanted) in found.iter_mut().zip(names) {
                if name == wanted {
                    *found = Some(value);
                }
            }
        }
        if let [Some(one), Some(other)] = found {
            return Ok(Some([one, other]));
        }
    }
    Ok(None)
}

/// The same body with every label of this name left out. Of a body with a defect, what follows it is left out, too.
pub fn strip(body: &[u8], version: Version, name: &str) -> Result<Vec<u8>, DecodeError> {
    let symbols = read_symbols(body, version)?;
    // By number, as a name may stand in the table twice.
    let is_name: Vec<bool> = symbols.iter().flat_map(|symbols| symbols.all()).map(|s| s == name.as_bytes()).collect();
    let mut out = Vec::with_capacity(body.len());
    let mut failed = None;
    let (mut message, mut refs) = (Vec::new(), Vec::new());
    each_field(body, |field, raw| {
        if field.number != version.series_field() {
            return out.extend_from_slice(raw);
        }
        message.clear();
        let stripped = field.bytes().and_then(|bytes| match version {
            Version::V1 => strip_series(bytes, name, &mut message),
            Version::V2 => strip_refs(bytes, &is_name, &mut message, &mut refs),
        });
        match stripped {
            Ok(()) => put_bytes(&mut out, field.number, &message),
            Err(error) => failed = failed.take().or(Some(error)),
        }
    });
    failed.map_or(Ok(out), Err)
}

fn strip_series(series: &[u8], name: &str, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut fields = Fields::new(series);
    let mut before = fields.rest();
    while let Some(field) = fields.read()? {
        let raw = &before[..before.len() - fields.rest().len()];
        before = fields.rest();
        let is_stripped = field.number == LABELS
            && match read_label(field.message()?) {
                Err(DecodeError::Utf8) => false,
                label => label?.0 == name,
            };
        if !is_stripped {
            out.extend_from_slice(raw);
        }
    }
    Ok(())
}

fn strip_refs(series: &[u8], is_name: &[bool], out: &mut Vec<u8>, refs: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut fields = Fields::new(series);
    let mut before = fields.rest();
    while let Some(field) = fields.read()? {
        let raw = &before[..before.len() - fields.rest().len()];
        before = fields.rest();
        if field.number != LABELS {
            out.extend_from_slice(raw);
            continue;
        }
        refs.clear();
        let mut packed = field.bytes()?;
        while !packed.is_empty() {
            let from = packed;
            let at = usize::try_from(varint(&mut packed)?).ok();
            if !packed.is_empty() {
                varint(&mut packed)?;
            }
            // What points past the table stays, for the check to find.
            if !at.and_then(|at| is_name.get(at)).is_some_and(|is_name| *is_name) {
                refs.extend_from_slice(&from[..from.len() - packed.len()]);
            }
        }
        put_varint(out, u64::from(LABELS) << 3 | 2);
        put_varint(out, refs.len() as u64);
        out.extend_from_slice(refs);
    }
    Ok(())
}

/// The same body with other labels for some series, by their places in it. `limit`: bytes that it may have then. The body
/// must be one that `series` has walked to its end.
pub fn relabel<N: AsRef<str>>(
    body: &[u8],
    version: Version,
    labels: &BTreeMap<u32, Vec<(N, N)>>,
    limit: usize,
) -> Result<Vec<u8>, DecodeError> {
    let symbols = read_symbols(body, version)?;
    let mut new = NewSymbols { first: symbols.map_or(0, |symbols| symbols.all().count()) as u64, ..Default::default() };
    if version == Version::V2 && new.first == 0 && !labels.is_empty() {
        new.number(""); // the first one of a table
    }
    let mut out = Vec::with_capacity(body.len());
    let (mut at, mut message, mut pair) = (0, Vec::new(), Vec::new());
    each_field(body, |field, raw| {
        if field.number != version.series_field() {
            return out.extend_from_slice(raw);
        }
        let changed = labels.get(&at);
        at += 1;
        let (Some(labels), Ok(bytes)) = (changed, field.bytes()) else { return out.extend_from_slice(raw) };
        // What is too large already need not grow.
        if out.len() > limit {
            return;
        }
        message.clear();
        pair.clear();
        match version {
            Version::V1 => labels.iter().for_each(|(name, value)| {
                pair.clear();
                put_bytes(&mut pair, 1, name.as_ref().as_bytes());
                put_bytes(&mut pair, 2, value.as_ref().as_bytes());
                put_bytes(&mut message, LABELS, &pair);
            }),
            Version::V2 => {
                let texts = labels.iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()]);
                texts.for_each(|text| put_varint(&mut pair, new.number(text)));
                put_bytes(&mut message, LABELS, &pair);
            }
        }
        each_field(bytes, |field, raw| {
            if field.number != LABELS {
                message.extend_from_slice(raw);
            }
        });
        put_bytes(&mut out, field.number, &message);
    });
    // A table may be told in pieces: its order is all that counts.
    new.texts.iter().for_each(|text| put_bytes(&mut out, SYMBOLS, text.as_bytes()));
    match out.len() > limit {
        true => Err(DecodeError::TooLarge { len: out.len(), limit }),
        false => Ok(out),
    }
}

/// Symbols that a table gets at its end.
#[derive(Default)]
struct NewSymbols<'l> {
    first: u64,
    texts: Vec<&'l str>,
    numbers: HashMap<&'l str, u64>,
}

impl<'l> NewSymbols<'l> {
    fn number(&mut self, text: &'l str) -> u64 {
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.first + self.texts.len() as u64 - 1
        })
    }
}
