//! What membership counts.

/// Packets that were not read, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// Damaged, or no gossip at all.
    pub malformed: u64,
    /// Of another version of the format.
    pub version: u64,
    /// Of another cluster.
    pub foreign: u64,
}

/// Counters are since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub sent: u64,
    pub received: u64,
    pub refused: Refused,
    /// Packets that came or should have gone while a queue was full. Gossip bears it, but should not have to.
    pub dropped: u64,
}
