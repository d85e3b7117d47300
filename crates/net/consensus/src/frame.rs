//! How Raft messages travel: many groups' messages to one peer in one piece.
//!
//! ```text
//! version u8, then for each message: group u64, length u32, a Raft message in protobuf
//! ```

use bytes::{Buf, Bytes};
use model::GroupId;
use protobuf::Message as _;
use raft::eraftpb::Message;

const VERSION: u8 = 1;
const HEADER: usize = 12;

/// A batch being made.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    pub messages: u64,
}

impl Batch {
    /// The one copy of an entry on its way to a peer.
    pub(crate) fn push(&mut self, group: GroupId, message: &Message) {
        let size = message.compute_size();
        self.bytes.reserve(1 + HEADER + size as usize);
        if self.bytes.is_empty() {
            self.bytes.push(VERSION);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&group.0.to_le_bytes());
        self.bytes.extend_from_slice(&size.to_le_bytes());
        if let Err(error) = message.write_to_vec(&mut self.bytes) {
            // A message that Raft made is always complete, and a vector takes all bytes.
            tracing::error!(%error, "a raft message cannot be written");
            self.bytes.truncate(start);
            return;
        }
        self.messages += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn take(&mut self) -> Bytes {
        self.messages = 0;
        std::mem::take(&mut self.bytes).into()
    }
}

/// The messages of a batch, whose entries share its memory. Stops at the first malformed one, which is None.
pub(crate) fn messages(mut batch: Bytes) -> impl Iterator<Item = Option<(GroupId, Message)>> {
    let known = batch.try_get_u8().is_ok_and(|version| version == VERSION);
    let mut left = Some(batch);
    if !known {
        left = None;
    }
    let mut first_bad = !known;
    std::iter::from_fn(move || {
        if std::mem::take(&mut first_bad) {
            return Some(None);
        }
        let batch = left.as_mut().filter(|batch| !batch.is_empty())?;
        let message = next(batch);
        if message.is_none() {
            left = None;
        }
        Some(message)
    })
}

fn next(batch: &mut Bytes) -> Option<(GroupId, Message)> {
    let group = GroupId(batch.try_get_u64_le().ok()?);
    let len = batch.try_get_u32_le().ok()? as usize;
    if len > batch.len() {
        return None;
    }
    let message = Message::parse_from_carllerche_bytes(&batch.split_to(len)).ok()?;
    Some((group, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use raft::eraftpb::{Entry, MessageType};

    fn message(to: u64, data: &'static [u8]) -> Message {
        let mut message = Message { to, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        message.set_entries(vec![Entry { index: 9, data: Bytes::from_static(data), ..Entry::default() }].into());
        message
    }

    #[test]
    fn messages_come_out_as_they_went_in_without_a_copy() {
        let mut batch = Batch::default();
        batch.push(GroupId(7), &message(2, b"some data"));
        batch.push(GroupId(8), &message(2, b"more"));
        assert_eq!(batch.messages, 2);
        let bytes = batch.take();
        assert_eq!(batch.len(), 0);
        let read: Vec<_> = messages(bytes.clone()).map(|m| m.expect("well formed")).collect();
        assert_eq!(read.iter().map(|(group, _)| group.0).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(read[1].1.entries, message(2, b"more").entries);
        let range = bytes.as_ptr_range();
        assert!(range.contains(&read[0].1.entries[0].data.as_ptr()), "the entry's data is a part of the batch");
        for len in 0..bytes.len() {
            let read: Vec<_> = messages(bytes.slice(..len)).collect();
            assert!(read.len() <= 2, "cut at {len}");
        }
        assert!(messages(Bytes::from_static(&[9, 1, 2])).all(|m| m.is_none()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![VERSION];
            bytes.extend(data);
            let _ = messages(bytes.into()).count();
        }
    }
}
