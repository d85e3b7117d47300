//! The ingester: opens the log and every shard, and answers distributors, queriers and the control group's clients.

use crate::append::{self, InFlight};
use crate::control::Control;
use crate::error::Error;
use crate::flush::{Away, Counts, Flusher};
use crate::lead;
use crate::logs_head::LogsHead;
use crate::machine::Machine;
use crate::metrics_head::MetricsHead;
use crate::select::{self, Messages};
use crate::settings::{MemorySettings, Settings};
use crate::shard::Shard;
use crate::signal::{Head, Question, Stats};
use crate::snapshot::Flushed;
use bytes::Bytes;
use consensus::{Host, NoPeers};
use model::{ByteSize, GroupId, ShardCounts, ShardId, Signal, TenantId, TimeRange};
use node::{Compute, Node};
use objects::Store;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use telemetry::Exposition;
use tenancy::LimitTable;
use tokio::sync::{Semaphore, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use transport::{rows, status, v1};

/// The name of this node in Raft, while it is the only one.
const ME: consensus::Node = consensus::Node(1);
/// How often the log is asked whether an idle group holds its oldest segment.
const PRESSURE_CHECK: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub struct Ingester {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    control: Control,
    logs: Vec<Arc<Shard<LogsHead>>>,
    metrics: Vec<Arc<Shard<MetricsHead>>>,
    limits: Arc<LimitTable>,
    compute: Compute,
    memory: MemorySettings,
    reads: Arc<Semaphore>,
    in_flight: InFlight,
    counts: Arc<Counts>,
    away: watch::Receiver<Option<Away>>,
}

/// How an ingester is.
#[derive(Debug, Clone)]
pub struct Health {
    /// Since when, and why, flushes cannot reach the object store. Writes and reads go on meanwhile.
    pub store_away: Option<Away>,
}

impl Ingester {
    /// Opens the log under `data` and all shards. Returns once each can be written and read.
    pub async fn open(
        data: &Path,
        settings: &Settings,
        shards: ShardCounts,
        limits: Arc<LimitTable>,
        store: Store,
        node: &Node,
    ) -> Result<Ingester, Error> {
        let folder = data.join("raft");
        let opened = Ingester::open_log(&folder, settings, shards, limits, store, node).await;
        opened.map_err(|error| Error::Open { folder, why: error.to_string() })
    }

    async fn open_log(
        folder: &Path,
        settings: &Settings,
        shards: ShardCounts,
        limits: Arc<LimitTable>,
        store: Store,
        node: &Node,
    ) -> Result<Ingester, Error> {
        let host = Host::open(folder, ME, settings.consensus.clone(), Arc::new(NoPeers));
        let host = host.map_err(Error::Control)?;
        let control = Control::open(&host, ME).await?;
        let (away, watched) = watch::channel(None);
        let flusher = Flusher {
            control: control.clone(),
            store,
            compute: node.compute().clone(),
            settings: settings.flush.clone(),
            counts: Arc::default(),
            away,
        };
        let open = Opening { host: &host, flusher: &flusher, node };
        let logs = open.shards::<LogsHead>(shards.shards(Signal::Logs), &settings.logs).await?;
        let metrics = open.shards::<MetricsHead>(shards.shards(Signal::Metrics), &settings.metrics).await?;
        let inner = Inner {
            control,
            logs,
            metrics,
            limits,
            compute: node.compute().clone(),
            memory: settings.memory.clone(),
            reads: Arc::new(Semaphore::new(settings.reads)),
            in_flight: InFlight::new(settings.memory.in_flight),
            counts: flusher.counts.clone(),
            away: watched,
            host,
        };
        let ingester = Ingester { inner: Arc::new(inner) };
        node.spawn("ingester: log pressure", ingester.clone().watch_pressure(node.clone()));
        Ok(ingester)
    }

    /// The group that holds the log's oldest segment is flushed, so that the segment can go.
    async fn watch_pressure(self, node: Node) {
        let mut stopping = node.stopping();
        loop {
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(PRESSURE_CHECK) => {}
            }
            if let Some(oldest) = self.inner.host.journal_pressure() {
                self.relieve(oldest).await;
            }
        }
    }

    /// Groups without rows hold segments by entries of Raft's own; to cut those costs little, so all of them are.
    async fn relieve(&self, oldest: GroupId) {
        tracing::debug!(group = oldest.0, "the log is short of room: its oldest segment is flushed");
        self.inner.control.cut().await;
        let oldest = ShardId::from_group(oldest);
        wake(&self.inner.logs, oldest);
        wake(&self.inner.metrics, oldest);
    }

    pub fn control(&self) -> &Control {
        &self.inner.control
    }

    pub fn health(&self) -> Health {
        Health { store_away: self.inner.away.borrow().clone() }
    }

    /// Closes the log. What was acked is in it; nothing needs to be flushed.
    pub async fn shutdown(&self) {
        self.inner.host.clone().shutdown().await;
    }

    fn heads_memory(&self) -> u64 {
        let logs: u64 = self.inner.logs.iter().map(|shard| shard.memory()).sum();
        logs + self.inner.metrics.iter().map(|shard| shard.memory()).sum::<u64>()
    }

    async fn append(&self, request: v1::AppendRequest) -> Result<v1::AppendReply, Error> {
        let inner = &self.inner;
        let shard = rows::shard_id(request.shard).map_err(|_| Error::Entry(wire::error::DecodeError::Truncated))?;
        let used = self.heads_memory();
        if used > inner.memory.heads.0 {
            inner.logs.iter().for_each(|shard| want(shard));
            inner.metrics.iter().for_each(|shard| want(shard));
            return Err(Error::HeadsFull { used: ByteSize(used), limit: inner.memory.heads });
        }
        let _charge = inner.in_flight.charge(request.entry.len() as u64)?;
        let limits = inner.limits.clone();
        let window = move |tenant: &TenantId| limits.of(tenant).out_of_order_window;
        match shard.signal {
            Signal::Logs => append::append(find(&inner.logs, shard)?, request.entry, window, &inner.compute).await,
            Signal::Metrics => {
                append::append(find(&inner.metrics, shard)?, request.entry, window, &inner.compute).await
            }
        }
    }

    async fn select(&self, request: v1::SelectRequest) -> Result<Messages, Status> {
        let bad = |e: rows::Malformed| status::grpc(model::Reason::BadInput, e.to_string());
        let what = request.what();
        let shard = rows::shard_id(request.shard).map_err(bad)?;
        let question = Question {
            tenant: TenantId::new(&request.tenant).map_err(|e| status::grpc(model::Reason::BadInput, e.to_string()))?,
            what,
            matchers: rows::read_matchers(request.matchers).map_err(bad)?,
            range: TimeRange::new(request.min_time, request.max_time),
            contains: request.contains,
            limit: usize::try_from(request.limit).ok().filter(|limit| *limit > 0),
            newest: request.newest,
        };
        let (inner, reads) = (&self.inner, &self.inner.reads);
        let messages = match shard.signal {
            Signal::Logs => match find(&inner.logs, shard) {
                Ok(shard) => select::select(shard, question, request.max_bytes, reads).await,
                Err(error) => Err(error),
            },
            Signal::Metrics => match find(&inner.metrics, shard) {
                Ok(shard) => select::select(shard, question, request.max_bytes, reads).await,
                Err(error) => Err(error),
            },
        };
        messages.map_err(|e| status::grpc(e.reason(), e.to_string()))
    }

    /// Asks for a flush of every shard; with `wait`, returns once all rows that were acked before are in the object store.
    pub async fn flush(&self, wait: bool) {
        let before = self.inner.logs.iter().map(|s| (s.progress.subscribe(), s.rows_through(), want(s)));
        let before: Vec<_> = before
            .chain(self.inner.metrics.iter().map(|s| (s.progress.subscribe(), s.rows_through(), want(s))))
            .collect();
        for (mut progress, through, ()) in before.into_iter().filter(|_| wait) {
            // The sender lives as long as the shard.
            let _ = progress.wait_for(|flushed| *flushed >= through).await;
        }
    }

    /// Writes this node's meters.
    pub fn meters(&self, out: &mut Exposition) {
        let inner = &self.inner;
        crate::meters::write(
            out,
            &inner.host.stats(),
            &inner.counts,
            inner.away.borrow().is_some(),
            inner.in_flight.used(),
            inner.counts.failures.load(Ordering::Relaxed),
        );
        self.head_meters(out, Signal::Logs, &inner.logs.iter().map(|s| s.stats()).collect::<Vec<_>>());
        self.head_meters(out, Signal::Metrics, &inner.metrics.iter().map(|s| s.stats()).collect::<Vec<_>>());
    }

    fn head_meters(&self, out: &mut Exposition, signal: Signal, stats: &[Stats]) {
        crate::meters::heads(out, signal, stats);
    }
}

