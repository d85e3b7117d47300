//! Counts refusals, and says which of them are worth a log line.

use crate::refused::Cause;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a cause and address stay quiet after a line.
const QUIET: Duration = Duration::from_secs(60);
/// How many pairs are remembered. Beyond it addresses share one entry a cause, so a sweep from many addresses costs
/// neither memory nor lines.
const REMEMBERED: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: [AtomicU64; Cause::ALL.len()],
    /// No address stands for those that were not remembered.
    lines: Mutex<HashMap<(Cause, Option<IpAddr>), Line>>,
}

/// The last log line of a cause and address.
#[derive(Debug)]
struct Line {
    at: Instant,
    left_out: u64,
}

impl Refusals {
    /// Counts a refusal. `Some` if it is to be logged, with how many were left out since the line before.
    pub(crate) fn count(&self, cause: Cause, from: IpAddr, now: Instant) -> Option<u64> {
        self.counts[cause as usize].fetch_add(1, Relaxed);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (cause, Some(from));
        if lines.len() >= REMEMBERED && !lines.contains_key(&key) {
            lines.retain(|_, line| now.saturating_duration_since(line.at) < QUIET);
            if lines.len() >= REMEMBERED {
                key.1 = None;
            }
        }
        match lines.get_mut(&key) {
            Some(line) if now.saturating_duration_since(line.at) < QUIET => {
                line.left_out += 1;
                None
            }
            Some(line) => {
                line.at = now;
                Some(std::mem::take(&mut line.left_out))
            }
            None => {
                lines.insert(key, Line { at: now, left_out: 0 });
                Some(0)
            }
        }
    }

    /// How many there were since the start, by cause.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().map(|cause| (cause, self.counts[cause as usize].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn total(refusals: &Refusals) -> u64 {
        refusals.counts().map(|(_, count)| count).sum()
    }

    #[test]
    fn a_cause_and_address_is_logged_once_a_minute() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let there = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
        for (second, cause, from, logged) in [
            (0, Cause::Expired, HERE, Some(0)),
            (1, Cause::Expired, HERE, None),
            (1, Cause::Expired, there, Some(0)),
            (2, Cause::Handshake, HERE, Some(0)),
            (59, Cause::Expired, HERE, None),
            (60, Cause::Expired, HERE, Some(2)),
            (61, Cause::Expired, HERE, None),
            (200, Cause::Expired, HERE, Some(1)),
            (300, Cause::Expired, HERE, Some(0)),
        ] {
            let got = refusals.count(cause, from, start + Duration::from_secs(second));
            assert_eq!(got, logged, "{cause} from {from} at {second}s");
        }
        assert_eq!(total(&refusals), 9);
        assert_eq!(refusals.counts().find(|(cause, _)| *cause == Cause::Expired), Some((Cause::Expired, 8)));
    }

    #[test]
    fn a_sweep_from_many_addresses_stays_small_and_quiet() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        let lines = (0..100_000).filter(|n| refusals.count(Cause::Handshake, address(*n), now).is_some()).count();
        assert_eq!(lines, REMEMBERED + 1);
        assert_eq!(refusals.lines.lock().expect("not poisoned").len(), REMEMBERED + 1);
        // Another cause still gets its line, and after a minute there is room again.
        assert_eq!(refusals.count(Cause::Expired, HERE, now), Some(0));
        let later = now + QUIET;
        assert_eq!(refusals.count(Cause::Handshake, HERE, later), Some(0));
        assert_eq!(refusals.lines.lock().expect("not poisoned").len(), 1);
        assert_eq!(total(&refusals), 100_002);
    }
}
