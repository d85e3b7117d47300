//! What a host counts.

/// Counters are since the host was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub groups: u64,
    /// Groups that this node leads.
    pub leading: u64,
    /// Rounds that wrote to the journal.
    pub rounds: u64,
    /// Syncs of the journal's files; two more than rounds for each new segment.
    pub syncs: u64,
    /// Entries that this node proposed.
    pub proposals: u64,
    /// Entries written to the journal, and their bytes.
    pub entries: u64,
    pub entry_bytes: u64,
    /// Segments of the journal in use, and their bytes on disk.
    pub journal_segments: u64,
    pub journal_bytes: u64,
    /// Raft messages, and the batches in which they travelled.
    pub messages_sent: u64,
    pub batches_sent: u64,
    pub messages_received: u64,
    /// Messages that were malformed, for an unknown group, or had no room here.
    pub messages_dropped: u64,
    /// Snapshots sent to, and installed from, others.
    pub snapshots_sent: u64,
    pub snapshots_installed: u64,
    /// Bytes of entries in memory.
    pub cache_bytes: u64,
    /// Reads of entries from the journal for followers that are behind.
    pub fetches: u64,
}
