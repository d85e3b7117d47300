//! When senders were acked and readers answered, and what went wrong.

use crate::recovery::Requests;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Texts that are kept.
const KEPT: usize = 200;

pub struct Pulse(Mutex<State>);

struct State {
    senders: Vec<Track>,
    readers: Vec<Track>,
    pushes: Requests,
    queries: Requests,
    push_errors: Vec<String>,
    query_errors: Vec<String>,
    /// What must never be.
    untrue: Vec<String>,
}

/// One who sends or reads.
#[derive(Clone, Copy)]
struct Track {
    /// When its last request that went well was begun, and when it was answered.
    begun: Instant,
    answered: Instant,
    /// The longest time between two answers since it is measured.
    longest: Duration,
}

impl Track {
    fn beat(&mut self, begun: Instant) {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.answered);
        (self.begun, self.answered) = (begun, now);
    }
}

impl Pulse {
    pub fn new(lanes: usize) -> Pulse {
        let now = Instant::now();
        let track = Track { begun: now, answered: now, longest: Duration::ZERO };
        let readers = vec![track; model::Signal::ALL.len()];
        Pulse(Mutex::new(State {
            senders: vec![track; lanes],
            readers,
            pushes: Requests::default(),
            queries: Requests::default(),
            push_errors: Vec::new(),
            query_errors: Vec::new(),
            untrue: Vec::new(),
        }))
    }

    pub fn acked(&self, lane: usize, begun: Instant) {
        let mut state = self.state();
        state.pushes.done += 1;
        state.senders[lane].beat(begun);
    }

    pub fn read(&self, reader: usize, begun: Instant) {
        let mut state = self.state();
        state.queries.done += 1;
        state.readers[reader].beat(begun);
    }

    pub fn push_failed(&self, why: String) {
        let mut state = self.state();
        state.pushes.failed += 1;
        keep(&mut state.push_errors, why);
    }

    pub fn query_failed(&self, why: String) {
        let mut state = self.state();
        state.queries.failed += 1;
        keep(&mut state.query_errors, why);
    }

    pub fn untrue(&self, what: String) {
        keep(&mut self.state().untrue, what);
    }

    #[track_caller]
    pub fn assert_true(&self) {
        let untrue = self.state().untrue.clone();
        assert!(untrue.is_empty(), "{untrue:#?}");
    }

    /// Measures from now on; what each waits for already counts.
    pub fn measure(&self) {
        let mut state = self.state();
        let State { senders, readers, .. } = &mut *state;
        senders.iter_mut().chain(readers).for_each(|track| track.longest = Duration::ZERO);
    }

    /// Of senders, and of readers.
    pub fn longest(&self) -> (Duration, Duration) {
        let state = self.state();
        let longest = |tracks: &[Track]| tracks.iter().map(|track| track.longest).max().unwrap_or_default();
        (longest(&state.senders), longest(&state.readers))
    }

    pub fn mark(&self) -> Instant {
        Instant::now()
    }

    /// Whether all have had success with something that they began after the mark.
    pub fn all_since(&self, mark: Instant) -> bool {
        let state = self.state();
        state.senders.iter().chain(&state.readers).all(|track| track.begun > mark)
    }

    pub fn failed(&self) -> (Vec<String>, Vec<String>) {
        let state = self.state();
        (state.push_errors.clone(), state.query_errors.clone())
    }

    pub fn requests(&self) -> (Requests, Requests) {
        let state = self.state();
        (state.pushes, state.queries)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(texts: &mut Vec<String>, text: String) {
    if texts.len() < KEPT {
        texts.push(text);
    }
}
