//! Batches between two cuts: what a flush writes and a view reads.

use super::{Counts, Payload, Streams};
use crate::error::Error;
use model::{Labels, TenantId, TimeRange};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use wire::batch::Header;

/// Only grows, in the order of the log, until it is cut; then it never changes.
#[derive(Default)]
pub struct Generation(RwLock<HashMap<TenantId, TenantBatches>>);

/// One tenant's batches. Chunks are shared with views, so that taking a list costs one pointer for many batches.
pub struct TenantBatches {
    streams: Arc<Streams>,
    chunks: Chunks,
    rows: u64,
    raw_bytes: u64,
    memory_bytes: u64,
    times: TimeRange,
}

/// What is known of a batch without reading it.
#[derive(Clone)]
pub struct BatchIndex {
    pub index: u64,
    pub sequence: u64,
    pub rows: u32,
    pub body_len: u32,
    pub times: TimeRange,
    pub streams: Box<[StreamRows]>,
    pub rest: Arc<dyn Payload>,
}

/// Rows of one stream in a batch.
#[derive(Clone, Copy)]
pub struct StreamRows {
    pub stream: u32,
    pub times: TimeRange,
}

/// Streams by tenant.
pub type Known = HashMap<TenantId, Arc<Streams>>;

/// Batches in the order of the log, in parts.
pub type Chunks = Vec<Arc<Vec<BatchIndex>>>;

const CHUNK: usize = 64;
/// Streams of a tenant that are remembered beyond a cut.
const MOST_KNOWN: usize = 1 << 16;

impl Generation {
    /// The stream keys of a batch that this generation does not know. Those that `before` knows go to `found`
    /// instead.
    pub fn unknown(&self, header: &Header, before: &Known, found: &mut HashMap<u128, Labels>) -> Vec<u128> {
        let missing: Vec<u128> = {
            let tenants = self.read();
            let streams = tenants.get(&header.tenant).map(|tenant| &tenant.streams);
            let known = |key: &u128| streams.is_some_and(|s| s.id(*key).is_some());
            header.streams.iter().map(|s| s.key).filter(|key| !known(key)).collect()
        };
        if missing.is_empty() {
            return missing;
        }
        let streams = before.get(&header.tenant);
        let mut unknown = Vec::new();
        for key in missing {
            match streams.and_then(|streams| streams.labels(key)) {
                Some(labels) => drop(found.insert(key, labels)),
                None => unknown.push(key),
            }
        }
        unknown
    }

    /// Adds a batch; `labels` has those of its streams that this generation may not know.
    pub fn add(
        &self,
        index: u64,
        sequence: u64,
        header: &Header,
        labels: &HashMap<u128, Labels>,
        rest: Arc<dyn Payload>,
    ) -> Result<(), Error> {
        let mut tenants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let tenant = tenants.entry(header.tenant.clone()).or_insert_with(|| TenantBatches {
            streams: Arc::default(),
            chunks: Vec::new(),
            rows: 0,
            raw_bytes: 0,
            memory_bytes: 256,
            times: TimeRange::EMPTY,
        });
        let mut streams = Vec::with_capacity(header.streams.len());
        for stream in &header.streams {
            let id = match tenant.streams.id(stream.key) {
                Some(id) => id,
                None => {
                    let labels = labels.get(&stream.key).ok_or_else(|| Error::Labels {
                        index,
                        why: "a stream was forgotten while its batch was added".to_owned(),
                    })?;
                    tenant.memory_bytes += labels.packed().len() as u64 + 48;
                    tenant.streams.insert(stream.key, labels)
                }
            };
            streams.push(StreamRows { stream: id, times: stream.times });
        }
        tenant.rows += u64::from(header.rows);
        tenant.raw_bytes += u64::from(header.body_len);
        tenant.memory_bytes += 128 + 24 * streams.len() as u64;
        tenant.times = tenant.times.union(header.times);
        let batch = BatchIndex {
            index,
            sequence,
            rows: header.rows,
            body_len: header.body_len,
            times: header.times,
            streams: streams.into(),
            rest,
        };
        match tenant.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => Arc::make_mut(chunk).push(batch),
            _ => tenant.chunks.push(Arc::new(vec![batch])),
        }
        Ok(())
    }

    /// The streams of all tenants, except those who have so many that they are hardly the same ones again and again. Unlike
    /// the generation itself, they keep no payload.
    pub fn known(&self) -> Known {
        let tenants = self.read();
        let few = tenants.iter().filter(|(_, batches)| batches.streams.len() <= MOST_KNOWN);
        few.map(|(tenant, batches)| (tenant.clone(), batches.streams.clone())).collect()
    }

    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self.read().keys().cloned().collect();
        tenants.sort();
        tenants
    }

    /// A tenant's streams and batches as they are now.
    pub fn batches(&self, tenant: &TenantId) -> Option<(Arc<Streams>, Chunks)> {
        self.read().get(tenant).map(|t| (t.streams.clone(), t.chunks.clone()))
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for tenant in self.read().values() {
            counts.add(Counts {
                tenants: 1,
                batches: tenant.chunks.iter().map(|chunk| chunk.len() as u64).sum(),
                rows: tenant.rows,
                raw_bytes: tenant.raw_bytes,
                memory_bytes: tenant.memory_bytes,
                times: Counts::range(tenant.times),
            });
        }
        counts
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<TenantId, TenantBatches>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
