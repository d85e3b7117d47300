//! The ingester: opens the log and every shard, and answers distributors, queriers and the control group's clients.

use crate::append::{self, InFlight};
use crate::control::{Control, deletes};
use crate::error::Error;
use crate::flush::{self, Away, Counts, Flusher};
use crate::keeper::Keeper;
use crate::logs_head::{self, LogsHead};
use crate::metrics_head::MetricsHead;
use crate::peers::Peers;
use crate::select::{self, Messages};
use crate::settings::{MemorySettings, Settings};
use crate::shard::Shard;
use crate::shards::Shards;
use crate::signal::{Head, Question, Stats};
use bytes::Bytes;
use consensus::{Group, Host, NoPeers};
use model::{ByteSize, GroupId, ShardCounts, ShardId, Signal, TenantId, TimeRange};
use node::{Compute, Node};
use objects::Store;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use telemetry::Exposition;
use tenancy::{LimitTable, Limits};
use tokio::sync::{Semaphore, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use transport::{rows, status, v1};

/// The name in Raft of a node that is the only one.
const ALONE: consensus::Node = consensus::Node(1);
/// How often the log is asked whether an idle group holds its oldest segment.
const PRESSURE_CHECK: Duration = Duration::from_secs(2);
/// How long a request for a newer placement waits for one.
const PLACEMENT_WAIT: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone)]
pub struct Ingester {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    me: consensus::Node,
    peers: Peers,
    control: Control,
    logs: Arc<Shards<LogsHead>>,
    metrics: Arc<Shards<MetricsHead>>,
    limits: Arc<LimitTable>,
    compute: Compute,
    memory: MemorySettings,
    /// What the log may take on disk.
    journal: ByteSize,
    reads: Arc<Semaphore>,
    in_flight: InFlight,
    counts: Arc<Counts>,
    away: watch::Receiver<Option<Away>>,
}

/// A log that is open, with the control group.
pub(crate) struct Opened {
    pub host: Host,
    pub me: consensus::Node,
    pub control: Control,
    pub peers: Peers,
}

/// How an ingester is.
#[derive(Debug, Clone)]
pub struct Health {
    /// Since when, and why, flushes cannot reach the object store. Writes and reads go on meanwhile.
    pub store_away: Option<Away>,
}

