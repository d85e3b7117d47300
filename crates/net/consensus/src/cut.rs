//! A cut that an entry carries: every replica stores its snapshot and cuts its log, once the entry is committed.
//!
//! ```text
//! through u64, length u32 of the snapshot, the snapshot, then the data that the state machine is shown
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

const HEADER: usize = 12;

/// The payload of an entry that carries a cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// What the snapshot stands for.
    pub through: u64,
    pub snapshot: Bytes,
    pub data: Bytes,
}

impl Cut {
    /// Bytes that it takes in the log.
    pub(crate) fn size(&self) -> u64 {
        (HEADER + self.snapshot.len() + self.data.len()) as u64
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.size() as usize);
        out.put_u64_le(self.through);
        // Entries are checked to be far smaller.
        out.put_u32_le(u32::try_from(self.snapshot.len()).unwrap_or(u32::MAX));
        out.put_slice(&self.snapshot);
        out.put_slice(&self.data);
        out.freeze()
    }

    /// Shares the payload's memory. None if it is no cut.
    pub(crate) fn decode(mut payload: Bytes) -> Option<Cut> {
        let through = payload.try_get_u64_le().ok()?;
        let len = payload.try_get_u32_le().ok()? as usize;
        if len > payload.len() {
            return None;
        }
        let snapshot = payload.split_to(len);
        Some(Cut { through, snapshot, data: payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cut_reads_back(through in any::<u64>(), snapshot in any::<Vec<u8>>(), data in any::<Vec<u8>>()) {
            let cut = Cut { through, snapshot: snapshot.into(), data: data.into() };
            let payload = cut.encode();
            prop_assert_eq!(payload.len() as u64, cut.size());
            prop_assert_eq!(Cut::decode(payload.clone()), Some(cut.clone()));
            // What is missing at the end is missing of the data; of the snapshot nothing may be.
            for len in 0..payload.len() - cut.data.len() {
                prop_assert_eq!(Cut::decode(payload.slice(..len)), None);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(payload in any::<Vec<u8>>()) {
            let size = payload.len();
            if let Some(cut) = Cut::decode(payload.into()) {
                prop_assert_eq!(cut.size(), size as u64);
            }
        }
    }
}
