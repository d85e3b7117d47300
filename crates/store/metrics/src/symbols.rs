//! Label names and values, each kept once for all series of a head.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Numbers texts. A number is used again once nothing refers to its text.
#[derive(Default)]
pub struct Symbols {
    table: HashTable<u32>,
    entries: Vec<Symbol>,
    free: Vec<u32>,
    text_bytes: usize,
}

#[derive(Default)]
struct Symbol {
    text: Box<str>,
    references: u32,
}

impl Symbols {
    /// The number of a text, with one more reference to it.
    pub fn acquire(&mut self, text: &str) -> u32 {
        let hash = xxh3_64(text.as_bytes());
        if let Some(&found) = self.table.find(hash, |&at| *self.entries[at as usize].text == *text) {
            self.entries[found as usize].references += 1;
            return found;
        }
        let symbol = Symbol { text: text.into(), references: 1 };
        self.text_bytes += text.len();
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = symbol;
                at
            }
            None => {
                self.entries.push(symbol);
                (self.entries.len() - 1) as u32
            }
        };
        let entries = &self.entries;
        self.table.insert_unique(hash, at, |&at| xxh3_64(entries[at as usize].text.as_bytes()));
        at
    }

    /// Takes one reference back.
    pub fn release(&mut self, at: u32) {
        let symbol = &mut self.entries[at as usize];
        symbol.references -= 1;
        if symbol.references == 0 {
            let text = std::mem::take(&mut symbol.text);
            self.text_bytes -= text.len();
            if let Ok(found) = self.table.find_entry(xxh3_64(text.as_bytes()), |&other| other == at) {
                found.remove();
            }
            self.free.push(at);
        }
    }

    /// The number of a text that some series has.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.table.find(xxh3_64(text.as_bytes()), |&at| *self.entries[at as usize].text == *text).copied()
    }

    pub fn text(&self, at: u32) -> &str {
        &self.entries[at as usize].text
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn memory_bytes(&self) -> usize {
        // Each text is an allocation of its own, of which the allocator rounds up the size.
        self.text_bytes + self.len() * 12 + self.entries.capacity() * size_of::<Symbol>() + self.table.capacity() * 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shared_and_used_again() {
        let mut symbols = Symbols::default();
        let (a, b) = (symbols.acquire("a"), symbols.acquire("b"));
        assert_eq!(symbols.acquire("a"), a);
        symbols.release(a);
        assert_eq!(symbols.find("a"), Some(a));
        symbols.release(a);
        assert_eq!(symbols.find("a"), None);
        assert_eq!(symbols.acquire("c"), a);
        assert_eq!((symbols.text(a), symbols.text(b), symbols.len()), ("c", "b", 2));
    }
}
