//! The entropy of the process, in place of the kernel's: from the seed.
//!
//! Two things in the code that is simulated ask the operating system for chance and let nobody hand it in: the hashes of
//! `std`'s maps, and which branch of a `select!` or which waiter of a `watch` tokio turns to first. Both do it by
//! `getrandom(2)`, whose symbol this program defines itself. It is the only way without a fork of tokio, and the reason
//! why a seed has a process of its own. No other program of the workspace links it. On systems where these do not ask by
//! that name, runs are as good a test, but a seed does not tell the same story twice.
#![allow(unsafe_code)]

use crate::chance::{STEP, mixed};
use std::sync::atomic::{AtomicU64, Ordering};

static STATE: AtomicU64 = AtomicU64::new(0);

/// To be called before anything else.
pub fn seed(seed: u64) {
    STATE.store(seed, Ordering::SeqCst);
}

fn next() -> u64 {
    mixed(STATE.fetch_add(STEP, Ordering::SeqCst))
}

/// As `getrandom(2)`: fills all of the buffer.
#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut u8, len: usize, _flags: u32) -> isize {
    for at in 0..len {
        // SAFETY: the caller gives a buffer of `len` bytes that it owns, as the C declaration demands.
        unsafe { buffer.add(at).write(next() as u8) };
    }
    len as isize
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    #[test]
    fn hashes_come_from_the_seed() {
        let hash = |seed| {
            // The keys of a thread are drawn once.
            let draw = move || {
                super::seed(seed);
                RandomState::new().hash_one(1)
            };
            std::thread::spawn(draw).join().expect("draws")
        };
        assert_eq!(hash(7), hash(7));
        assert_ne!(hash(7), hash(8));
    }
}
