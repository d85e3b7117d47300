//! Bytes that count against a limit for as long as something holds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How much is held of something.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn used(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Gives its bytes back when it goes.
#[derive(Debug)]
pub(crate) struct Charge {
    gauge: Arc<Gauge>,
    bytes: u64,
}

impl Charge {
    pub(crate) fn new(gauge: &Arc<Gauge>, bytes: u64) -> Charge {
        gauge.0.fetch_add(bytes, Relaxed);
        Charge { gauge: Arc::clone(gauge), bytes }
    }

    /// `Err` says how much is held already. What is larger than the limit is let in when nothing else is held.
    pub(crate) fn within(gauge: &Arc<Gauge>, bytes: u64, limit: u64) -> Result<Charge, u64> {
        let charge = Charge::new(gauge, bytes);
        let before = gauge.used().saturating_sub(bytes);
        match before > 0 && before + bytes > limit {
            true => Err(before),
            false => Ok(charge),
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_until_bytes_are_given_back() {
        let gauge = Arc::default();
        let first = Charge::within(&gauge, 500, 100).expect("let in alone");
        assert_eq!(Charge::within(&gauge, 1, 100).map(drop), Err(500));
        drop(first);
        let second = Charge::within(&gauge, 60, 100).expect("room");
        assert!(Charge::within(&gauge, 40, 100).is_ok() && Charge::within(&gauge, 41, 100).is_err());
        drop(second);
        assert_eq!(gauge.used(), 0);
    }
}