/// Wakes the flushes of one shard, and of those that have nothing to flush but may have a log to cut.
fn wake<H: Head>(shards: &[Arc<Shard<H>>], named: Option<ShardId>) {
    shards.iter().filter(|s| Some(s.id) == named || s.stats().rows == 0).for_each(|s| s.wanted.notify_one());
}

fn want<H: Head>(shard: &Shard<H>) {
    shard.wanted.notify_one();
}

fn find<H: Head>(shards: &[Arc<Shard<H>>], id: ShardId) -> Result<&Arc<Shard<H>>, Error> {
    shards.get(id.index as usize).ok_or(Error::NotHere { shard: id })
}

/// What opening a shard needs.
struct Opening<'a> {
    host: &'a Host,
    flusher: &'a Flusher,
    node: &'a Node,
}

impl Opening<'_> {
    /// Opens all shards of a signal, then waits for all: their logs are replayed side by side.
    async fn shards<H: Head>(
        &self,
        ids: impl Iterator<Item = ShardId>,
        settings: &H::Settings,
    ) -> Result<Vec<Arc<Shard<H>>>, Error> {
        let mut shards = Vec::new();
        for id in ids {
            let known = self.flusher.control.catalog().shard(id);
            let shard = Shard::<H>::new(id, settings, Flushed { through: known.through, version: known.version });
            let group = self.host.group(id.group(), &[ME], Box::new(Machine(shard.clone())));
            group.map_err(|source| Error::Consensus { shard: id, source })?;
            shards.push(shard);
        }
        for shard in &shards {
            let led = lead::wait(shard.group()?, &shard.led).await;
            led.map_err(|source| Error::Consensus { shard: shard.id, source })?;
            let keep = self.flusher.clone().keep(shard.clone(), self.node.stopping());
            self.node.spawn(format!("ingester: flushes of {}", shard.id), keep);
        }
        Ok(shards)
    }
}

