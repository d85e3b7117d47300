//! Attributes and their values.

use crate::error::DecodeError;
use crate::protobuf::{Field, Fields};
use std::fmt::Write;

/// Values within values that are read; deeper ones are refused.
const MAX_DEPTH: u32 = 32;

const TOO_DEEP: DecodeError = DecodeError::Protobuf { why: "an attribute's value is nested over 32 times" };

/// An `AnyValue`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Any<'a> {
    Empty,
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// The fields of an `ArrayValue`.
    Array(Fields<'a>),
    /// The fields of a `KeyValueList`.
    Map(Fields<'a>),
    Bytes(&'a [u8]),
}

impl<'a> Any<'a> {
    pub fn read(field: &Field<'a>) -> Result<Any<'a>, DecodeError> {
        let mut value = Any::Empty;
        for part in field.message()? {
            let part = part?;
            value = match part.number {
                1 => Any::Text(part.text()?),
                2 => Any::Bool(part.varint()? != 0),
                3 => Any::Int(part.int()?),
                4 => Any::Double(part.double()?),
                5 => Any::Array(part.message()?),
                6 => Any::Map(part.message()?),
                7 => Any::Bytes(part.bytes()?),
                _ => continue,
            };
        }
        Ok(value)
    }

    /// Adds the value as text: strings as they are, lists and maps as JSON.
    pub fn write(&self, out: &mut String) -> Result<(), DecodeError> {
        match self {
            Any::Text(text) => out.push_str(text),
            Any::Double(value) => write_double(out, *value),
            Any::Bytes(bytes) => base64(out, bytes),
            Any::Empty => {}
            other => other.write_json(out, 0)?,
        }
        Ok(())
    }

    fn write_json(&self, out: &mut String, depth: u32) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        match self {
            Any::Empty => out.push_str("null"),
            Any::Text(text) => quote(out, text),
            Any::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Any::Int(value) => write(out, value),
            Any::Double(value) if value.is_finite() => write_double(out, *value),
            Any::Double(value) => quote(out, if value.is_nan() { "NaN" } else { sign(*value) }),
            Any::Bytes(bytes) => {
                out.push('"');
                base64(out, bytes);
                out.push('"');
            }
            Any::Array(fields) => {
                out.push('[');
                let start = out.len();
                for field in *fields {
                    let field = field?;
                    if field.number == 1 {
                        separate(out, start);
                        Any::read(&field)?.write_json(out, depth + 1)?;
                    }
                }
                out.push(']');
            }
            Any::Map(fields) => {
                out.push('{');
                let start = out.len();
                for field in *fields {
                    let field = field?;
                    if field.number == 1 {
                        let (key, value) = attribute(&field)?;
                        separate(out, start);
                        quote(out, key);
                        out.push(':');
                        value.write_json(out, depth + 1)?;
                    }
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

/// A `KeyValue`.
pub fn attribute<'a>(field: &Field<'a>) -> Result<(&'a str, Any<'a>), DecodeError> {
    let (mut key, mut value) = ("", Any::Empty);
    for part in field.message()? {
        let part = part?;
        match part.number {
            1 => key = part.text()?,
            2 => value = Any::read(&part)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Calls `each` with an attribute's label name and text; the members of a map each have a name of their own. `name`
/// holds the label name of the attribute, and `text` is room to be used again.
pub fn flatten(
    name: &mut String,
    value: &Any<'_>,
    text: &mut String,
    each: &mut impl FnMut(&str, &str) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    flatten_deep(name, value, text, each, 0)
}

fn flatten_deep(
    name: &mut String,
    value: &Any<'_>,
    text: &mut String,
    each: &mut impl FnMut(&str, &str) -> Result<(), DecodeError>,
    depth: u32,
) -> Result<(), DecodeError> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    let Any::Map(fields) = value else {
        text.clear();
        value.write(text)?;
        return each(name, text);
    };
    let len = name.len();
    for field in *fields {
        let field = field?;
        if field.number == 1 {
            let (key, value) = attribute(&field)?;
            name.push('_');
            super::names::push_escaped(name, key);
            flatten_deep(name, &value, text, each, depth + 1)?;
            name.truncate(len);
        }
    }
    Ok(())
}

/// Small hexadecimal digits.
pub fn hex(out: &mut String, bytes: &[u8]) {
    bytes.iter().for_each(|byte| {
        let _ = write!(out, "{byte:02x}"); // writing to a string does not fail
    });
}

fn separate(out: &mut String, start: usize) {
    if out.len() > start {
        out.push(',');
    }
}

pub fn write(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}"); // writing to a string does not fail
}

fn write_double(out: &mut String, value: f64) {
    match value {
        value if value.is_nan() => out.push_str("NaN"),
        value if value.is_infinite() => out.push_str(sign(value)),
        value if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) => write(out, format_args!("{value:e}")),
        value => write(out, value),
    }
}

fn sign(value: f64) -> &'static str {
    if value > 0.0 { "+Inf" } else { "-Inf" }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => write(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn base64(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let three = [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for digit in 0..4 {
            let at = (bits >> (18 - 6 * digit) & 63) as usize;
            out.push(if digit <= chunk.len() { char::from(DIGITS[at]) } else { '=' });
        }
    }
}

/// Undoes base64, standard or for URLs, padded or not; `None` for anything else.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut have) = (0u32, 0);
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xff_ffff;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    (have < 6).then_some(out)
}
