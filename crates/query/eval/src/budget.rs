//! What one query may cost: bytes that it keeps, and whether it should stop.

use crate::error::EvalError;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// Counts the bytes that an evaluation keeps, on all its threads together, and asks now and then whether the query was
/// cancelled.
pub struct Budget<'a> {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    ticks: AtomicU32,
    cancelled: &'a (dyn Fn() -> bool + Sync + 'a),
}

/// Between two questions to `cancelled` lie this many ticks.
const TICKS: u32 = 64;

impl<'a> Budget<'a> {
    /// `limit` in bytes. `cancelled` says whether the query should end: its deadline passed or nobody waits for it.
    pub fn new(limit: usize, cancelled: &'a (dyn Fn() -> bool + Sync + 'a)) -> Budget<'a> {
        let (used, peak, ticks) = Default::default();
        Budget { limit, used, peak, ticks, cancelled }
    }

    /// Takes `bytes` from the budget.
    pub fn charge(&self, bytes: usize) -> Result<(), EvalError> {
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        match self.used.fetch_update(Relaxed, Relaxed, add) {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Relaxed);
                Ok(())
            }
            Err(_) => Err(EvalError::Memory { limit: self.limit }),
        }
    }

    /// Gives bytes back that were charged before.
    pub fn release(&self, bytes: usize) {
        let give_back = |used: usize| Some(used.saturating_sub(bytes));
        let _ = self.used.fetch_update(Relaxed, Relaxed, give_back);
    }

    /// To be called once per series, or per some thousand rows: answers `Cancelled` when the query should end.
    pub fn tick(&self) -> Result<(), EvalError> {
        if self.ticks.fetch_add(1, Relaxed).is_multiple_of(TICKS) && (self.cancelled)() {
            return Err(EvalError::Cancelled);
        }
        Ok(())
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub fn peak(&self) -> usize {
        self.peak.load(Relaxed)
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
