//! Which words and ids the lines of a row group can have: a filter that never says no wrongly.
//!
//! Only what a needle surely has as a whole may be looked up. A *word* is a longest run of letters, digits, `_` and
//! bytes above 127. Words are kept only if they have no digit and a letter beyond `f`, because then no number, time,
//! address or id can contain them; and a needle's word counts only if the needle has something else on both sides of
//! it. Slots begin and end between words, or next to a digit, so that a line's word is whole in some kept text.
//! Ids (`8-4-4-4-12` lower-case hexadecimal digits) are kept wherever a line has one, in longer words too; those in
//! texts apart from those in the pool, so that a reader knows where to look.

use crate::column::form::parse_uuid;
use hashbrown::HashSet;
use xorf::{BinaryFuse8, DmaSerializable};
use xxhash_rust::xxh3::xxh3_64;

/// Hashes of what the rows of a group have.
#[derive(Default)]
pub struct Keys {
    keys: Vec<u64>,
    words: HashSet<u64>,
}

impl Keys {
    pub fn clear(&mut self) {
        self.keys.clear();
        self.words.clear();
    }

    pub fn id(&mut self, id: u128) {
        self.keys.push(hash_id(id));
    }

    /// All words and ids in a text.
    pub fn text(&mut self, text: &[u8]) {
        let mut start = 0;
        while start < text.len() {
            let (mut flags, mut end) = (0u8, start);
            while end < text.len() {
                let kind = KINDS[usize::from(text[end])];
                if kind == BREAK {
                    break;
                }
                flags |= kind;
                end += 1;
            }
            if end - start >= MIN_WORD && flags & DIGIT == 0 && flags & BEYOND_HEX != 0 {
                self.words.insert(xxh3_64(&text[start..end]));
            }
            start = end + 1;
        }
        if text.len() >= 36 {
            each_id(text, |id| self.words.extend(text_id(id)));
        }
    }
}

const MIN_WORD: usize = 3;

const BREAK: u8 = 0;
const HEX: u8 = 1;
const DIGIT: u8 = 2;
const BEYOND_HEX: u8 = 4;
const KINDS: [u8; 256] = {
    let mut kinds = [BREAK; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX,
            b'g'..=b'z' | b'G'..=b'Z' | b'_' | 128.. => BEYOND_HEX,
            _ => BREAK,
        };
        byte += 1;
    }
    kinds
};

/// Whether a byte belongs to a word.
pub fn in_word(byte: u8) -> bool {
    KINDS[usize::from(byte)] != BREAK
}

fn hash_id(id: u128) -> u64 {
    xxh3_64(&id.to_le_bytes())
}

/// Finds ids by their dashes.
fn each_id(text: &[u8], mut found: impl FnMut(u128)) {
    for dash in memchr::memchr_iter(b'-', text) {
        let Some(start) = dash.checked_sub(8) else { continue };
        let Some(window) = text.get(start..start + 36) else { return };
        if window[13] == b'-'
            && window[18] == b'-'
            && let Some(id) = parse_uuid(window)
        {
            found(id);
        }
    }
}

/// What a needle must have; empty when nothing is sure.
#[derive(Default, Debug)]
pub struct Probes {
    words: Vec<u64>,
    ids: Vec<u128>,
}

/// What a filter knows of a needle.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// No line has it.
    Absent,
    /// Lines that have it have this id in the pool, and only there.
    Pooled(u128),
    Possible,
}

impl Probes {
    /// Adds what lines with this text must have.
    pub fn add(&mut self, needle: &[u8]) {
        let mut start = 0;
        while start < needle.len() {
            let len = needle[start..].iter().position(|b| !in_word(*b));
            let end = len.map_or(needle.len(), |len| start + len);
            let flags = needle[start..end].iter().fold(0, |all, b| all | KINDS[usize::from(*b)]);
            let inner = start > 0 && end < needle.len();
            if inner && end - start >= MIN_WORD && flags & DIGIT == 0 && flags & BEYOND_HEX != 0 {
                self.words.push(xxh3_64(&needle[start..end]));
            }
            start = end + 1;
        }
        each_id(needle, |id| self.ids.push(id));
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.ids.is_empty()
    }

    /// Looks everything up. A filter that is damaged, or missing, holds everything.
    pub fn look_up(&self, filter: &[u8]) -> Verdict {
        let Some(filter) = Filter::new(filter) else { return Verdict::Possible };
        if !self.words.iter().all(|word| filter.holds(*word)) {
            return Verdict::Absent;
        }
        let mut verdict = Verdict::Possible;
        for id in &self.ids {
            if text_id(*id).iter().all(|key| filter.holds(*key)) {
                continue;
            }
            if !filter.holds(hash_id(*id)) {
                return Verdict::Absent;
            }
            verdict = Verdict::Pooled(*id);
        }
        verdict
    }
}

/// An id in a text is kept three times: there are few, and taking a pool's id for one in a text costs a reader a whole
/// row group.
fn text_id(id: u128) -> [u64; 3] {
    let hash = hash_id(id);
    [!hash, hash.rotate_left(21), !hash.rotate_left(42)]
}

const DESCRIPTOR: usize = BinaryFuse8::DESCRIPTOR_LEN;

