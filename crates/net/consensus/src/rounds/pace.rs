//! Keeps rounds apart while they are small and many want in: one sync then serves more of them.

use crate::inbox::Inbox;
use std::time::Duration;
use tokio::time::Instant;

/// A round with this many proposals shows that there is more than one who writes one after the other.
const MANY: u64 = 4;
/// A round with this many bytes is worth its sync.
const ENOUGH: u64 = 1 << 20;

pub(crate) struct Pace {
    pace: Duration,
    /// No round before this.
    next: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(pace: Duration) -> Pace {
        Pace { pace, next: None }
    }

    /// Waits for the next round's time, or for enough bytes to make it worth while.
    pub(crate) fn wait(&mut self, inbox: &Inbox, until: Instant) {
        if let Some(next) = self.next.take() {
            inbox.gather(next.min(until), ENOUGH);
        }
    }

    /// A round that began then wrote this.
    pub(crate) fn ended(&mut self, begun: Instant, proposals: u64, bytes: u64) {
        let small = proposals >= MANY && bytes < ENOUGH;
        self.next = (small && !self.pace.is_zero()).then(|| begun + self.pace);
    }
}
