//! Distinct texts of a column and the number of each.

use xxhash_rust::xxh3::xxh3_64;

/// Numbers texts in the order in which they come.
#[derive(Default)]
pub struct Dictionary {
    text: Vec<u8>,
    ends: Vec<u32>,
    hashes: Vec<u32>,
    /// Number + 1 of the text at this place; 0 when free. A power of two long, at most half full.
    table: Vec<u32>,
    last: u32,
}

impl Dictionary {
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.hashes.clear();
        self.table.iter_mut().for_each(|place| *place = 0);
        self.last = 0;
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub fn get(&self, number: u32) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number as usize - 1] as usize };
        &self.text[start..self.ends[number as usize] as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        (0..self.ends.len() as u32).map(|number| self.get(number))
    }

    /// The number of a text, which is added when it is new.
    #[inline]
    pub fn number(&mut self, text: &[u8]) -> u32 {
        if (self.last as usize) < self.ends.len() && self.get(self.last) == text {
            return self.last;
        }
        if self.table.len() < self.ends.len() * 2 + 16 {
            self.grow();
        }
        let hash = hash(text);
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.table[at] {
                0 => break,
                number => {
                    let number = number - 1;
                    if self.hashes[number as usize] == hash && self.get(number) == text {
                        self.last = number;
                        return number;
                    }
                }
            }
            at = (at + 1) & mask;
        }
        let number = self.ends.len() as u32;
        self.table[at] = number + 1;
        self.text.extend_from_slice(text);
        self.ends.push(self.text.len() as u32);
        self.hashes.push(hash);
        self.last = number;
        number
    }

    fn grow(&mut self) {
        let len = (self.table.len() * 2).max(64);
        self.table.clear();
        self.table.resize(len, 0);
        for (number, hash) in self.hashes.iter().enumerate() {
            let mut at = *hash as usize & (len - 1);
            while self.table[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            self.table[at] = number as u32 + 1;
        }
    }
}

#[inline]
fn hash(text: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(head), Some(tail)) if text.len() <= 16 => {
            let (head, tail) = (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
            (head ^ tail.rotate_left(29).wrapping_mul(ODD)).wrapping_mul(ODD)
        }
        (Some(_), _) => xxh3_64(text),
        _ => {
            let mut bytes = [0u8; 8];
            bytes[..text.len()].copy_from_slice(text);
            (u64::from_le_bytes(bytes) ^ (text.len() as u64) << 56).wrapping_mul(ODD)
        }
    };
    (mixed >> 32) as u32 ^ mixed as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_one_number() {
        let mut dictionary = Dictionary::default();
        let texts: Vec<String> = (0..3000).map(|n| format!("{:0>1$}", n % 1000, (n % 23) as usize)).collect();
        let numbers: Vec<u32> = texts.iter().map(|text| dictionary.number(text.as_bytes())).collect();
        for (text, number) in texts.iter().zip(&numbers) {
            assert_eq!(dictionary.get(*number), text.as_bytes());
            assert_eq!(dictionary.number(text.as_bytes()), *number);
        }
        dictionary.clear();
        assert_eq!(dictionary.number(b""), 0);
        assert_eq!(dictionary.number(b"x"), 1);
        assert_eq!(dictionary.len(), 2);
    }
}
