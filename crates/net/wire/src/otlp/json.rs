//! Turns OTLP/JSON into OTLP's protobuf, in one pass and by a table of its messages.
//!
//! Protobuf's JSON mapping as OTLP changes it: ids are hexadecimal, enums are numbers, names are in lower camel case
//! (the fields' own names are read too), 64-bit integers may be strings. Unknown fields are skipped.

use super::value::from_base64;
use crate::protobuf::{put_bytes, put_double, put_uint, put_varint};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Why a JSON body is refused; the text names the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("otlp as JSON: {why}")]
pub struct JsonError {
    why: String,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Logs,
    Metrics,
}

/// Gives the protobuf body of a JSON one.
pub fn from_json(json: &[u8], request: Request) -> Result<Vec<u8>, JsonError> {
    let message = match request {
        Request::Logs => &LOGS,
        Request::Metrics => &METRICS,
    };
    let error = |e: serde_json::Error| JsonError { why: e.to_string() };
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut reader = serde_json::Deserializer::from_slice(json);
    MessageSeed(message, &mut out).deserialize(&mut reader).map_err(error)?;
    reader.end().map_err(error)?;
    Ok(out)
}

/// A message: JSON name, number, and what it holds.
struct Message(&'static [(&'static str, u32, Kind)]);

#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// Bytes as base64.
    Base64,
    /// Bytes as hexadecimal digits.
    Hex,
    Bool,
    /// A varint; negative ones as two's complement.
    Int,
    /// A varint in zigzag.
    Sint,
    Fixed64,
    Fixed32,
    Double,
    Of(&'static Message),
}

use Kind::{Base64, Bool, Double, Fixed32, Fixed64, Hex, Int, Of, Sint, Text};

