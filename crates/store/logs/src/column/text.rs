//! Lists of byte strings: pages of text columns, and the entries of dictionaries.

use crate::error::Error;
use crate::frame::{self, Compressor};
use crate::varint::{self, Cursor};
use memchr::memmem::Finder;

/// Values end with a newline, because none has one inside.
const LINES: u8 = 0;
/// A length before each value.
const LENGTHS: u8 = 1;

/// Appends a list: how values are told apart, then the packed bytes.
pub fn pack<'a>(
    values: impl Iterator<Item = &'a [u8]> + Clone,
    compressor: &mut Compressor,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    scratch.clear();
    let mut newline = false;
    for value in values.clone() {
        newline |= memchr::memchr(b'\n', value).is_some();
        scratch.extend_from_slice(value);
        scratch.push(b'\n');
    }
    if newline {
        scratch.clear();
        for value in values.clone() {
            varint::put(scratch, value.len() as u64);
        }
        values.for_each(|value| scratch.extend_from_slice(value));
    }
    out.push(if newline { LENGTHS } else { LINES });
    compressor.pack(out, scratch)
}

/// A list in memory.
#[derive(Debug, Default, Clone)]
pub struct Texts {
    text: Vec<u8>,
    /// Where each value starts and ends.
    spans: Vec<(u32, u32)>,
}

impl Texts {
    /// Reads what `pack` wrote of `count` values.
    pub fn unpack(data: &[u8], count: usize) -> Result<Texts, Error> {
        let (kind, packed) = data.split_first().ok_or(Error::Corrupt { why: "a list of texts is empty" })?;
        let text = frame::unpack(packed)?;
        // Each value takes at least a byte.
        if count > text.len() {
            return Err(Error::corrupt("a list has fewer texts than stated"));
        }
        let mut spans = Vec::with_capacity(count);
        match *kind {
            LINES => {
                let mut start = 0;
                for end in memchr::memchr_iter(b'\n', &text) {
                    spans.push((start, end as u32));
                    start = end as u32 + 1;
                }
                if start as usize != text.len() {
                    return Err(Error::corrupt("a list of texts does not end with an end"));
                }
            }
            LENGTHS => {
                let mut cursor = Cursor(&text);
                let lengths = (0..count).map(|_| cursor.varint()).collect::<Result<Vec<_>, _>>()?;
                let mut start = (text.len() - cursor.0.len()) as u64;
                for len in lengths {
                    let end = start.saturating_add(len);
                    if end > text.len() as u64 {
                        return Err(Error::corrupt("a list of texts ends too early"));
                    }
                    spans.push((start as u32, end as u32));
                    start = end;
                }
            }
            _ => return Err(Error::corrupt("a list of texts is written in an unknown way")),
        }
        if spans.len() != count {
            return Err(Error::corrupt("a list has another number of texts than stated"));
        }
        Ok(Texts { text, spans })
    }

    /// Adds the places of the values that contain a text, ascending.
    pub fn containing(&self, finder: &Finder<'_>, found: &mut Vec<usize>) {
        let (mut from, mut place) = (0, 0);
        while let Some(hit) = self.text.get(from..).and_then(|rest| finder.find(rest)).map(|hit| from + hit) {
            place += self.spans[place..].partition_point(|(_, end)| (*end as usize) < hit + finder.needle().len());
            let Some((start, end)) = self.spans.get(place) else { return };
            if *start as usize <= hit {
                found.push(place);
                from = *end as usize;
                place += 1;
            } else {
                // Across two values, or before the first one.
                from = hit + 1;
            }
        }
    }

    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let (start, end) = *self.spans.get(at)?;
        self.text.get(start as usize..end as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back() {
        let mut compressor = Compressor::new().expect("a context");
        for values in [vec![], vec![""], vec!["a", "", "b\nc", "d"], vec!["same"; 5000], vec!["\n", "\n\n"]] {
            let mut out = Vec::new();
            let bytes = values.iter().map(|v| v.as_bytes());
            pack(bytes, &mut compressor, &mut Vec::new(), &mut out).expect("packs");
            let texts = Texts::unpack(&out, values.len()).expect("unpacks");
            assert_eq!(texts.get(values.len()), None);
            for (at, value) in values.iter().enumerate() {
                assert_eq!(texts.get(at), Some(value.as_bytes()));
            }
            for needle in ["a", "\n", "c\nd", "same", "zz"] {
                let has = |value: &&str| value.contains(needle);
                let want: Vec<usize> = values.iter().enumerate().filter(|(_, v)| has(v)).map(|(at, _)| at).collect();
                let mut found = Vec::new();
                texts.containing(&Finder::new(needle), &mut found);
                assert_eq!(found, want, "{needle:?} in {values:?}");
            }
            assert!(Texts::unpack(&out, values.len() + 1).is_err());
            for len in 0..out.len() {
                let _ = Texts::unpack(&out[..len], values.len());
            }
        }
    }
}