/// A binary fuse filter of 8 bits: its descriptor (seed u64, segment length u32, its mask u32, length of all segments
/// u32; little-endian), then fingerprints. `None` when there is nothing to keep or, as good as never, when it cannot be built.
pub fn build(keys: &mut Keys) -> Option<Vec<u8>> {
    keys.keys.extend(keys.words.drain());
    if keys.keys.is_empty() {
        return None;
    }
    keys.keys.sort_unstable();
    keys.keys.dedup();
    let filter = BinaryFuse8::try_from(&keys.keys).ok()?;
    let mut out = vec![0; DESCRIPTOR];
    filter.dma_copy_descriptor_to(&mut out);
    out.extend_from_slice(filter.dma_fingerprints());
    Some(out)
}

struct Filter<'a> {
    seed: u64,
    segment_length: u32,
    mask: u32,
    segment_count_length: u32,
    fingerprints: &'a [u8],
}

impl<'a> Filter<'a> {
    fn new(data: &'a [u8]) -> Option<Filter<'a>> {
        let (head, fingerprints) = data.split_at_checked(DESCRIPTOR)?;
        let word = |at: usize| head.get(at..at + 4)?.first_chunk().map(|b| u32::from_le_bytes(*b));
        Some(Filter {
            seed: u64::from_le_bytes(*head.first_chunk()?),
            segment_length: word(8)?,
            mask: word(12)?,
            segment_count_length: word(16)?,
            fingerprints,
        })
    }

    /// As in "Binary Fuse Filters" by Graf and Lemire, with the mixing function of the `xorf` crate.
    fn holds(&self, key: u64) -> bool {
        let hash = mix(key.wrapping_add(self.seed));
        let first = ((u128::from(hash) * u128::from(self.segment_count_length)) >> 64) as u32;
        let second = first.wrapping_add(self.segment_length) ^ ((hash >> 18) as u32 & self.mask);
        let third = first.wrapping_add(self.segment_length.wrapping_mul(2)) ^ (hash as u32 & self.mask);
        let mut fingerprint = (hash ^ hash >> 32) as u8;
        for place in [first, second, third] {
            match self.fingerprints.get(place as usize) {
                Some(byte) => fingerprint ^= byte,
                None => return true,
            }
        }
        fingerprint == 0
    }
}

fn mix(mut key: u64) -> u64 {
    key ^= key >> 33;
    key = key.wrapping_mul(0xff51_afd7_ed55_8ccd);
    key ^= key >> 33;
    key = key.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    key ^ key >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(texts: &[&str], pool: &[u128]) -> Vec<u8> {
        let mut keys = Keys::default();
        texts.iter().for_each(|text| keys.text(text.as_bytes()));
        pool.iter().for_each(|id| keys.id(*id));
        build(&mut keys).expect("has words")
    }

    fn look_up(filter: &[u8], needle: &str) -> Verdict {
        let mut probes = Probes::default();
        probes.add(needle.as_bytes());
        probes.look_up(filter)
    }

    #[test]
    fn what_was_kept_is_found_and_the_rest_mostly_not() {
        let words: Vec<String> = (0..20_000u32)
            .map(|n| (0..5).map(|at| char::from(b'g' + (n / 17u32.pow(at) % 17) as u8)).collect::<String>() + "_x")
            .collect();
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let filter = filter(&texts, &[]);
        for word in &words {
            assert_eq!(look_up(&filter, &format!(" {word} ")), Verdict::Possible, "{word}");
        }
        let absent = |n: &usize| look_up(&filter, &format!(" absent_{}y ", "z".repeat(*n))) == Verdict::Absent;
        assert!((0..1000).filter(absent).count() > 970);
    }

    #[test]
    fn only_what_is_sure_is_looked_up() {
        for (needle, words, ids) in [
            ("timeout", 0, 0),
            (" timeout ", 1, 0),
            ("a timeout", 0, 0),
            (" 404 ", 0, 0),
            (" deadbeef ", 0, 0),
            (" worker14 ", 0, 0),
            ("x request finished y", 2, 0),
            ("4abf32a3-ba90-483a-a3a9-64828d31284f", 0, 1),
            ("id=4abf32a3-ba90-483a-a3a9-64828d31284f0", 0, 1),
            ("4ABF32A3-ba90-483a-a3a9-64828d31284f", 0, 0),
        ] {
            let mut probes = Probes::default();
            probes.add(needle.as_bytes());
            assert_eq!((probes.words.len(), probes.ids.len()), (words, ids), "{needle}");
        }
    }

    #[test]
    fn ids_are_told_apart_by_where_they_are() {
        let id = |text: &str| parse_uuid(text.as_bytes()).expect("an id");
        let (text, pooled) = ("4abf32a3-ba90-483a-a3a9-64828d31284f", "5abf32a3-ba90-483a-a3a9-64828d31284f");
        let filter = filter(&["path/4abf32a3-ba90-483a-a3a9-64828d31284f.txt"], &[id(pooled)]);
        assert_eq!(look_up(&filter, text), Verdict::Possible);
        assert_eq!(look_up(&filter, pooled), Verdict::Pooled(id(pooled)));
        assert_eq!(look_up(&filter, "6abf32a3-ba90-483a-a3a9-64828d31284f"), Verdict::Absent);
        assert_eq!(look_up(&filter[..10], "6abf32a3-ba90-483a-a3a9-64828d31284f"), Verdict::Possible);
    }
}
