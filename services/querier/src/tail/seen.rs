//! Fingerprints of the newest rows that a tail has met, by which it knows them again.

use model::LogPage;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// So many rows are remembered, of about 40 bytes each.
const MOST: usize = 100_000;

#[derive(Debug)]
pub struct Seen {
    rows: BTreeSet<(i64, u64)>,
    /// All rows of this time and later are remembered.
    floor: i64,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen { rows: BTreeSet::new(), floor: i64::MIN }
    }
}

fn fingerprint(page: &LogPage, row: usize) -> (i64, u64) {
    let mut hasher = DefaultHasher::new();
    page.labels.packed().hash(&mut hasher);
    page.line(row).hash(&mut hasher);
    page.metadata(row).map_or(&[][..], |metadata| metadata.packed()).hash(&mut hasher);
    (page.times[row], hasher.finish())
}

impl Seen {
    pub fn note(&mut self, page: &LogPage) {
        for row in 0..page.len() {
            if page.times[row] < self.floor {
                continue;
            }
            self.rows.insert(fingerprint(page, row));
            if self.rows.len() > MOST
                && let Some((time, _)) = self.rows.pop_first()
            {
                self.forget_before(time.saturating_add(1));
            }
        }
    }

    /// Whether a row was certainly not met before.
    pub fn is_new(&self, page: &LogPage, row: usize) -> bool {
        page.times[row] >= self.floor && !self.rows.contains(&fingerprint(page, row))
    }

    /// Rows before this time may have been met without having been noted.
    pub fn forget_before(&mut self, time: i64) {
        if time > self.floor {
            self.floor = time;
            self.rows = self.rows.split_off(&(time, 0));
        }
    }

    /// Only so many of the newest rows are known to be all of their time.
    pub fn keep_newest(&mut self, count: usize) {
        if let Some((time, _)) = self.rows.iter().rev().nth(count.saturating_sub(1)) {
            self.forget_before(time.saturating_add(1));
        }
    }

    /// The time from which on rows are told apart.
    pub fn floor(&self) -> i64 {
        self.floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    fn page(rows: &[(i64, &str)]) -> LogPage {
        let mut page = LogPage::new(Labels::from_pairs([("a", "1")]));
        rows.iter().for_each(|(time, line)| page.push(*time, line, Labels::empty()));
        page
    }

    #[test]
    fn a_row_is_known_again_and_what_was_forgotten_is_not_called_new() {
        let (mut seen, rows) = (Seen::default(), page(&[(1, "a"), (2, "b"), (2, "c"), (3, "d")]));
        seen.note(&rows);
        let others = page(&[(1, "A"), (2, "b"), (2, "C"), (3, "D")]);
        let new = |seen: &Seen| (0..4).map(|row| seen.is_new(&others, row)).collect::<Vec<_>>();
        assert_eq!(new(&seen), [true, false, true, true]);
        seen.keep_newest(2);
        assert_eq!((new(&seen), seen.floor()), (vec![false, false, false, true], 3));
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::default();
        for time in 0..MOST as i64 + 10 {
            seen.note(&page(&[(time, "x")]));
        }
        assert!(seen.rows.len() <= MOST && seen.floor() == 10, "{} {}", seen.rows.len(), seen.floor());
        assert!(!seen.is_new(&page(&[(9, "y")]), 0) && seen.is_new(&page(&[(10, "y")]), 0));
    }
}
