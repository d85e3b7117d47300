//! One group's log in memory: where each entry rests, and its term.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Where an entry's record is. Twelve bytes an entry; terms are kept as runs, for they seldom change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub segment: u32,
    pub offset: u32,
    /// Of the payload.
    pub len: u32,
}

/// How many live entries each segment holds, and which came down to none.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    entries: BTreeMap<u32, u64>,
    pub idle: Vec<u32>,
}

impl Holds {
    pub(crate) fn count(&self, segment: u32) -> u64 {
        self.entries.get(&segment).copied().unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.entries.values().sum()
    }

    /// The oldest segment that an entry is in.
    pub(crate) fn oldest(&self) -> Option<u32> {
        self.entries.first_key_value().map(|(segment, _)| *segment)
    }

    fn add(&mut self, place: Place) {
        *self.entries.entry(place.segment).or_insert(0) += 1;
    }

    fn drop(&mut self, place: Place) {
        if let Some(count) = self.entries.get_mut(&place.segment) {
            *count -= 1;
            if *count == 0 {
                self.entries.remove(&place.segment);
                self.idle.push(place.segment);
            }
        }
    }
}

/// Holds the entries `first..=last`. While a journal is opened, `places` may know fewer of them, or have gaps: their
/// segments are gone because a later record says that they are not needed.
#[derive(Debug)]
pub(crate) struct Log {
    pub hard_state: Option<Bytes>,
    pub first: u64,
    pub last: u64,
    /// The index of `places[0]`.
    base: u64,
    places: VecDeque<Place>,
    /// (first index, term) of each run of one term.
    terms: VecDeque<(u64, u64)>,
}

impl Default for Log {
    fn default() -> Log {
        Log { hard_state: None, first: 1, last: 0, base: 1, places: VecDeque::new(), terms: VecDeque::new() }
    }
}

/// Of an entry whose segment is gone. Segments are numbered from 1.
const GONE: Place = Place { segment: 0, offset: 0, len: 0 };

impl Log {
    /// Nothing was ever in it: its first entry may have any index.
    pub(crate) fn is_new(&self) -> bool {
        self.first == 1 && self.last == 0
    }

    pub(crate) fn place(&self, index: u64) -> Option<Place> {
        let held = (self.first..=self.last).contains(&index);
        let at = index.checked_sub(self.base).filter(|_| held)?;
        self.places.get(usize::try_from(at).ok()?).copied()
    }

    pub(crate) fn term(&self, index: u64) -> Option<u64> {
        self.place(index)?;
        let after = self.terms.partition_point(|(start, _)| *start <= index);
        self.terms.get(after.checked_sub(1)?).map(|(_, term)| *term)
    }

    /// Whether every entry has its place.
    pub(crate) fn is_complete(&self) -> bool {
        let known = self.base <= self.first && self.end() > self.last && !self.places.contains(&GONE);
        self.last < self.first || known
    }

    /// One past the last index that has a place.
    fn end(&self) -> u64 {
        self.base + self.places.len() as u64
    }

    /// Takes away the entries from `index` on.
    pub(crate) fn truncate(&mut self, index: u64, holds: &mut Holds) {
        while self.end() > index
            && let Some(place) = self.places.pop_back()
        {
            holds.drop(place);
        }
        while self.terms.back().is_some_and(|(start, _)| *start >= index) {
            self.terms.pop_back();
        }
        self.last = self.last.min(index.saturating_sub(1));
    }

    /// Adds the entry `index`, in place of what was there and after.
    pub(crate) fn push(&mut self, index: u64, place: Place, term: u64, holds: &mut Holds) {
        if self.is_new() {
            self.first = index;
        }
        self.truncate(index, holds);
        if self.places.is_empty() {
            self.clear(index, holds);
        }
        while self.end() < index {
            self.places.push_back(GONE);
        }
        self.places.push_back(place);
        holds.add(place);
        if self.terms.back().is_none_or(|(_, last)| *last != term) {
            self.terms.push_back((index, term));
        }
        self.last = index;
    }

    /// Lets go of the entries up to `through`, but keeps the log's end.
    pub(crate) fn compact(&mut self, through: u64, holds: &mut Holds) {
        let through = through.min(self.last);
        if through < self.first {
            return;
        }
        self.first = through + 1;
        while self.base <= through
            && let Some(place) = self.places.pop_front()
        {
            holds.drop(place);
            self.base += 1;
        }
        while self.terms.get(1).is_some_and(|(start, _)| *start <= self.first) {
            self.terms.pop_front();
        }
        if self.places.is_empty() {
            self.clear(self.first, holds);
        }
        if self.places.capacity() > 1024 + 4 * self.places.len() {
            self.places.shrink_to(2 * self.places.len());
        }
    }

