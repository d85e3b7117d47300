//! What happened in a run: a hash of all of it, counts, and lines to read when somebody wants them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Cheap to clone.
#[derive(Clone)]
pub struct Trace {
    begun: Instant,
    /// Whether lines are printed.
    shown: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    hash: u64,
    counts: BTreeMap<&'static str, u64>,
    /// What must never be.
    broken: Vec<String>,
}

impl Trace {
    pub fn new(shown: bool) -> Trace {
        Trace { begun: Instant::now(), shown, state: Arc::default() }
    }

    /// Something that happened, for the hash and the reader.
    pub fn note(&self, what: impl Display) {
        let line = format!("{:>9.3} {what}", self.begun.elapsed().as_secs_f64());
        self.mix(line.as_bytes());
        if self.shown {
            println!("{line}");
        }
    }

    /// The same, where there is too much of it to read.
    pub fn count(&self, kind: &'static str, detail: u64) {
        let at = self.begun.elapsed().as_millis() as u64;
        if self.shown && tracing::enabled!(tracing::Level::TRACE) {
            println!("{at:>9} {kind} {detail}");
        }
        self.mix(&[at.to_le_bytes(), detail.to_le_bytes()].concat());
        self.add(kind, 1);
    }

    pub fn add(&self, kind: &'static str, more: u64) {
        *self.lock().counts.entry(kind).or_default() += more;
    }

    pub fn most(&self, kind: &'static str, value: u64) {
        let mut state = self.lock();
        let known = state.counts.entry(kind).or_default();
        *known = value.max(*known);
    }

    /// An invariant is broken.
    pub fn broken(&self, what: impl Display) {
        self.note(format!("BROKEN {what}"));
        self.lock().broken.push(what.to_string());
    }

    pub fn complaints(&self) -> Vec<String> {
        self.lock().broken.clone()
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// FNV-1a.
    fn mix(&self, bytes: &[u8]) {
        let mut state = self.lock();
        let mixed = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        state.hash = bytes.iter().fold(state.hash ^ 0xcbf2_9ce4_8422_2325, mixed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
