//! Marks rows as they are found, and counts what is wrong.

use crate::meter::ErrorCount;
use crate::state::{LaneState, Outcome};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How many of each kind of mistake are described.
const NAMED: usize = 5;

/// What was read back, against what was sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Findings {
    /// Acknowledged rows.
    pub acked: u64,
    /// Rows without a definite answer, and how many of them are there.
    pub maybe: u64,
    pub maybe_found: u64,
    /// Acknowledged rows that are not there.
    pub missing: u64,
    /// Times that a row is there beyond the first.
    pub duplicate: u64,
    /// Rows that nobody sent, or that were refused, or that another tenant sent.
    pub unexpected: u64,
    /// Rows with another text, value, time or other labels than what was sent.
    pub changed: u64,
    /// The first few of each kind.
    pub named: Vec<String>,
    /// Reads that had to be repeated.
    pub read_errors: BTreeMap<String, ErrorCount>,
}

impl Findings {
    pub fn clean(&self) -> bool {
        self.missing + self.duplicate + self.unexpected + self.changed == 0
    }

    pub fn with(mut self, other: Findings) -> Findings {
        self.acked += other.acked;
        self.maybe += other.maybe;
        self.maybe_found += other.maybe_found;
        self.missing += other.missing;
        self.duplicate += other.duplicate;
        self.unexpected += other.unexpected;
        self.changed += other.changed;
        self.named.extend(other.named);
        self.named.truncate(4 * NAMED);
        self
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings { acked, maybe, maybe_found, missing, duplicate, unexpected, changed, .. } = self;
        match self.clean() {
            true => writeln!(f, "verified: all {acked} acknowledged rows are there exactly once")?,
            false => writeln!(
                f,
                "NOT as sent: of {acked} acknowledged rows {missing} missing, {duplicate} duplicate, {unexpected} unexpected, {changed} changed"
            )?,
        }
        if *maybe > 0 {
            writeln!(f, "  of {maybe} rows without a definite answer {maybe_found} are there")?;
        }
        for (kind, error) in &self.read_errors {
            writeln!(f, "  read errors: {} × {kind}: {}", error.count, error.first)?;
        }
        self.named.iter().try_for_each(|text| writeln!(f, "  {text}"))
    }
}

/// The rows of one lane while they are read.
pub struct Tally<'a> {
    lane: &'a LaneState,
    tenant: &'a str,
    rows: u32,
    /// One bit a row.
    seen: Vec<u64>,
    findings: Findings,
}

impl<'a> Tally<'a> {
    /// Every body of the lane has `rows` rows.
    pub fn new(lane: &'a LaneState, rows: u32, tenant: &'a str) -> Tally<'a> {
        let bits = lane.bases.len() * rows as usize;
        Tally { lane, tenant, rows, seen: vec![0; bits.div_ceil(64)], findings: Findings::default() }
    }

    /// A row that was sent is there as it was sent.
    pub fn found(&mut self, number: u32, row: u32) {
        let Some(outcome) = self.lane.outcomes.get(number as usize).filter(|_| row < self.rows) else {
            return self.unexpected(&format!("row {row} of body {number} was never sent"));
        };
        let bit = number as usize * self.rows as usize + row as usize;
        let (word, mask) = (bit / 64, 1u64 << (bit % 64));
        if *outcome == Outcome::Refused {
            self.unexpected(&format!("row {row} of body {number} is there though the body was refused"));
        } else if self.seen[word] & mask != 0 {
            self.findings.duplicate += 1;
            self.name(self.findings.duplicate, &format!("duplicate: row {row} of body {number}"));
        }
        self.seen[word] |= mask;
    }

    pub fn unexpected(&mut self, text: &str) {
        self.findings.unexpected += 1;
        self.name(self.findings.unexpected, &format!("unexpected: {text}"));
    }

    /// A row that was sent is there, but not as it was sent: `what` differs.
    pub fn changed(&mut self, number: u32, row: u32, what: &str, found: &str, sent: &str) {
        self.found(number, row);
        self.findings.changed += 1;
        let text = format!("changed: {what} of row {row} of body {number} is {found:?}, was sent as {sent:?}");
        self.name(self.findings.changed, &text);
    }

    pub fn finish(mut self) -> Findings {
        for (number, outcome) in self.lane.outcomes.iter().enumerate() {
            let start = number * self.rows as usize;
            let found =
                (start..start + self.rows as usize).filter(|bit| self.seen[bit / 64] & 1 << (bit % 64) != 0).count();
            let (rows, found) = (u64::from(self.rows), found as u64);
            match outcome {
                Outcome::Acked => {
                    self.findings.acked += rows;
                    self.findings.missing += rows - found;
                    if found < rows {
                        let first = (0..self.rows).find(|row| {
                            let bit = start + *row as usize;
                            self.seen[bit / 64] & 1 << (bit % 64) == 0
                        });
                        let (gone, base) = (rows - found, self.lane.bases[number]);
                        let text = format!(
                            "missing: {gone} rows of body {number} at {base}, first row {}",
                            first.unwrap_or(0)
                        );
                        self.name(if self.findings.missing == gone { 1 } else { 2 }, &text);
                    }
                }
                Outcome::Maybe => {
                    self.findings.maybe += rows;
                    self.findings.maybe_found += found;
                }
                Outcome::Refused => {}
            }
        }
        self.findings
    }

    /// Keeps the text when it is among the first of its kind.
    fn name(&mut self, nth: u64, text: &str) {
        if nth <= NAMED as u64 && self.findings.named.len() < 4 * NAMED {
            let Tally { tenant, lane, .. } = self;
            self.findings.named.push(format!("{tenant}, lane {}: {text}", lane.lane));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_mistake_is_counted() {
        let mut lane = LaneState::new(0, 3);
        lane.push(10, Outcome::Acked);
        lane.push(20, Outcome::Maybe);
        lane.push(30, Outcome::Refused);
        let check = |found: &[(u32, u32)], want: [u64; 4]| {
            let mut tally = Tally::new(&lane, 2, "load-0");
            found.iter().for_each(|(number, row)| tally.found(*number, *row));
            let findings = tally.finish();
            let counts = [findings.missing, findings.duplicate, findings.unexpected, findings.maybe_found];
            assert_eq!(counts, want, "{found:?}: {findings}");
            assert_eq!(findings.clean(), want[..3] == [0, 0, 0]);
            assert_eq!(findings.named.is_empty(), findings.clean());
        };
        check(&[(0, 0), (0, 1)], [0, 0, 0, 0]);
        check(&[(0, 0), (0, 1), (1, 1)], [0, 0, 0, 1]);
        check(&[(0, 1)], [1, 0, 0, 0]);
        check(&[], [2, 0, 0, 0]);
        check(&[(0, 0), (0, 1), (0, 1)], [0, 1, 0, 0]);
        check(&[(0, 0), (0, 1), (1, 0), (1, 0)], [0, 1, 0, 1]);
        check(&[(0, 0), (0, 1), (2, 0)], [0, 0, 1, 0]);
        check(&[(0, 0), (0, 1), (3, 0), (0, 2)], [0, 0, 2, 0]);
    }
}
