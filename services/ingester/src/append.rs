//! Takes a distributor's batches: looks at them, has them logged, and answers once they can be read.

use crate::error::Error;
use crate::shard::Shard;
use crate::signal::{Admission, Head};
use bytes::Bytes;
use metrics::Bounds;
use model::{BatchId, ByteSize, TenantId};
use node::{Compute, Pool};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use transport::v1;
use wire::batch::{Batch, Entry};

/// How long a new leader may take to put what its log has into a head before writes look elsewhere.
pub const REPLAY: Duration = Duration::from_secs(10);

/// Bytes of batches that are being logged and applied, and the limit of them.
#[derive(Debug)]
pub struct InFlight {
    used: AtomicU64,
    limit: ByteSize,
}

/// Gives its bytes back when it goes.
pub struct Charge<'a>(&'a InFlight, u64);

impl InFlight {
    pub fn new(limit: ByteSize) -> InFlight {
        InFlight { used: AtomicU64::new(0), limit }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes room for a request, or says that there is none.
    pub fn charge(&self, bytes: u64) -> Result<Charge<'_>, Error> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let charge = Charge(self, bytes);
        match used > self.limit.0 && used > bytes {
            true => Err(Error::Busy { used: ByteSize(used), limit: self.limit }),
            false => Ok(charge),
        }
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.0.used.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// Appends the batches of one entry. The reply has one outcome for each of them, in order.
pub async fn append<H: Head>(
    shard: &Arc<Shard<H>>,
    entry: Bytes,
    bounds: impl Fn(&TenantId) -> Bounds + Send + 'static,
    compute: &Compute,
) -> Result<v1::AppendReply, Error> {
    let batches = read(shard, entry.clone())?;
    // What a head without all rows would let in could contradict them.
    shard.serving(REPLAY).await?;
    let head = shard.head();
    let admitted = compute.run(Pool::Writes, move || admit(&*head, batches, bounds)).await?;
    let untouched = admitted.iter().all(|a| a.refused.is_empty() && a.batch.is_some());
    let mut outcomes: Vec<v1::Outcome> = Vec::with_capacity(admitted.len());
    let (mut kept, mut places, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    for (at, admission) in admitted.into_iter().enumerate() {
        outcomes.push(v1::Outcome { refused: admission.refused, repeated_batch: false });
        let Some(batch) = admission.batch else { continue };
        bodies.extend(admission.body.map(|body| (batch.header.id, body)));
        places.push(at);
        kept.push(batch);
    }
    if kept.is_empty() {
        return Ok(v1::AppendReply { outcomes });
    }
    let data = if untouched { entry } else { Entry::encode_batches(&kept) };
    for (place, outcome) in places.into_iter().zip(propose(shard, data, bodies).await?.outcomes) {
        outcomes[place].repeated_batch = outcome.repeated_batch;
        outcomes[place].refused.extend(outcome.refused);
    }
    Ok(v1::AppendReply { outcomes })
}

fn read<H: Head>(shard: &Shard<H>, entry: Bytes) -> Result<Vec<Batch>, Error> {
    let Entry::Batches(batches) = Entry::decode(entry)? else {
        return Err(Error::Entry(wire::error::DecodeError::Protobuf { why: "not an entry of batches" }));
    };
    match batches.iter().find(|b| b.header.format.signal() != shard.id.signal) {
        Some(batch) => Err(Error::Signal { shard: shard.id, found: batch.header.format.signal() }),
        None => Ok(batches),
    }
}

fn admit<H: Head>(
    head: &H,
    batches: Vec<Batch>,
    bounds: impl Fn(&TenantId) -> Bounds,
) -> Result<Vec<Admission>, Error> {
    let admit = |batch: Batch| {
        let bounds = bounds(&batch.header.tenant);
        head.admit(batch, &bounds)
    };
    batches.into_iter().map(admit).collect()
}

async fn propose<H: Head>(
    shard: &Arc<Shard<H>>,
    data: Bytes,
    bodies: Vec<(BatchId, Bytes)>,
) -> Result<v1::AppendReply, Error> {
    let ids: Vec<BatchId> = bodies.iter().map(|(id, _)| *id).collect();
    shard.keep_bodies(bodies);
    let proposed = shard.group()?.propose(data).await;
    shard.forget_bodies(&ids);
    let reply = proposed.map_err(|source| Error::Consensus { shard: shard.id, source })?.reply;
    // The reply was made by this node's own state machine.
    Ok(v1::AppendReply::decode(reply).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back() {
        let limit = InFlight::new(ByteSize(100));
        let first = limit.charge(60).expect("room");
        let error = limit.charge(50).map(drop).expect_err("no room").to_string();
        assert!(error.contains("110 B") && error.contains("100 B") && error.contains("in_flight"), "{error}");
        drop(first);
        let alone = limit.charge(500);
        assert!(alone.is_ok(), "a single large request is let in when nothing else is on its way");
        drop(alone);
        assert_eq!(limit.used(), 0);
    }
}
