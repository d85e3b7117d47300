//! What one query may cost: bytes that it keeps, and whether it should stop.

use crate::error::EvalError;
use std::cell::Cell;

/// Counts the bytes that an evaluation keeps and asks now and then whether the query was cancelled.
/// One evaluation is one thread, so plain cells do.
pub struct Budget<'a> {
    limit: usize,
    used: Cell<usize>,
    peak: Cell<usize>,
    ticks: Cell<u32>,
    cancelled: &'a (dyn Fn() -> bool + 'a),
}

/// Between two questions to `cancelled` lie this many ticks.
const TICKS: u32 = 64;

impl<'a> Budget<'a> {
    /// `limit` in bytes. `cancelled` says whether the query should end: its deadline passed or nobody waits for it.
    pub fn new(limit: usize, cancelled: &'a (dyn Fn() -> bool + 'a)) -> Budget<'a> {
        Budget { limit, used: Cell::new(0), peak: Cell::new(0), ticks: Cell::new(0), cancelled }
    }

    /// Takes `bytes` from the budget.
    pub fn charge(&self, bytes: usize) -> Result<(), EvalError> {
        let used = self.used.get().saturating_add(bytes);
        if used > self.limit {
            return Err(EvalError::Memory { limit: self.limit });
        }
        self.used.set(used);
        self.peak.set(self.peak.get().max(used));
        Ok(())
    }

    /// Gives bytes back that were charged before.
    pub fn release(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes));
    }

    /// To be called once per series, or per some thousand rows: answers `Cancelled` when the query should end.
    pub fn tick(&self) -> Result<(), EvalError> {
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        if ticks % TICKS == 1 && (self.cancelled)() {
            return Err(EvalError::Cancelled);
        }
        Ok(())
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn used(&self) -> usize {
        self.used.get()
    }

    pub fn peak(&self) -> usize {
        self.peak.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_names_its_limit_when_it_is_spent() {
        let budget = Budget::new(100, &|| false);
        assert_eq!(budget.charge(60), Ok(()));
        budget.release(30);
        assert_eq!(budget.charge(60), Ok(()));
        assert_eq!((budget.used(), budget.peak()), (90, 90));
        let error = budget.charge(11).expect_err("over the limit");
        assert!(error.to_string().contains("limits.query_memory is 100"), "{error}");
    }

    #[test]
    fn a_cancelled_query_ends_at_its_first_tick() {
        let budget = Budget::new(100, &|| true);
        assert_eq!(budget.tick(), Err(EvalError::Cancelled));
    }
}
