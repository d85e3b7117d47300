//! The symbol table of a body of remote write 2.0 while it is written.

use crate::protobuf::put_bytes;
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// A symbol's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol(pub u32);

/// Strings, each once. The first is the empty one.
#[derive(Debug)]
pub struct Symbols {
    text: String,
    /// Where each one ends.
    ends: Vec<usize>,
    table: HashTable<u32>,
    /// Seeded: the strings come from outside.
    hasher: RandomState,
}

impl Symbols {
    pub const EMPTY: Symbol = Symbol(0);

    pub fn new() -> Symbols {
        let mut symbols =
            Symbols { text: String::new(), ends: Vec::new(), table: HashTable::new(), hasher: RandomState::new() };
        symbols.of("");
        symbols
    }

    pub fn of(&mut self, text: &str) -> Symbol {
        let Symbols { text: all, ends, table, hasher } = self;
        let hash = hasher.hash_one(text);
        if let Some(at) = table.find(hash, |at| get(all, ends, *at) == text) {
            return Symbol(*at);
        }
        let at = u32::try_from(ends.len()).unwrap_or(u32::MAX); // a body of so many is over any limit before
        all.push_str(text);
        ends.push(all.len());
        table.insert_unique(hash, at, |at| hasher.hash_one(get(all, ends, *at)));
        Symbol(at)
    }

    pub fn text(&self, symbol: Symbol) -> &str {
        get(&self.text, &self.ends, symbol.0)
    }

    /// Bytes that the table has about when it is written.
    pub fn len(&self) -> usize {
        self.text.len() + 3 * self.ends.len()
    }

    pub fn write(&self, out: &mut Vec<u8>, number: u32) {
        for at in 0..self.ends.len() as u32 {
            put_bytes(out, number, get(&self.text, &self.ends, at).as_bytes());
        }
    }
}

fn get<'t>(text: &'t str, ends: &[usize], at: u32) -> &'t str {
    let at = at as usize;
    let start = at.checked_sub(1).map_or(0, |before| ends[before]);
    &text[start..ends[at]]
}
