//! The settings of a Raft host.

use crate::error::Error;
use model::ByteSize;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The unit of time of elections and heartbeats.
    #[serde(with = "settings::duration")]
    pub tick: Duration,
    /// A follower that hears nothing from its leader for one to two times this many ticks calls an election.
    pub election_ticks: usize,
    /// A leader with nothing to say is heard from every so many ticks.
    pub heartbeat_ticks: usize,
    /// Bytes proposed to one group that are not committed yet; over it proposals are refused.
    pub max_uncommitted: ByteSize,
    /// Bytes of entries sent to one peer that it has not acknowledged; over it each group sends it one message at a
    /// time.
    pub max_inflight: ByteSize,
    /// How far apart rounds are kept while they are small and many want in, so that one sync serves more of them.
    /// A write that comes alone never waits. Zero turns it off.
    #[serde(with = "settings::duration")]
    pub round_pace: Duration,
    /// Bytes of committed entries of one group that wait in memory to be applied; over it proposals are refused.
    pub apply_queue: ByteSize,
    /// Bytes of entries of all groups kept in memory for followers and until they are committed; the others are
    /// read from the journal when they are needed.
    pub cache: ByteSize,
    /// Threads that apply entries; a group always uses the same one.
    pub apply_threads: usize,
    /// The log on disk of all groups.
    pub journal: journal::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            tick: Duration::from_millis(100),
            election_ticks: 20,
            heartbeat_ticks: 4,
            max_uncommitted: ByteSize::mib(64),
            max_inflight: ByteSize::mib(64),
            round_pace: Duration::from_millis(3),
            apply_queue: ByteSize::mib(32),
            cache: ByteSize::mib(128),
            apply_threads: 2,
            journal: journal::Settings::default(),
        }
    }
}

impl Settings {
    /// Says which field is out of bounds, and what they are.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |text: String| Err(Error::Settings { text });
        if self.tick < Duration::from_millis(1) {
            return bad(format!("tick is {:?}, it must be at least 1ms", self.tick));
        }
        if self.heartbeat_ticks == 0 || self.election_ticks < 2 * self.heartbeat_ticks {
            return bad(format!(
                "heartbeat_ticks is {} and election_ticks {}: the first must be at least 1, the second twice that",
                self.heartbeat_ticks, self.election_ticks
            ));
        }
        if self.round_pace > Duration::from_millis(100) {
            return bad(format!("round_pace is {:?}, it must be at most 100ms", self.round_pace));
        }
        if !(1..=64).contains(&self.apply_threads) {
            return bad(format!("apply_threads is {}, it must be 1 to 64", self.apply_threads));
        }
        Ok(self.journal.check()?)
    }

    /// The largest entry. Half a segment, so that a record and what a segment holds beside it always fit.
    pub(crate) fn max_entry(&self) -> ByteSize {
        ByteSize(self.journal.segment_size.0 / 2)
    }
}
