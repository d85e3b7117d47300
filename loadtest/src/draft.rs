//! A protobuf body in the making, with holes of fixed size for what differs each time it is sent.

use std::fmt;

/// Bytes and the places in them that are filled in later.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft {
    pub bytes: Vec<u8>,
    /// In the order of their places, never overlapping.
    pub holes: Vec<Hole>,
}

/// A place to be filled in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hole {
    pub at: u32,
    pub len: u16,
    /// What the corpus puts here.
    pub field: u8,
    /// The row of the body to which it belongs.
    pub row: u32,
}

impl Draft {
    /// Leaves `len` bytes open.
    pub fn hole(&mut self, row: u32, field: u8, len: usize) {
        self.holes.push(Hole { at: self.bytes.len() as u32, len: len as u16, field, row });
        self.bytes.resize(self.bytes.len() + len, b'?');
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A number in field `field`.
    pub fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3);
        self.varint(value);
    }

    /// A string or bytes in field `field`.
    pub fn string(&mut self, field: u32, text: &str) {
        self.length(field, text.len());
        self.text(text);
    }

    /// A message in field `field`, with its holes.
    pub fn message(&mut self, field: u32, inner: &Draft) {
        self.length(field, inner.bytes.len());
        let start = self.bytes.len() as u32;
        self.holes.extend(inner.holes.iter().map(|hole| Hole { at: hole.at + start, ..*hole }));
        self.raw(&inner.bytes);
    }

    /// Fills every hole by `fill(hole, slot)`.
    pub fn filled(mut self, mut fill: impl FnMut(Hole, &mut [u8])) -> Vec<u8> {
        for hole in self.holes {
            let at = hole.at as usize;
            fill(hole, &mut self.bytes[at..at + usize::from(hole.len)]);
        }
        self.bytes
    }

    fn length(&mut self, field: u32, len: usize) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(len as u64);
    }
}

impl fmt::Write for Draft {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}

/// Writes `value` as a varint that fills `out`: the caller knows that it takes exactly that many bytes.
pub fn fill_varint(mut value: u64, out: &mut [u8]) {
    let last = out.len() - 1;
    for byte in &mut out[..last] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    debug_assert!(value > 0 && value < 0x80, "the number takes another length");
    out[last] = value as u8;
}
