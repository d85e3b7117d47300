//! Byte ranges of segments and blocks: from memory, from the querier that keeps them, or from the object store.
//!
//! The ring over the live queriers says who keeps an object's ranges. Others ask it, and it reads what it does not have;
//! so a range comes from the object store once, whoever is asked the query. If it does not answer, whoever asked reads the
//! object store itself: views of the ring may differ, and queriers may die, at the cost of a request.

use crate::error::QueryError;
use crate::peers::Peers;
use crate::settings::Settings;
use block::Source;
use bytes::Bytes;
use catalog::Name;
use model::Reason;
use objects::{Object, Store};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use telemetry::Exposition;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use transport::v1::ranges_client::RangesClient;
use transport::v1::{RangeReply, RangeRequest};
use transport::{Link, status};

/// Longer ranges are read from the object store by whoever needs them, and are not kept.
const MOST: u64 = 8 << 20;
/// What a message has beside the range.
const ENVELOPE: usize = 1 << 10;
/// How long another querier has to answer, before the object store is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ranges that others are given at once.
const GIVEN: usize = 64;
/// About how large a range is, for the cache's tables.
const USUAL: u64 = 16 << 10;

/// Cheap to clone.
#[derive(Clone)]
pub struct Ranges {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    cache: Cache<(Arc<str>, u64, u64), Bytes, Weight>,
    peers: Arc<Peers>,
    runtime: Handle,
    given: Semaphore,
    counts: Counts,
}

#[derive(Clone)]
struct Weight;

impl Weighter<(Arc<str>, u64, u64), Bytes> for Weight {
    fn weight(&self, (name, ..): &(Arc<str>, u64, u64), data: &Bytes) -> u64 {
        (name.len() + data.len() + 64) as u64
    }
}

/// Counted since the start.
#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    from_store: AtomicU64,
    from_peers: AtomicU64,
    without_peer: AtomicU64,
    given: AtomicU64,
    store_bytes: AtomicU64,
}

impl Ranges {
    /// Of a store. To be called within the runtime.
    pub fn new(store: Store, settings: &Settings, peers: Arc<Peers>) -> Ranges {
        let bytes = settings.cache.0;
        let cache = Cache::with_weighter((bytes / USUAL) as usize + 1, bytes, Weight);
        let (given, counts) = (Semaphore::new(GIVEN), Counts::default());
        Ranges { inner: Arc::new(Inner { store, cache, peers, runtime: Handle::current(), given, counts }) }
    }

    /// An object to be read by threads that may block.
    pub fn object(&self, name: &str) -> Shared {
        // Threads that were begun for a query are not the runtime's.
        let _within = self.inner.runtime.enter();
        Shared { ranges: self.clone(), name: name.into(), object: self.inner.store.object(name) }
    }

    /// A range of an object. `others`: whether another querier may be asked for it.
    async fn read(&self, name: &Arc<str>, range: Range<u64>, others: bool) -> Result<Bytes, objects::Error> {
        let inner = &self.inner;
        inner.counts.asked.fetch_add(1, Relaxed);
        if range.end.saturating_sub(range.start) > MOST {
            return self.fetch(name, range).await;
        }
        let key = (name.clone(), range.start, range.end);
        let find = async {
            if let Some((peer, link)) = inner.peers.owner(name).filter(|_| others) {
                match ask(link, name, range.clone()).await {
                    Ok(data) => {
                        inner.counts.from_peers.fetch_add(1, Relaxed);
                        return Ok(data);
                    }
                    Err(why) => {
                        tracing::debug!(peer, object = &**name, why, "a querier did not give a range");
                        inner.counts.without_peer.fetch_add(1, Relaxed);
                        inner.peers.avoid(peer);
                    }
                }
            }
            self.fetch(name, range).await
        };
        // Whoever else wants the same range meanwhile waits for this one.
        inner.cache.get_or_insert_async(&key, find).await
    }

    async fn fetch(&self, name: &str, range: Range<u64>) -> Result<Bytes, objects::Error> {
        let counts = &self.inner.counts;
        counts.from_store.fetch_add(1, Relaxed);
        counts.store_bytes.fetch_add(range.end.saturating_sub(range.start), Relaxed);
        self.inner.store.range(name, range).await
    }

    pub fn meters(&self, out: &mut Exposition) {
        let Counts { asked, from_store, from_peers, without_peer, given, store_bytes } = &self.inner.counts;
        for (name, help, count) in [
            ("ouro_querier_ranges_total", "Ranges of segments and blocks that queries asked for.", asked),
            ("ouro_querier_store_reads_total", "Those that were read from the object store.", from_store),
            ("ouro_querier_store_read_bytes_total", "Bytes of those.", store_bytes),
            ("ouro_querier_peer_reads_total", "Ranges that another querier gave.", from_peers),
            ("ouro_querier_peer_failures_total", "Ranges for which another querier was asked in vain.", without_peer),
            ("ouro_querier_ranges_given_total", "Ranges that were given to other queriers.", given),
        ] {
            out.counter(name, help, &[], count.load(Relaxed));
        }
        let bytes = self.inner.cache.weight() as f64;
        out.gauge("ouro_querier_cache_bytes", "Bytes of segments and blocks in memory.", &[], bytes);
        let limit = self.inner.cache.capacity() as f64;
        out.gauge("ouro_querier_cache_limit_bytes", "The most there may be (querier.cache).", &[], limit);
    }
}

