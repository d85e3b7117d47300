//! Drafts the template of a text: words with digits or slashes and times of day are slots, other words are literal
//! unless too many texts differ only in them.

use super::template::{Class, DELIMITERS, Draft};
use crate::column::Span;
use crate::column::form::TimeForm;
use hashbrown::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What is known of texts with the same delimiters and slots: which of their literal words vary.
#[derive(Default)]
pub struct Skeletons {
    seen: HashMap<u64, Skeleton>,
    words: Vec<Word>,
}

struct Skeleton {
    /// How many different texts there were.
    variants: u32,
    /// The hash of each word of the first one.
    first: Vec<u32>,
    /// A bit for each word that was another one later.
    varying: u128,
}

struct Word {
    span: Span,
    class: Option<Class>,
    hash: u32,
}

const MAX_WORDS: usize = 100;
const MAX_SKELETONS: usize = 4096;
/// A skeleton with more variants gets slots where they vary.
const MAX_VARIANTS: u32 = 24;
/// With more slots than this that are mere words, a text is prose.
const MAX_WORD_SLOTS: u32 = 12;

impl Skeletons {
    pub fn clear(&mut self) {
        self.seen.clear();
    }
}

/// Takes a text apart; false when it has too many words, or is prose.
pub fn draft(line: &[u8], draft: &mut Draft, skeletons: &mut Skeletons) -> bool {
    let Skeletons { seen, words } = skeletons;
    words.clear();
    let mut skeleton = 0u64;
    let mut at = 0;
    let mut literal = 0;
    while at < line.len() {
        if DELIMITERS[usize::from(line[at])] {
            at += 1;
            continue;
        }
        if words.len() == MAX_WORDS {
            return false;
        }
        let time = if line[at].is_ascii_digit() { TimeForm::measure(&line[at..]) } else { 0 };
        let time_ends = line.get(at + time).is_none_or(|b| DELIMITERS[usize::from(*b)]);
        let (end, class) = match time > 0 && time_ends {
            true => (at + time, Some(Class::Time)),
            false => {
                let len = line[at..].iter().position(|b| DELIMITERS[usize::from(*b)]).unwrap_or(line.len() - at);
                let varies = |b: &u8| b.is_ascii_digit() || matches!(b, b'/' | b'@' | b'%' | b'\\' | 0x80..);
                (at + len, line[at..at + len].iter().any(varies).then_some(Class::Word))
            }
        };
        let kind = class.map_or(0, |c| c as u64 + 1);
        skeleton = xxh3_64_with_seed(&line[literal..at], skeleton.wrapping_add(kind));
        literal = end;
        let hash = if class.is_none() { xxh3_64(&line[at..end]) as u32 } else { 0 };
        words.push(Word { span: (at as u32, end as u32), class, hash });
        at = end;
    }
    skeleton = xxh3_64_with_seed(&line[literal..], skeleton);
    let varying = varying(seen, skeleton, words);
    if varying.count_ones() > MAX_WORD_SLOTS {
        return false;
    }
    for (place, word) in words.iter().enumerate() {
        let class = word.class.or((varying >> place & 1 == 1).then_some(Class::Word));
        if let Some(class) = class {
            draft.slot(word.span.0 as usize, word.span.1 as usize, class, 0);
        }
    }
    if draft.len() == 0 && line.is_empty() {
        return false;
    }
    // The slots of a text belong to its template alone.
    let hash = draft.hash(line);
    for slot in 0..draft.len() {
        draft.set_key(slot, hash.wrapping_add(slot as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    true
}

/// Notes a text, and says which of its literal words are to be slots.
fn varying(seen: &mut HashMap<u64, Skeleton>, skeleton: u64, words: &[Word]) -> u128 {
    if seen.len() >= MAX_SKELETONS {
        seen.clear();
    }
    let known = seen.entry(skeleton).or_insert_with(|| Skeleton {
        variants: 0,
        first: words.iter().map(|word| word.hash).collect(),
        varying: 0,
    });
    let mut differs = 0u128;
    for (place, (word, first)) in words.iter().zip(&known.first).enumerate() {
        differs |= u128::from(word.hash != *first) << place;
    }
    if known.variants <= MAX_VARIANTS {
        // The same text again is no new variant, but it is looked at only until it has a template.
        known.variants += 1;
        known.varying |= differs;
        return 0;
    }
    known.varying |= differs;
    known.varying
}
