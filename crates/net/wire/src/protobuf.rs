//! Reads and writes protobuf fields in place: a cursor over one message, without a schema and without allocation.
//!
//! Groups, field number 0, varints over ten bytes and lengths past the end are refused. Which fields are known is the
//! caller's business; it skips the others by ignoring them.

use crate::error::DecodeError;

/// A cursor over the fields of one message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    pub number: u32,
    pub value: Value<'a>,
}

/// A field's value by its wire type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

const WRONG_TYPE: DecodeError = DecodeError::Protobuf { why: "a field has another wire type than its schema says" };

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field, or `None` at the end. After an error the cursor stands at the end.
    #[inline]
    pub fn read(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        field.map(Some)
    }

    #[inline]
    fn field(&mut self) -> Result<Field<'a>, DecodeError> {
        let tag = varint(&mut self.rest)?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        let number = number.ok_or(DecodeError::Protobuf { why: "a field number is out of range" })?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(array(&mut self.rest)?)),
            2 => Value::Bytes(delimited(&mut self.rest)?),
            5 => Value::Fixed32(u32::from_le_bytes(array(&mut self.rest)?)),
            3 | 4 => return Err(DecodeError::Protobuf { why: "groups are not read" }),
            _ => return Err(DecodeError::Protobuf { why: "a wire type is not known" }),
        };
        Ok(Field { number, value })
    }
}

/// Yields the fields; ends after the first error.
impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, DecodeError>;
    #[inline]
    fn next(&mut self) -> Option<Result<Field<'a>, DecodeError>> {
        self.read().transpose()
    }
}

impl<'a> Field<'a> {
    #[inline]
    pub fn varint(&self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(WRONG_TYPE),
        }
    }

    /// An `int64`.
    #[inline]
    pub fn int(&self) -> Result<i64, DecodeError> {
        self.varint().map(|value| value as i64)
    }

    /// A `uint32`; protobuf keeps the low 32 bits of a longer varint.
    #[inline]
    pub fn uint32(&self) -> Result<u32, DecodeError> {
        self.varint().map(|value| value as u32)
    }

    /// A `sint32`.
    pub fn sint32(&self) -> Result<i32, DecodeError> {
        self.varint().map(|value| zigzag(u64::from(value as u32)) as i32)
    }

    #[inline]
    pub fn double(&self) -> Result<f64, DecodeError> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(WRONG_TYPE),
        }
    }

    #[inline]
    pub fn fixed64(&self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Fixed64(bits) => Ok(bits),
            _ => Err(WRONG_TYPE),
        }
    }

    #[inline]
    pub fn fixed32(&self) -> Result<u32, DecodeError> {
        match self.value {
            Value::Fixed32(bits) => Ok(bits),
            _ => Err(WRONG_TYPE),
        }
    }

    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(WRONG_TYPE),
        }
    }

    #[inline]
    pub fn text(&self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Utf8)
    }

    /// The fields of a message within the message.
    #[inline]
    pub fn message(&self) -> Result<Fields<'a>, DecodeError> {
        self.bytes().map(Fields::new)
    }

    /// Calls `each` for every number of a repeated varint field, packed or not.
    pub fn varints(&self, mut each: impl FnMut(u64) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        match self.value {
            Value::Varint(value) => each(value),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    each(varint(&mut packed)?)?;
                }
                Ok(())
            }
            _ => Err(WRONG_TYPE),
        }
    }

    /// Calls `each` for every number of a repeated double field, packed or not.
    pub fn doubles(&self, mut each: impl FnMut(f64)) -> Result<(), DecodeError> {
        self.fixed64s(|bits| each(f64::from_bits(bits)))
    }

    /// Calls `each` for every number of a repeated fixed64 field, packed or not.
    pub fn fixed64s(&self, mut each: impl FnMut(u64)) -> Result<(), DecodeError> {
        match self.value {
            Value::Fixed64(bits) => each(bits),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    each(u64::from_le_bytes(array(&mut packed)?));
                }
            }
            _ => return Err(WRONG_TYPE),
        }
        Ok(())
    }
}

/// Reads a varint of at most ten bytes that fits 64 bits.
#[inline]
pub fn varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    match *rest {
        [byte, tail @ ..] if *byte < 0x80 => {
            *rest = tail;
            Ok(u64::from(*byte))
        }
        [low, high, tail @ ..] if *high < 0x80 => {
            *rest = tail;
            Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0u64;
    for (at, byte) in rest.iter().take(10).enumerate() {
        if at == 9 && *byte > 1 {
            return Err(DecodeError::Protobuf { why: "a varint has more than 64 bits" });
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            *rest = &rest[at + 1..];
            return Ok(value);
        }
    }
    Err(DecodeError::Truncated)
}

#[inline]
fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let len = usize::try_from(varint(rest)?).map_err(|_| DecodeError::Truncated)?;
    let (bytes, tail) = rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
    *rest = tail;
    Ok(bytes)
}

#[inline]
fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (bytes, tail) = rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
    *rest = tail;
    Ok(*bytes)
}

/// Undoes the zigzag of `sint32` and `sint64`.
#[inline]
pub fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The zigzag of `sint32` and `sint64`.
pub fn zigzagged(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a varint field, zero included.
pub fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Writes a `sint32` or `sint64` field, zero included.
pub fn put_sint(out: &mut Vec<u8>, number: u32, value: i64) {
    put_uint(out, number, zigzagged(value));
}

/// Writes a double field, zero included.
pub fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Writes a packed field of doubles; nothing if there are none.
pub fn put_doubles(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    if !values.is_empty() {
        put_varint(out, u64::from(number) << 3 | 2);
        put_varint(out, 8 * values.len() as u64);
        values.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
    }
}

/// Writes a string, bytes or message field.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_fields_are_refused() {
        for (bytes, why) in [
            (&[0x08][..], "ends too early"),
            (&[0x80], "ends too early"),
            (&[0x0a, 2, 1], "ends too early"),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "ends too early"),
            (&[0x09, 1, 2, 3, 4, 5, 6, 7], "ends too early"),
            (&[0x0d, 1, 2, 3], "ends too early"),
            (&[0x00, 1], "field number"),
            (&[0x0b], "groups"),
            (&[0x0c], "groups"),
            (&[0x0e], "wire type"),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "64 bits"),
            (&[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80], "64 bits"),
        ] {
            let mut fields = Fields::new(bytes);
            let error = fields.read().expect_err("refused").to_string();
            assert!(error.contains(why), "{bytes:?}: {error}");
            assert_eq!(fields.read(), Ok(None), "{bytes:?}: nothing follows an error");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 1u32..1000, varint: u64, bits: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_uint(&mut out, number, varint);
            put_double(&mut out, number, f64::from_bits(bits));
            put_bytes(&mut out, number, &bytes);
            let mut fields = Fields::new(&out);
            prop_assert_eq!(fields.read(), Ok(Some(Field { number, value: Value::Varint(varint) })));
            prop_assert_eq!(fields.read(), Ok(Some(Field { number, value: Value::Fixed64(bits) })));
            prop_assert_eq!(fields.read(), Ok(Some(Field { number, value: Value::Bytes(&bytes) })));
            prop_assert_eq!(fields.read(), Ok(None));
        }

        #[test]
        fn arbitrary_bytes_end(bytes: Vec<u8>) {
            prop_assert!(Fields::new(&bytes).count() <= bytes.len());
        }

        #[test]
        fn zigzag_is_undone(value: i64) {
            prop_assert_eq!(zigzag(((value << 1) ^ (value >> 63)) as u64), value);
        }
    }
}
