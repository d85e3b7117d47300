//! What was written, what was acknowledged, and whether a read may look as it does.

use model::ShardId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<String, Row>>>);

#[derive(Debug, Clone, Copy)]
struct Row {
    shard: ShardId,
    acked: bool,
}

impl Ledger {
    /// Rows are about to be sent.
    pub fn tried(&self, shard: ShardId, rows: &[String]) {
        let mut all = self.lock();
        for row in rows {
            all.insert(row.clone(), Row { shard, acked: false });
        }
    }

    pub fn acked(&self, rows: &[String]) {
        let mut all = self.lock();
        for row in rows {
            if let Some(row) = all.get_mut(row) {
                row.acked = true;
            }
        }
    }

    /// The rows that a read which begins now must find.
    pub fn promised(&self) -> BTreeSet<String> {
        self.lock().iter().filter(|(_, row)| row.acked).map(|(text, _)| text.clone()).collect()
    }

    /// What is wrong with a read that found these rows, and said that it could not ask the heads of these shards.
    pub fn judge(&self, promised: &BTreeSet<String>, found: &[String], missing: &[ShardId]) -> Vec<String> {
        let all = self.lock();
        let mut wrong = Vec::new();
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        for row in found {
            *seen.entry(row).or_default() += 1;
        }
        for (row, times) in &seen {
            match all.get(*row) {
                None => wrong.push(format!("row {row:?} was never written")),
                Some(_) if *times > 1 => wrong.push(format!("row {row} was read {times} times")),
                Some(_) => {}
            }
        }
        for row in promised.iter().filter(|row| !seen.contains_key(row.as_str())) {
            let Some(Row { shard, .. }) = all.get(row).filter(|row| !missing.contains(&row.shard)) else { continue };
            wrong.push(format!("row {row} of shard {shard} was acknowledged and not read"));
        }
        wrong
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Signal;

    #[test]
    fn a_read_is_judged() {
        let (ledger, shard) = (Ledger::default(), ShardId::new(Signal::Logs, 1));
        let rows = ["a", "b", "c"].map(str::to_owned);
        ledger.tried(shard, &rows);
        ledger.acked(&rows[..2]);
        let promised = ledger.promised();
        let check = |found: &[&str], missing: &[ShardId]| {
            let found: Vec<String> = found.iter().map(|row| (*row).to_owned()).collect();
            ledger.judge(&promised, &found, missing).len()
        };
        assert_eq!(check(&["a", "b"], &[]), 0);
        assert_eq!(check(&["a", "b", "c"], &[]), 0, "what was not acknowledged may be there");
        assert_eq!(check(&["a", "b", "c", "c"], &[]), 1, "but not twice");
        assert_eq!(check(&["a"], &[]), 1);
        assert_eq!(check(&["a"], &[shard]), 0, "it said that it lacks the shard");
        assert_eq!(check(&["a", "b", "x"], &[]), 1);
    }
}