#[tonic::async_trait]
impl v1::ingest_server::Ingest for Ingester {
    async fn append(&self, request: Request<v1::AppendRequest>) -> Result<Response<v1::AppendReply>, Status> {
        let reply = Ingester::append(self, request.into_inner()).await;
        reply.map(Response::new).map_err(|e| status::grpc(e.reason(), e.to_string()))
    }

    async fn flush(&self, request: Request<v1::FlushRequest>) -> Result<Response<v1::FlushReply>, Status> {
        let counts = &self.inner.counts;
        let count = || (counts.rows.load(Ordering::Relaxed), counts.segments.load(Ordering::Relaxed));
        let before = count();
        Ingester::flush(self, request.into_inner().wait).await;
        let after = count();
        Ok(Response::new(v1::FlushReply { rows: after.0 - before.0, segments: after.1 - before.1 }))
    }
}

#[tonic::async_trait]
impl v1::read_server::Read for Ingester {
    type SelectStream = ReceiverStream<Result<v1::SelectReply, Status>>;

    async fn select(&self, request: Request<v1::SelectRequest>) -> Result<Response<Self::SelectStream>, Status> {
        let messages = Ingester::select(self, request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

#[tonic::async_trait]
impl v1::control_server::Control for Ingester {
    async fn catalog(&self, request: Request<v1::CatalogRequest>) -> Result<Response<v1::CatalogReply>, Status> {
        let v1::CatalogRequest { at_least, known } = request.into_inner();
        let catalog = self.inner.control.at_least(at_least).await;
        let version = catalog.version();
        let bytes = if version == known { Bytes::new() } else { catalog.encode().into() };
        Ok(Response::new(v1::CatalogReply { version, catalog: bytes }))
    }

    async fn propose(&self, request: Request<v1::ProposeRequest>) -> Result<Response<v1::ProposeReply>, Status> {
        let reply = self.inner.control.propose_raw(request.into_inner().command).await;
        let reply = reply.map_err(|e| status::grpc(e.reason(), e.to_string()))?;
        Ok(Response::new(v1::ProposeReply { reply }))
    }
}
