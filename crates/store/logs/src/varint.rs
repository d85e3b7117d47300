//! Numbers of variable length, and a cursor over bytes that never reads past their end.

use crate::error::Error;

/// Appends seven bits a byte, the lowest first; the high bit says that more follow.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number: small magnitudes of either sign are short.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads from the front of a slice.
#[derive(Clone, Copy)]
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.0.split_first().ok_or(END)?;
        self.0 = rest;
        Ok(*first)
    }

    pub fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::corrupt("a number has more than ten bytes"))
    }

    pub fn signed(&mut self) -> Result<i64, Error> {
        self.varint().map(unzigzag)
    }

    /// A number that counts things in memory.
    pub fn count(&mut self, limit: usize) -> Result<usize, Error> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(value) if value <= limit => Ok(value),
            _ => Err(Error::corrupt("a count is larger than what it counts can be")),
        }
    }

    /// A count of things that each take at least one byte of what is left.
    pub fn items(&mut self) -> Result<usize, Error> {
        let limit = self.0.len();
        self.count(limit)
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(END)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A length and the bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let len = self.items()?;
        self.take(len)
    }
}

const END: Error = Error::Corrupt { why: "the data ends too early" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, -1, 63, 64, -64, -65, 1 << 40, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            put(&mut out, value as u64);
            let mut cursor = Cursor(&out);
            assert_eq!(cursor.signed().ok(), Some(value));
            assert_eq!(cursor.varint().ok(), Some(value as u64));
            assert!(cursor.is_empty());
        }
    }

    #[test]
    fn bad_numbers_are_errors() {
        assert!(Cursor(&[0x80]).varint().is_err());
        assert!(Cursor(&[0xff; 11]).varint().is_err());
        assert!(Cursor(&[5, 1, 2]).bytes().is_err());
        assert!(Cursor(&[]).byte().is_err());
    }
}