impl Ingester {
    /// Opens the log under `data` as the only ingester there is, with at least so many shards. Returns once each can be
    /// written and read.
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
        let host = Host::open(folder, ALONE, settings.consensus.clone(), Arc::new(NoPeers));
        let host = host.map_err(Error::Control)?;
        let control = Control::open(&host, &[ALONE], Peers::none())?;
        control.lead().await?;
        let opened = Opened { host, me: ALONE, control, peers: Peers::none() };
        let (keeper, ingester) = Ingester::assemble(opened, settings, limits, store, node);
        let table = keeper.place_all(shards).await?;
        keeper.open(&table)?;
        keeper.lead_all().await?;
        node.spawn("ingester: log pressure", ingester.clone().watch_pressure(node.clone()));
        Ok(ingester)
    }

    pub(crate) fn assemble(
        opened: Opened,
        settings: &Settings,
        limits: Arc<LimitTable>,
        store: Store,
        node: &Node,
    ) -> (Keeper, Ingester) {
        let Opened { host, me, control, peers } = opened;
        let (away, watched) = watch::channel(None);
        let flusher = Flusher {
            control: control.clone(),
            store,
            compute: node.compute().clone(),
            settings: settings.flush.clone(),
            counts: Arc::default(),
            away,
        };
        let keeper = Keeper {
            host: host.clone(),
            me,
            flusher,
            node: node.clone(),
            logs: Arc::default(),
            metrics: Arc::default(),
            logs_settings: logs_head::Settings { encoding: settings.logs.clone(), limits: limits.clone() },
            metrics_settings: settings.metrics,
        };
        let inner = Inner {
            control,
            logs: keeper.logs.clone(),
            metrics: keeper.metrics.clone(),
            limits,
            compute: node.compute().clone(),
            memory: settings.memory.clone(),
            journal: settings.consensus.journal.max_size,
            reads: Arc::new(Semaphore::new(settings.reads)),
            in_flight: InFlight::new(settings.memory.in_flight),
            counts: keeper.flusher.counts.clone(),
            away: watched,
            host,
            me,
            peers,
        };
        (keeper, Ingester { inner: Arc::new(inner) })
    }

    /// The group that holds the log's oldest segment is flushed, so that the segment can go.
    pub(crate) async fn watch_pressure(self, node: Node) {
        let mut stopping = node.stopping();
        loop {
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(PRESSURE_CHECK) => {}
            }
            self.inner.control.tidy().await;
            if let Some(oldest) = self.inner.host.journal_pressure() {
                self.relieve(oldest).await;
            }
        }
    }

    /// Entries of Raft's own, which hold segments too, are let go of by the host.
    async fn relieve(&self, oldest: GroupId) {
        tracing::debug!(group = oldest.0, "the log is short of room: its oldest segment is flushed");
        let Some(shard) = ShardId::from_group(oldest) else { return self.inner.control.cut().await };
        let Ok(group) = self.group(oldest) else { return };
        match group.status().leader {
            Some(leader) if leader != self.inner.me => {
                if let Err(error) = self.inner.peers.flush(leader.0, shard).await {
                    tracing::warn!(%shard, %error, "the log is short of room, and the leader of its oldest shard does not flush");
                }
            }
            _ => self.want(shard),
        }
    }

    fn want(&self, shard: ShardId) {
        match shard.signal {
            Signal::Logs => self.inner.logs.find(shard).iter().for_each(|shard| want(shard)),
            Signal::Metrics => self.inner.metrics.find(shard).iter().for_each(|shard| want(shard)),
        }
    }

    pub(crate) fn me(&self) -> consensus::Node {
        self.inner.me
    }

    pub(crate) fn host(&self) -> Host {
        self.inner.host.clone()
    }

    /// A group that is open here.
    pub(crate) fn group(&self, id: GroupId) -> Result<Group, Error> {
        match ShardId::from_group(id) {
            None if id == GroupId::CONTROL => self.inner.control.group().cloned(),
            None => Err(Error::NoGroup { group: id }),
            Some(shard) => match shard.signal {
                Signal::Logs => self.inner.logs.find(shard)?.group().cloned(),
                Signal::Metrics => self.inner.metrics.find(shard)?.group().cloned(),
            },
        }
    }

    /// All groups that are open here, and whether this node leads each and has applied what came before.
    pub(crate) fn groups(&self) -> Vec<(Group, bool)> {
        fn of<H: Head>(shards: &Shards<H>) -> Vec<(Group, bool)> {
            let group = |shard: &Arc<Shard<H>>| Some((shard.group().ok()?.clone(), shard.led.borrow().is_some()));
            shards.all().iter().filter_map(group).collect()
        }
        let control = self.inner.control.group().ok().map(|group| (group.clone(), self.inner.control.led().is_some()));
        let shards = of(&self.inner.logs).into_iter().chain(of(&self.inner.metrics));
        control.into_iter().chain(shards).collect()
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
        self.inner.logs.memory() + self.inner.metrics.memory()
    }

    async fn append(&self, request: v1::AppendRequest) -> Result<v1::AppendReply, Error> {
        let inner = &self.inner;
        let shard = rows::shard_id(request.shard).map_err(|_| Error::Entry(wire::error::DecodeError::Truncated))?;
        let used = self.heads_memory();
        if used > inner.memory.heads.0 {
            inner.logs.all().iter().for_each(|shard| want(shard));
            inner.metrics.all().iter().for_each(|shard| want(shard));
            return Err(Error::HeadsFull { used: ByteSize(used), limit: inner.memory.heads });
        }
        let _charge = inner.in_flight.charge(request.entry.len() as u64)?;
        let limits = inner.limits.clone();
        let total = inner.control.table().borrow().writable().of(shard.signal);
        let bounds = move |tenant: &TenantId| bounds(&limits.of(tenant), total);
        match shard.signal {
            Signal::Logs => append::append(&inner.logs.find(shard)?, request.entry, bounds, &inner.compute).await,
            Signal::Metrics => append::append(&inner.metrics.find(shard)?, request.entry, bounds, &inner.compute).await,
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
            after: request.after,
            work: request.work,
            max_bytes: request.max_bytes,
        };
        let (inner, reads) = (&self.inner, &self.inner.reads);
        let messages = match shard.signal {
            Signal::Logs => match inner.logs.find(shard) {
                Ok(shard) => select::select(&shard, question, reads, &inner.compute, &inner.control).await,
                Err(error) => Err(error),
            },
            Signal::Metrics => match inner.metrics.find(shard) {
                Ok(shard) => select::select(&shard, question, reads, &inner.compute, &inner.control).await,
                Err(error) => Err(error),
            },
        };
        messages.map_err(|e| e.status())
    }

    /// Has a shard that this node leads flushed; with `wait`, returns once all its rows that were acked before are in
    /// the catalog.
    pub(crate) async fn flush(&self, shard: ShardId, wait: bool) -> Result<(), Error> {
        let inner = &self.inner;
        match shard.signal {
            Signal::Logs => flush::now(&inner.logs.find(shard)?, wait, &inner.away).await,
            Signal::Metrics => flush::now(&inner.metrics.find(shard)?, wait, &inner.away).await,
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
        crate::meters::limits(out, &inner.memory, inner.journal);
        self.head_meters(out, Signal::Logs, &inner.logs.all().iter().map(|s| s.stats()).collect::<Vec<_>>());
        self.head_meters(out, Signal::Metrics, &inner.metrics.all().iter().map(|s| s.stats()).collect::<Vec<_>>());
    }

    fn head_meters(&self, out: &mut Exposition, signal: Signal, stats: &[Stats]) {
        crate::meters::heads(out, signal, stats);
    }
}

