//! Numbers to bytes and back: varints, zigzag, and a cursor that never reads past its end.

use crate::error::{Error, corrupt};

pub fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Small numbers of either sign become small numbers.
pub fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

pub fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

pub fn put_signed(out: &mut Vec<u8>, n: i64) {
    put_varint(out, zigzag(n));
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The whole number that a float is, if it is one below 2^53 in size and not minus zero.
pub fn as_int(bits: u64) -> Option<i64> {
    const EXACT: i64 = 1 << 53;
    let whole = f64::from_bits(bits) as i64;
    ((whole as f64).to_bits() == bits && -EXACT < whole && whole < EXACT).then_some(whole)
}

/// Reads from the front of a slice.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    data: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(data: &'a [u8]) -> Cursor<'a> {
        Cursor { data }
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        match self.data.split_first() {
            Some((&byte, rest)) => {
                self.data = rest;
                Ok(byte)
            }
            None => corrupt("it ends too early"),
        }
    }

    pub fn varint(&mut self) -> Result<u64, Error> {
        let mut n = 0u64;
        for (at, &byte) in self.data.iter().enumerate().take(10) {
            n |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.data = &self.data[at + 1..];
                return Ok(n);
            }
        }
        corrupt("a number has no end")
    }

    pub fn signed(&mut self) -> Result<i64, Error> {
        self.varint().map(unzigzag)
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        u32::try_from(self.varint()?).map_err(|_| Error::Corrupt { why: "a number is too large" })
    }

    /// A count of things of which each takes at least `each` of the bytes that follow.
    pub fn count(&mut self, each: usize) -> Result<usize, Error> {
        let n = self.varint()?;
        match usize::try_from(n) {
            Ok(n) if n.checked_mul(each).is_some_and(|bytes| bytes <= self.data.len()) => Ok(n),
            _ => corrupt("a count is larger than what follows"),
        }
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        match self.data.split_at_checked(len) {
            Some((taken, rest)) => {
                self.data = rest;
                Ok(taken)
            }
            None => corrupt("it ends too early"),
        }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub fn u64_le(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn u32_le(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let len = self.count(1)?;
        self.take(len)
    }

    pub fn text(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::Corrupt { why: "a text is not UTF-8" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for n in [0, 1, -1, 63, -64, 64, 300, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_signed(&mut out, n);
            let mut cursor = Cursor::new(&out);
            assert_eq!(cursor.signed().expect("reads"), n);
            assert!(cursor.is_empty());
        }
    }

    #[test]
    fn foreign_bytes_are_errors() {
        assert!(Cursor::new(&[0xff; 11]).varint().is_err());
        assert!(Cursor::new(&[0x80]).varint().is_err());
        assert!(Cursor::new(&[5, 1]).bytes().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).count(8).is_err());
        assert!(Cursor::new(&[1, 0xff]).text().is_err());
    }

    #[test]
    fn whole_numbers_are_known() {
        let cases = [
            (0.0, Some(0)),
            (-0.0, None),
            (3.0, Some(3)),
            (-7.0, Some(-7)),
            (0.5, None),
            (1e300, None),
            (f64::NAN, None),
        ];
        for (value, want) in cases {
            assert_eq!(as_int(value.to_bits()), want, "{value}");
        }
    }
}