static LOGS: Message = Message(&[("resourceLogs", 1, Of(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Message =
    Message(&[("resource", 1, Of(&RESOURCE)), ("scopeLogs", 2, Of(&SCOPE_LOGS)), ("schemaUrl", 3, Text)]);
static SCOPE_LOGS: Message =
    Message(&[("scope", 1, Of(&SCOPE)), ("logRecords", 2, Of(&RECORD)), ("schemaUrl", 3, Text)]);
static RECORD: Message = Message(&[
    ("timeUnixNano", 1, Fixed64),
    ("severityNumber", 2, Int),
    ("severityText", 3, Text),
    ("body", 5, Of(&ANY)),
    ("attributes", 6, Of(&ATTRIBUTE)),
    ("droppedAttributesCount", 7, Int),
    ("flags", 8, Fixed32),
    ("traceId", 9, Hex),
    ("spanId", 10, Hex),
    ("observedTimeUnixNano", 11, Fixed64),
    ("eventName", 12, Text),
]);
static RESOURCE: Message = Message(&[("attributes", 1, Of(&ATTRIBUTE)), ("droppedAttributesCount", 2, Int)]);
static SCOPE: Message = Message(&[
    ("name", 1, Text),
    ("version", 2, Text),
    ("attributes", 3, Of(&ATTRIBUTE)),
    ("droppedAttributesCount", 4, Int),
]);
static ATTRIBUTE: Message = Message(&[("key", 1, Text), ("value", 2, Of(&ANY))]);
static ANY: Message = Message(&[
    ("stringValue", 1, Text),
    ("boolValue", 2, Bool),
    ("intValue", 3, Int),
    ("doubleValue", 4, Double),
    ("arrayValue", 5, Of(&ARRAY)),
    ("kvlistValue", 6, Of(&MAP)),
    ("bytesValue", 7, Base64),
]);
static ARRAY: Message = Message(&[("values", 1, Of(&ANY))]);
static MAP: Message = Message(&[("values", 1, Of(&ATTRIBUTE))]);

static METRICS: Message = Message(&[("resourceMetrics", 1, Of(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Message =
    Message(&[("resource", 1, Of(&RESOURCE)), ("scopeMetrics", 2, Of(&SCOPE_METRICS)), ("schemaUrl", 3, Text)]);
static SCOPE_METRICS: Message =
    Message(&[("scope", 1, Of(&SCOPE)), ("metrics", 2, Of(&METRIC)), ("schemaUrl", 3, Text)]);
static METRIC: Message = Message(&[
    ("name", 1, Text),
    ("description", 2, Text),
    ("unit", 3, Text),
    ("gauge", 5, Of(&SUM)),
    ("sum", 7, Of(&SUM)),
    ("histogram", 9, Of(&HISTOGRAM)),
    ("exponentialHistogram", 10, Of(&EXPONENTIAL)),
    ("summary", 11, Of(&SUMMARY)),
]);
static SUM: Message =
    Message(&[("dataPoints", 1, Of(&NUMBER)), ("aggregationTemporality", 2, Int), ("isMonotonic", 3, Bool)]);
static NUMBER: Message = Message(&[
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("asDouble", 4, Double),
    ("exemplars", 5, Of(&EXEMPLAR)),
    ("asInt", 6, Fixed64),
    ("attributes", 7, Of(&ATTRIBUTE)),
    ("flags", 8, Int),
]);
static HISTOGRAM: Message = Message(&[("dataPoints", 1, Of(&HISTOGRAM_POINT)), ("aggregationTemporality", 2, Int)]);
static HISTOGRAM_POINT: Message = Message(&[
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("bucketCounts", 6, Fixed64),
    ("explicitBounds", 7, Double),
    ("exemplars", 8, Of(&EXEMPLAR)),
    ("attributes", 9, Of(&ATTRIBUTE)),
    ("flags", 10, Int),
    ("min", 11, Double),
    ("max", 12, Double),
]);
static EXPONENTIAL: Message = Message(&[("dataPoints", 1, Of(&EXPONENTIAL_POINT)), ("aggregationTemporality", 2, Int)]);
static EXPONENTIAL_POINT: Message = Message(&[
    ("attributes", 1, Of(&ATTRIBUTE)),
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("scale", 6, Sint),
    ("zeroCount", 7, Fixed64),
    ("positive", 8, Of(&BUCKETS)),
    ("negative", 9, Of(&BUCKETS)),
    ("flags", 10, Int),
    ("exemplars", 11, Of(&EXEMPLAR)),
    ("min", 12, Double),
    ("max", 13, Double),
    ("zeroThreshold", 14, Double),
]);
static BUCKETS: Message = Message(&[("offset", 1, Sint), ("bucketCounts", 2, Int)]);
static SUMMARY: Message = Message(&[("dataPoints", 1, Of(&SUMMARY_POINT))]);
static SUMMARY_POINT: Message = Message(&[
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("quantileValues", 6, Of(&QUANTILE)),
    ("attributes", 7, Of(&ATTRIBUTE)),
    ("flags", 8, Int),
]);
static QUANTILE: Message = Message(&[("quantile", 1, Double), ("value", 2, Double)]);
static EXEMPLAR: Message = Message(&[
    ("timeUnixNano", 2, Fixed64),
    ("asDouble", 3, Double),
    ("spanId", 4, Hex),
    ("traceId", 5, Hex),
    ("asInt", 6, Fixed64),
    ("filteredAttributes", 7, Of(&ATTRIBUTE)),
]);

impl Message {
    fn field(&self, key: &str) -> Option<&'static (&'static str, u32, Kind)> {
        self.0.iter().find(|(name, ..)| *name == key).or_else(|| self.0.iter().find(|(name, ..)| is_snake(name, key)))
    }
}

/// Whether `key` is `camel` in snake case.
fn is_snake(camel: &str, key: &str) -> bool {
    let mut key = key.bytes();
    camel.bytes().all(|c| match c.is_ascii_uppercase() {
        true => key.next() == Some(b'_') && key.next() == Some(c.to_ascii_lowercase()),
        false => key.next() == Some(c),
    }) && key.next().is_none()
}

struct MessageSeed<'o>(&'static Message, &'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.0.iter().take(3).map(|(name, ..)| *name).collect();
        write!(f, "an object with {}", names.join(", "))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let MessageSeed(message, out) = self;
        while let Some(key) = map.next_key_seed(KeySeed(message))? {
            match key {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some((name, number, kind)) => {
                    map.next_value_seed(FieldSeed { name, number: *number, kind: *kind, out })?
                }
            }
        }
        Ok(())
    }
}

/// Finds a key's field without keeping its text.
struct KeySeed(&'static Message);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<&'static (&'static str, u32, Kind)>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Option<&'static (&'static str, u32, Kind)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(key))
    }
}

/// A field's value, or for a repeated one the array of them.
struct FieldSeed<'o> {
    name: &'static str,
    number: u32,
    kind: Kind,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl FieldSeed<'_> {
    fn error<E: de::Error>(&self, why: impl fmt::Display) -> E {
        E::custom(format_args!("{}: {why}", self.name))
    }

    fn put_integer(self, value: i128) -> Result<(), ()> {
        let (number, out) = (self.number, self.out);
        match self.kind {
            Int => put_uint(
                out,
                number,
                i64::try_from(value).or_else(|_| u64::try_from(value).map(|v| v as i64)).map_err(drop)? as u64,
            ),
            Sint => {
                let value = i32::try_from(value).map_err(drop)?;
                put_uint(out, number, u64::from(((value << 1) ^ (value >> 31)) as u32));
            }
            Fixed64 => {
                let bits = u64::try_from(value).or_else(|_| i64::try_from(value).map(|v| v as u64)).map_err(drop)?;
                put_varint(out, u64::from(number) << 3 | 1);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            Fixed32 => {
                put_varint(out, u64::from(number) << 3 | 5);
                out.extend_from_slice(&u32::try_from(value).map_err(drop)?.to_le_bytes());
            }
            Double => put_double(out, number, value as f64),
            _ => return Err(()),
        }
        Ok(())
    }

    fn integer<E: de::Error>(self, value: i128) -> Result<(), E> {
        let name = self.name;
        self.put_integer(value).map_err(|()| E::custom(format_args!("{name}: {value} is not expected here")))
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for {}", self.name)
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        match self.kind {
            Bool => put_uint(self.out, self.number, u64::from(value)),
            _ => return Err(self.error("a boolean is not expected here")),
        }
        Ok(())
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        match self.kind {
            Double => put_double(self.out, self.number, value),
            // 1e3 is a whole number, too.
            _ if value.fract() == 0.0 && value.abs() < 9e15 => return self.integer(value as i128),
            _ => return Err(self.error("a fraction is not expected here")),
        }
        Ok(())
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        match self.kind {
            Text => put_bytes(self.out, self.number, text.as_bytes()),
            Base64 => {
                let bytes = from_base64(text).ok_or_else(|| self.error("not base64"))?;
                put_bytes(self.out, self.number, &bytes);
            }
            Hex => {
                let bytes = from_hex(text).ok_or_else(|| self.error("not hexadecimal digits"))?;
                put_bytes(self.out, self.number, &bytes);
            }
            Double => {
                let value = text.parse().map_err(|_| self.error(format_args!("{text:?} is not a number")))?;
                put_double(self.out, self.number, value);
            }
            Bool | Of(_) => return Err(self.error("text is not expected here")),
            Int | Sint | Fixed64 | Fixed32 => {
                let value = text.parse::<i128>().map_err(|_| self.error(format_args!("{text:?} is not an integer")))?;
                return self.integer(value);
            }
        }
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Of(message) = self.kind else { return Err(self.error("an object is not expected here")) };
        put_varint(self.out, u64::from(self.number) << 3 | 2);
        let start = self.out.len();
        self.out.extend_from_slice(&[0; LEN_BYTES]);
        MessageSeed(message, self.out).visit_map(map)?;
        let len = self.out.len() - start - LEN_BYTES;
        let room = self.out.get_mut(start..start + LEN_BYTES).unwrap_or_default();
        for (at, byte) in room.iter_mut().enumerate() {
            *byte = (len >> (7 * at)) as u8 & 0x7f | if at + 1 < LEN_BYTES { 0x80 } else { 0 };
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let FieldSeed { name, number, kind, out } = self;
        while seq.next_element_seed(FieldSeed { name, number, kind, out: &mut *out })?.is_some() {}
        Ok(())
    }
}

/// A message's length is known when it is written; so there is room for one of up to 32 GiB, as a padded varint.
const LEN_BYTES: usize = 5;

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}