    /// Empties the log; the next entry is `next`.
    pub(crate) fn reset(&mut self, next: u64, holds: &mut Holds) {
        self.clear(next, holds);
        self.first = next;
        self.last = next - 1;
    }

    /// Takes bounds that a segment recorded, whatever is known of the entries.
    pub(crate) fn bound(&mut self, first: u64, last: u64, holds: &mut Holds) {
        self.truncate(last.saturating_add(1), holds);
        self.compact(first.saturating_sub(1), holds);
        self.first = first;
        self.last = last;
    }

    fn clear(&mut self, base: u64, holds: &mut Holds) {
        for place in self.places.drain(..) {
            holds.drop(place);
        }
        self.terms.clear();
        self.base = base;
    }

    /// The indexes of the entries in the newest segment, which are the log's last ones.
    pub(crate) fn tail(&self, segment: u32) -> Range<u64> {
        let count = self.places.iter().rev().take_while(|place| place.segment == segment).count() as u64;
        self.end() - count..self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u32) -> Place {
        Place { segment, offset: 0, len: 0 }
    }

    /// (index, term, segment) pushed one by one.
    fn check(pushed: &[(u64, u64, u32)], bounds: (u64, u64), terms: &[(u64, Option<u64>)], idle: &[u32]) {
        let (mut log, mut holds) = (Log::default(), Holds::default());
        for (index, term, segment) in pushed {
            log.push(*index, place(*segment), *term, &mut holds);
        }
        assert_eq!((log.first, log.last), bounds);
        assert!(log.is_complete());
        for (index, term) in terms {
            assert_eq!(log.term(*index), *term, "term of {index}");
        }
        assert_eq!(holds.idle, idle);
        assert_eq!(holds.total(), log.last + 1 - log.first);
    }

    #[test]
    fn entries_replace_what_was_there_and_after() {
        check(&[(1, 1, 1), (2, 1, 1), (3, 2, 1)], (1, 3), &[(0, None), (2, Some(1)), (3, Some(2)), (4, None)], &[]);
        check(&[(5, 1, 1), (6, 1, 1)], (5, 6), &[(4, None), (5, Some(1))], &[]);
        check(&[(1, 1, 1), (2, 1, 2), (3, 1, 2), (2, 2, 3)], (1, 2), &[(1, Some(1)), (2, Some(2)), (3, None)], &[2]);
        check(&[(1, 1, 1), (1, 2, 2)], (1, 1), &[(1, Some(2))], &[1]);
    }

    #[test]
    fn compaction_keeps_the_end_and_the_terms() {
        let (mut log, mut holds) = (Log::default(), Holds::default());
        for index in 1..=10 {
            log.push(index, place(index as u32 / 4 + 1), index / 3, &mut holds);
        }
        log.compact(5, &mut holds);
        assert_eq!((log.first, log.last, log.term(5), log.term(6), log.term(8)), (6, 10, None, Some(2), Some(2)));
        assert_eq!(holds.idle, [1]);
        log.compact(99, &mut holds);
        assert_eq!((log.first, log.last, holds.total()), (11, 10, 0));
        log.push(11, place(9), 4, &mut holds);
        assert_eq!((log.first, log.last, log.term(11)), (11, 11, Some(4)));
        log.reset(100, &mut holds);
        assert_eq!((log.first, log.last, log.is_complete()), (100, 99, true));
        assert_eq!(log.tail(9), 100..100);
    }

    #[test]
    fn bounds_without_places_are_incomplete() {
        let (mut log, mut holds) = (Log::default(), Holds::default());
        log.bound(3, 9, &mut holds);
        assert!(!log.is_complete());
        log.push(6, place(2), 1, &mut holds);
        log.bound(3, 6, &mut holds);
        assert!(!log.is_complete());
        log.compact(5, &mut holds);
        assert!(log.is_complete());
        assert_eq!(log.place(6), Some(place(2)));

        // 7 to 9 went with their segment, because 7 was replaced later.
        log.bound(6, 9, &mut holds);
        log.push(10, place(3), 1, &mut holds);
        assert!(!log.is_complete());
        log.push(7, place(4), 2, &mut holds);
        assert!(log.is_complete());
        assert_eq!((log.place(6), log.place(7), log.last), (Some(place(2)), Some(place(4)), 7));
    }
}
