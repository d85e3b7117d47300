//! Changes labels within a remote write body, leaving everything else byte for byte.

use super::cut::each_field;
use super::series::{LABELS, read_label};
use super::{Version, read_symbols, series};
use crate::error::DecodeError;
use crate::protobuf::{Fields, put_bytes, put_varint, varint};

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
