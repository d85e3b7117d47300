//! Runs a host's work one unit at a time, on the thread of who asks: for simulations in which a seed decides what comes
//! after what. The units are those that the host's threads run.

use crate::apply::Worker;
use crate::cutter::Jobs;
use crate::error::Error;
use crate::fetch::Fetches;
use crate::rounds::Rounds;

/// Dropped without a word, as at a crash, it writes nothing more.
pub struct Stepper {
    pub(crate) rounds: Rounds,
    pub(crate) workers: Vec<Worker>,
    pub(crate) fetches: Fetches,
    pub(crate) jobs: Jobs,
}

impl Stepper {
    /// One round, with what came in until now. An error is the end of the host.
    pub fn round(&mut self) -> Result<(), Error> {
        self.rounds.step().map(drop)
    }

    /// One group's turn in one of the lanes; says whether one waited.
    pub fn apply(&mut self, lane: usize) -> bool {
        let lanes = self.workers.len();
        self.workers.get_mut(lane % lanes.max(1)).is_some_and(Worker::step)
    }

    /// Reads entries for one follower; says whether one waited for them.
    pub fn fetch(&mut self) -> bool {
        self.fetches.step()
    }

    /// Writes the snapshot of one cut, or removes files; says whether there was something to do.
    pub fn cut(&mut self) -> bool {
        self.jobs.step()
    }
}
