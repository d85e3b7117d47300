//! How much of the journal a message asks for, and whether it may have it.

use crate::mark::is_urgent;
use raft::eraftpb::Message;

/// Records and bytes of entries that a round will write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub records: usize,
    pub bytes: u64,
    /// All of it may go into the reserve.
    pub urgent: bool,
}

impl Needs {
    pub(crate) fn of(message: &Message) -> Needs {
        let bytes = message.entries.iter().map(|entry| entry.data.len() as u64).sum();
        Needs { records: message.entries.len(), bytes, urgent: message.entries.iter().all(is_urgent) }
    }

    /// Both; urgent is what the second says.
    pub(crate) fn with(self, other: Needs) -> Needs {
        Needs { records: self.records + other.records, bytes: self.bytes + other.bytes, urgent: other.urgent }
    }
}
