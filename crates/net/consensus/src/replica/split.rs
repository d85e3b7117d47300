//! Cuts messages of entries to a size that any transport carries: Raft joins all that it has for a follower in one.

use raft::eraftpb::{Entry, Message};

/// The same entries in messages of at most `max` bytes of them, but for one entry that is larger. Each continues the
/// one before, as if the leader had sent them one after the other.
pub(crate) fn split(mut message: Message, max: u64) -> Vec<Message> {
    if size(&message.entries) <= max || message.entries.len() < 2 {
        return vec![message];
    }
    let entries = message.take_entries().into_vec();
    let mut parts: Vec<Message> = Vec::new();
    let (mut part, mut held) = (message, 0);
    for entry in entries {
        let bytes = entry.data.len() as u64;
        if let Some(last) = part.entries.last()
            && held + bytes > max
        {
            let mut next = Message { index: last.index, log_term: last.term, ..part.clone() };
            next.entries.clear();
            parts.push(std::mem::replace(&mut part, next));
            held = 0;
        }
        held += bytes;
        part.entries.push(entry);
    }
    parts.push(part);
    parts
}

fn size(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.data.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// Entries of these sizes behind index 10, the first two of term 3 and the others of 4.
    fn check(sizes: &[usize], expected: &[(u64, u64, usize)]) {
        let mut message = Message { to: 2, from: 1, term: 5, index: 10, log_term: 3, commit: 9, ..Message::default() };
        let entries = sizes.iter().enumerate().map(|(at, size)| Entry {
            index: 11 + at as u64,
            term: if at < 2 { 3 } else { 4 },
            data: Bytes::from(vec![0; *size]),
            ..Entry::default()
        });
        message.set_entries(entries.collect::<Vec<_>>().into());
        let whole = message.entries.to_vec();
        let parts = split(message, 100);
        let found: Vec<_> = parts.iter().map(|part| (part.index, part.log_term, part.entries.len())).collect();
        assert_eq!(found, expected, "{sizes:?}");
        let joined: Vec<Entry> = parts.iter().flat_map(|part| part.entries.iter().cloned()).collect();
        assert_eq!(joined, whole);
        assert!(parts.iter().all(|part| (part.to, part.from, part.term, part.commit) == (2, 1, 5, 9)));
    }

    #[test]
    fn parts_continue_each_other() {
        check(&[], &[(10, 3, 0)]);
        check(&[500], &[(10, 3, 1)]);
        check(&[40, 60], &[(10, 3, 2)]);
        check(&[40, 61, 39, 1], &[(10, 3, 1), (11, 3, 2), (13, 4, 1)]);
        check(&[200, 200, 200], &[(10, 3, 1), (11, 3, 1), (12, 3, 1)]);
    }
}