fn want<H: Head>(shard: &Shard<H>) {
    shard.wanted.notify_one();
}

/// What a tenant's samples are held to in one of `total` shards.
fn bounds(limits: &Limits, total: u32) -> metrics::Bounds {
    metrics::Bounds {
        window: limits.out_of_order_window,
        series: limits.max_series,
        series_per_metric: limits.max_series_per_metric,
        shards: limits.shards.min(total),
    }
}

#[tonic::async_trait]
impl v1::ingest_server::Ingest for Ingester {
    async fn append(&self, request: Request<v1::AppendRequest>) -> Result<Response<v1::AppendReply>, Status> {
        let reply = Ingester::append(self, request.into_inner()).await;
        reply.map(Response::new).map_err(|e| e.status())
    }

    async fn flush(&self, request: Request<v1::FlushRequest>) -> Result<Response<v1::FlushReply>, Status> {
        let v1::FlushRequest { wait, shard } = request.into_inner();
        let shard = rows::shard_id(shard).map_err(|e| status::grpc(model::Reason::BadInput, e.to_string()))?;
        Ingester::flush(self, shard, wait).await.map_err(|e| e.status())?;
        Ok(Response::new(v1::FlushReply {}))
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
        let v1::ProposeRequest { command, forwarded } = request.into_inner();
        let reply = self.inner.control.propose_catalog(command, !forwarded).await;
        let reply = reply.map_err(|e| e.status())?;
        Ok(Response::new(v1::ProposeReply { reply }))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteReply>, Status> {
        deletes::commit(&self.inner.control, &request.into_inner().command).await.map(Response::new)
    }

    async fn placement(&self, request: Request<v1::PlacementRequest>) -> Result<Response<v1::PlacementReply>, Status> {
        let known = request.into_inner().known;
        let table = self.inner.control.newer(known, PLACEMENT_WAIT).await;
        let version = table.version();
        let bytes = if version == known { Bytes::new() } else { table.encode().into() };
        Ok(Response::new(v1::PlacementReply { version, table: bytes }))
    }
}