async fn ask(link: Link, name: &str, range: Range<u64>) -> Result<Bytes, String> {
    let len = range.end - range.start;
    let mut client = RangesClient::new(link).max_decoding_message_size(MOST as usize + ENVELOPE);
    let request = RangeRequest { object: name.to_owned(), start: range.start, end: range.end };
    let answered = timeout(PATIENCE, client.read(request)).await;
    let reply = answered.map_err(|_| format!("no answer within {PATIENCE:?}"))?;
    let data = reply.map_err(|status| status.message().to_owned())?.into_inner().data;
    if data.len() as u64 == len { Ok(data) } else { Err(format!("{} bytes instead of {len}", data.len())) }
}

/// One object, read by way of its ranges.
pub struct Shared {
    ranges: Ranges,
    name: Arc<str>,
    object: Object,
}

impl Source for Shared {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Result<u64, objects::Error> {
        self.object.size()
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes, objects::Error> {
        let inner = &self.ranges.inner;
        match inner.store.is_local() {
            true => self.object.read(range),
            false => inner.runtime.block_on(self.ranges.read(&self.name, range, true)),
        }
    }

    fn stride(&self) -> u64 {
        block::stride(self.object.is_local())
    }
}

#[tonic::async_trait]
impl transport::v1::ranges_server::Ranges for Ranges {
    async fn read(&self, request: Request<RangeRequest>) -> Result<Response<RangeReply>, Status> {
        let RangeRequest { object, start, end } = request.into_inner();
        if Name::parse(&object).is_none() {
            return Err(status::grpc(Reason::BadInput, format!("{object:?} is not the name of a segment or block")));
        }
        if end < start || end - start > MOST {
            let text = format!("a range of at most {MOST} bytes is given, not {start}..{end}");
            return Err(status::grpc(Reason::BadInput, text));
        }
        // Never closed.
        let _permit = self.inner.given.acquire().await;
        self.inner.counts.given.fetch_add(1, Relaxed);
        let data = Ranges::read(self, &object.into(), start..end, false).await;
        let data = data.map_err(QueryError::from).map_err(|e| status::grpc(e.reason, e.text))?;
        Ok(Response::new(RangeReply { data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::v1::ranges_server::Ranges as Service;

    const OBJECT: &str = "segments/logs-0/1-2-3.seg";

    async fn ranges() -> Ranges {
        let settings = objects::Settings { url: "memory:///".into(), ..Default::default() };
        let store = Store::open(&settings, std::path::Path::new("/unused")).expect("opens");
        store.put(OBJECT, Bytes::from_static(b"0123456789")).await.expect("written");
        Ranges::new(store, &Settings::default(), Arc::default())
    }

    #[tokio::test]
    async fn a_range_is_read_once() {
        let ranges = ranges().await;
        let name: Arc<str> = OBJECT.into();
        let all = futures::future::join_all((0..20).map(|_| ranges.read(&name, 2..5, true))).await;
        assert!(all.into_iter().all(|read| read.expect("read") == "234"));
        assert_eq!(ranges.inner.counts.from_store.load(Relaxed), 1);
        assert_eq!(ranges.read(&name, 2..6, true).await.expect("read"), "2345");
        assert_eq!(ranges.inner.counts.from_store.load(Relaxed), 2);
        // A failure is not kept.
        assert!(ranges.read(&name, 8..12, true).await.is_err());
        assert!(ranges.read(&name, 8..12, true).await.is_err());
        assert_eq!(ranges.inner.counts.from_store.load(Relaxed), 4);
    }

    #[tokio::test]
    async fn only_segments_and_blocks_are_given() {
        let ranges = ranges().await;
        let ask = async |object: &str, start, end| {
            let request = RangeRequest { object: object.into(), start, end };
            let reply = Service::read(&ranges, Request::new(request)).await;
            reply.map(|reply| reply.into_inner().data).map_err(|status| status::reason(&status))
        };
        assert_eq!(ask(OBJECT, 0, 3).await, Ok(Bytes::from_static(b"012")));
        assert_eq!(ask("control/first/ingester-0", 0, 3).await, Err(Reason::BadInput));
        assert_eq!(ask(OBJECT, 3, 2).await, Err(Reason::BadInput));
        assert_eq!(ask(OBJECT, 0, MOST + 1).await, Err(Reason::BadInput));
        assert_eq!(ask("segments/logs-0/1-2-4.seg", 0, 3).await, Err(Reason::NotFound));
    }
}
