//! What lines have in common: literal texts, and between them slots whose ends are found by looking at the line.

use crate::column::Span;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How the end of a slot is found. Whatever is found, the line comes back exactly: a slot holds the text between two
/// literals, as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Inside of a JSON string: up to the next quote that is not escaped.
    Quoted,
    /// A JSON number or name: up to a comma, bracket or space.
    Bare,
    /// A JSON array with all that is in it.
    Array,
    /// A word of a text: up to a delimiter.
    Word,
    /// A date and time of day.
    Time,
    /// All the rest of the line.
    Rest,
}

#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub class: Class,
    /// Slots with one key share a column.
    pub key: u64,
}

/// A line taken apart for the first time: its slots, in order. What is between them is literal.
#[derive(Default)]
pub struct Draft {
    slots: Vec<(Span, Slot)>,
}

impl Draft {
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    pub fn slot(&mut self, start: usize, end: usize, class: Class, key: u64) {
        self.slots.push(((start as u32, end as u32), Slot { class, key }));
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn set_key(&mut self, at: usize, key: u64) {
        self.slots[at].1.key = key;
    }

    /// Of literals and classes.
    pub fn hash(&self, line: &[u8]) -> u64 {
        let mut hash = 0u64;
        let mut start = 0;
        for ((slot, end), what) in &self.slots {
            hash = xxh3_64_with_seed(&line[start..*slot as usize], hash.wrapping_add(what.class as u64 + 1));
            start = *end as usize;
        }
        xxh3_64_with_seed(&line[start..], hash)
    }
}

pub struct Template {
    pub hash: u64,
    /// Literals, one after the other: one before each slot, and one at the end.
    literals: Vec<u8>,
    ends: Vec<u32>,
    pub slots: Vec<Slot>,
    /// Of the row group in which it was last used: which, its number there, its columns, and how often.
    pub epoch: u32,
    pub local: u32,
    pub columns: Vec<u32>,
    pub uses: u32,
}

impl Template {
    pub fn new(line: &[u8], draft: &Draft, hash: u64) -> Template {
        let (mut literals, mut ends) = (Vec::new(), Vec::new());
        let mut start = 0;
        for ((slot, end), _) in &draft.slots {
            literals.extend_from_slice(&line[start..*slot as usize]);
            ends.push(literals.len() as u32);
            start = *end as usize;
        }
        literals.extend_from_slice(&line[start..]);
        ends.push(literals.len() as u32);
        let slots = draft.slots.iter().map(|(_, slot)| *slot).collect();
        Template { hash, literals, ends, slots, epoch: 0, local: 0, columns: Vec::new(), uses: 0 }
    }

    /// The literals in order: one more than slots.
    pub fn literals(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| {
            let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
            &self.literals[start..self.ends[at] as usize]
        })
    }

    /// Whether a line has this template; `spans` then has the values of its slots.
    pub fn take(&self, line: &[u8], spans: &mut Vec<Span>) -> bool {
        spans.clear();
        let (mut at, mut literal) = (0usize, 0usize);
        for (slot, end) in self.slots.iter().zip(&self.ends) {
            let text = &self.literals[literal..*end as usize];
            literal = *end as usize;
            if !starts_with(line, at, text) {
                return false;
            }
            at += text.len();
            let Some(stop) = slot.class.end(line, at) else { return false };
            spans.push((at as u32, stop as u32));
            at = stop;
        }
        line[at..] == self.literals[literal..]
    }
}

#[inline]
fn starts_with(line: &[u8], at: usize, text: &[u8]) -> bool {
    match line.get(at..at + text.len()) {
        Some(part) => equal(part, text),
        None => false,
    }
}

/// Whether two slices of one length are equal. Literals are short: a call to compare memory costs more than the loop.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    let (a_chunks, a_rest) = a.as_chunks::<8>();
    let (b_chunks, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        if u64::from_le_bytes(*a) != u64::from_le_bytes(*b) {
            return false;
        }
    }
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(a), Some(b)) => u64::from_le_bytes(*a) == u64::from_le_bytes(*b),
        _ => a_rest.iter().zip(b_rest).all(|(a, b)| a == b),
    }
}

impl Class {
    /// Where a slot that starts at `at` ends.
    #[inline]
    pub fn end(self, line: &[u8], at: usize) -> Option<usize> {
        match self {
            Class::Quoted => quoted_end(line, at),
            Class::Bare => {
                // A string or an array in its place is another shape.
                if matches!(line.get(at), Some(b'"' | b'[' | b'{')) {
                    return None;
                }
                let len = line[at..].iter().position(|b| BARE_ENDS[usize::from(*b)]).unwrap_or(line.len() - at);
                (len > 0).then_some(at + len)
            }
            Class::Array => array_end(line, at),
            Class::Word => {
                let len = line[at..].iter().position(|b| DELIMITERS[usize::from(*b)]).unwrap_or(line.len() - at);
                (len > 0).then_some(at + len)
            }
            Class::Time => {
                let len = crate::column::form::TimeForm::measure(&line[at..]);
                (len > 0).then_some(at + len)
            }
            Class::Rest => Some(line.len()),
        }
    }
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The place of the next quote that no backslash escapes.
#[inline]
pub fn quoted_end(line: &[u8], mut at: usize) -> Option<usize> {
    loop {
        // Eight bytes at a time: the lowest set bit marks the first quote or backslash.
        while let Some(chunk) = line.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            let (quote, escape) = (word ^ (LOW * b'"' as u64), word ^ (LOW * b'\\' as u64));
            let found = (quote.wrapping_sub(LOW) & !quote | escape.wrapping_sub(LOW) & !escape) & HIGH;
            if found != 0 {
                at += found.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match line.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The place after the bracket that closes the array at `at`.
pub fn array_end(line: &[u8], mut at: usize) -> Option<usize> {
    if line.get(at) != Some(&b'[') {
        return None;
    }
    let mut depth = 0usize;
    loop {
        match line.get(at)? {
            b'"' => at = quoted_end(line, at + 1)?,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

const fn table(bytes: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
}

/// What ends a JSON number or name.
pub const BARE_ENDS: [bool; 256] = table(b",]} \t\r\n");
/// What is between the words of a text.
pub const DELIMITERS: [bool; 256] = table(b" \t\r\n\"'()[]{}<>=,;|");
