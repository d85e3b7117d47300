//! The one source of chance of a run: every draw comes from its seed, in the order in which it is asked for.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// From one state of SplitMix64 to the next.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that a state of SplitMix64 stands for.
pub fn mixed(state: u64) -> u64 {
    let number = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// SplitMix64. Cheap to clone; all clones draw from one row of numbers.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<u64>>);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(Arc::new(Mutex::new(seed)))
    }

    pub fn draw(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(STEP);
        mixed(*state)
    }

    pub fn within(&self, range: Range<u64>) -> u64 {
        range.start + self.draw() % (range.end - range.start).max(1)
    }

    /// Milliseconds.
    pub fn pause(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// True so many times in a thousand.
    pub fn happens(&self, thousandths: u64) -> bool {
        self.within(0..1000) < thousandths
    }

    /// One of them, if there is any.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.within(0..from.len() as u64) as usize)
    }
}
