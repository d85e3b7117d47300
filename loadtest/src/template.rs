//! A body compressed once: sending it again copies it and fills its holes in the compressed bytes.
//!
//! Compressing bodies afresh costs more than a good server needs to store them, so a generator that did it would
//! measure itself. In Snappy's raw format literals are plain bytes; an encoder that keeps holes within literals, and
//! never copies from a hole, makes a stream in which holes can be rewritten at will.

use crate::draft::{Draft, Hole};
use bytes::Bytes;

/// A compressed body with holes.
#[derive(Debug, Clone)]
pub struct Template {
    compressed: Vec<u8>,
    /// Their places are in `compressed`.
    holes: Vec<Hole>,
    /// Bytes once it is decompressed.
    pub raw_len: usize,
}

const HASH_BITS: u32 = 14;
const MAX_OFFSET: usize = u16::MAX as usize;

impl Template {
    pub fn new(draft: &Draft) -> Template {
        let mut writer = Writer { raw: &draft.bytes, open: &draft.holes, holes: Vec::new(), out: Vec::new(), done: 0 };
        writer.compress();
        let Writer { holes, out, .. } = writer;
        Template { compressed: out, holes, raw_len: draft.bytes.len() }
    }

    /// A body to send.
    pub fn fill(&self, mut fill: impl FnMut(Hole, &mut [u8])) -> Bytes {
        let mut body = self.compressed.clone();
        for hole in &self.holes {
            let at = hole.at as usize;
            fill(*hole, &mut body[at..at + usize::from(hole.len)]);
        }
        body.into()
    }

    pub fn compressed_len(&self) -> usize {
        self.compressed.len()
    }
}

struct Writer<'a> {
    raw: &'a [u8],
    /// Holes of `raw` that are not yet written.
    open: &'a [Hole],
    holes: Vec<Hole>,
    out: Vec<u8>,
    /// How much of `raw` is written.
    done: usize,
}

impl Writer<'_> {
    fn compress(&mut self) {
        let room = room(self.raw, self.open);
        let mut len = Draft::default();
        len.varint(self.raw.len() as u64);
        self.out.extend_from_slice(&len.bytes);
        let mut table = vec![0u32; 1 << HASH_BITS]; // a position + 1
        let mut at = 0;
        while at < self.raw.len() {
            if room[at] < 4 {
                at += 1;
                continue;
            }
            let word = u32::from_le_bytes(std::array::from_fn(|i| self.raw[at + i]));
            let slot = &mut table[(word.wrapping_mul(0x1e35_a7bd) >> (32 - HASH_BITS)) as usize];
            let from = (*slot as usize).wrapping_sub(1);
            *slot = at as u32 + 1;
            let matched = if from < at && at - from <= MAX_OFFSET { self.matching(from, at, &room) } else { 0 };
            if matched < 4 {
                at += 1;
                continue;
            }
            self.literal(at);
            self.copy(at - from, matched);
            at += matched;
            self.done = at;
        }
        self.literal(self.raw.len());
    }

    /// How many bytes are equal at both places, holes excluded.
    fn matching(&self, from: usize, at: usize, room: &[u16]) -> usize {
        let limit = usize::from(room[from].min(room[at]));
        (0..limit).take_while(|i| self.raw[from + i] == self.raw[at + i]).count()
    }

    /// Writes what is not written up to `end`; every hole on the way lies in it as a whole.
    fn literal(&mut self, end: usize) {
        let text = &self.raw[self.done..end];
        let Some(len) = text.len().checked_sub(1) else { return };
        match len {
            0..60 => self.out.push((len as u8) << 2),
            60..0x100 => self.out.extend_from_slice(&[60 << 2, len as u8]),
            0x100..0x1_0000 => self.out.extend_from_slice(&[61 << 2, len as u8, (len >> 8) as u8]),
            _ => self.out.extend_from_slice(&[
                63 << 2,
                len as u8,
                (len >> 8) as u8,
                (len >> 16) as u8,
                (len >> 24) as u8,
            ]),
        }
        let inside = self.open.partition_point(|hole| (hole.at as usize) < end);
        let (now, later) = self.open.split_at(inside);
        let (start, done) = (self.out.len(), self.done);
        self.holes.extend(now.iter().map(|hole| Hole { at: (hole.at as usize - done + start) as u32, ..*hole }));
        self.open = later;
        self.out.extend_from_slice(text);
        self.done = end;
    }

    fn copy(&mut self, offset: usize, mut len: usize) {
        while len > 0 {
            let part = len.min(64);
            if (4..12).contains(&part) && offset < 2048 {
                self.out.extend_from_slice(&[1 | (part as u8 - 4) << 2 | ((offset >> 8) as u8) << 5, offset as u8]);
            } else {
                self.out.extend_from_slice(&[2 | (part as u8 - 1) << 2, offset as u8, (offset >> 8) as u8]);
            }
            len -= part;
        }
    }
}

/// For each byte, how many follow (itself included) before the next hole or the end; 0 within a hole.
fn room(raw: &[u8], holes: &[Hole]) -> Vec<u16> {
    let mut room = vec![0u16; raw.len()];
    let mut holes = holes.iter().rev().peekable();
    let mut free: u16 = 0;
    let mut at = raw.len();
    while at > 0 {
        if let Some(hole) = holes.peek()
            && hole.at as usize + usize::from(hole.len) == at
        {
            at = hole.at as usize;
            free = 0;
            holes.next();
            continue;
        }
        at -= 1;
        free = free.saturating_add(1);
        room[at] = free;
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(draft: &Draft) {
        let fill = |hole: Hole, slot: &mut [u8]| slot.fill(hole.row as u8 ^ hole.field);
        let template = Template::new(draft);
        let body = snap::raw::Decoder::new().decompress_vec(&template.fill(fill)).expect("is snappy");
        assert_eq!(body.len(), template.raw_len);
        assert_eq!(body, draft.clone().filled(fill));
    }

    #[test]
    fn repetitive_text_shrinks() {
        let mut draft = Draft::default();
        for row in 0..500 {
            draft.text("{\"level\":\"info\",\"path\":\"/simple/requests/\",\"id\":\"");
            draft.hole(row, 1, 36);
            draft.text("\"}\n");
        }
        check(&draft);
        let (raw, packed) = (draft.bytes.len(), Template::new(&draft).compressed_len());
        assert!(packed < raw * 6 / 10, "{raw} bytes became {packed}");
        let long = Draft { bytes: vec![b'a'; 200_000], holes: vec![] };
        check(&long);
        check(&Draft { bytes: crate::seed::Rng::new(&[1]).hex(150_000).into_bytes(), holes: vec![] });
        let mut noise = crate::seed::Rng::new(&[2]);
        let mut literal = Draft { bytes: (0..70_000).map(|_| noise.draw() as u8).collect(), holes: vec![] };
        literal.hole(9, 9, 20);
        check(&literal);
        check(&Draft::default());
    }

    proptest! {
        #[test]
        fn holes_are_found_again(parts in prop::collection::vec(("[ab]{0,40}", 0usize..40), 0..60)) {
            let mut draft = Draft::default();
            for (row, (text, hole)) in parts.iter().enumerate() {
                draft.text(text);
                if *hole > 0 {
                    draft.hole(row as u32, 3, *hole);
                }
            }
            check(&draft);
        }
    }
}
