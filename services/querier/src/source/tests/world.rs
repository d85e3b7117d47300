//! Shards of one tenant as ingesters and the compactor keep them, and a querier's sources over them, in one process.

use crate::catalog_copy::CatalogCopy;
use crate::heads::Heads;
use crate::kept::Kept;
use crate::partial::Partial;
use crate::querier::{Parts, Querier};
use crate::ranges::Ranges;
use crate::reading::Reading;
use crate::segments::Segments;
use crate::settings::Settings;
use crate::source::TenantRows;
use block::{BlockMeta, Part, Segment, SegmentMeta};
use bytes::Bytes;
use catalog::{BlockEntry, Catalog, Command, Inputs, Name, Place, Reply, SegmentEntry, TenantEntry};
use eval::source::{LogSelection, PageIter, PageSource, SourceError};
use futures::stream;
use hidden::Hidden;
use mesh::Directory;
use model::{ByteSize, Series, ShardCounts, ShardId, Signal, TenantId, TimeRange};
use node::Node;
use objects::Store;
use placement::Table;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;
use tempfile::TempDir;
use tenancy::{LimitTable, RetentionSettings};
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status, body::Body};
use tower::ServiceExt;
use transport::v1::control_server::{Control, ControlServer};
use transport::v1::read_server::{Read, ReadServer};
use transport::v1::select_reply::Reply as Rows;
use transport::{Link, link, rows, status, v1};
use wire::batch::Header;

pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// The epoch of the first lease.
const EPOCH: u64 = 1;

pub enum Head {
    Logs(logs::Head),
    Metrics(metrics::Head),
}

/// The shard whose leader does not know the newest question.
const OLD: u32 = 2;

pub struct Shard {
    id: ShardId,
    head: Head,
    applied: u64,
    /// Dropped by the head: the last index, and the version of the catalog that knows it.
    flushed: (u64, u64),
    /// Known to the catalog, and not dropped yet.
    cut: Option<(u64, u64)>,
}

struct State {
    shards: Vec<Shard>,
    catalog: Catalog,
    blocks: u32,
}

/// Cheap to clone.
#[derive(Clone)]
struct Ingesters(Arc<Mutex<State>>);

pub struct World {
    signal: Signal,
    ingesters: Ingesters,
    store: Store,
    directory: Directory,
    parts: Arc<Parts>,
    _folder: TempDir,
}

pub fn tenant() -> TenantId {
    TenantId::new("acme").expect("a name")
}

fn logs_settings() -> logs::Settings {
    logs::Settings { row_group: ByteSize(4 << 10), page_rows: 7, verify: true, ..logs::Settings::default() }
}

fn metrics_settings() -> metrics::Settings {
    metrics::Settings { page_samples: 20, ..metrics::Settings::default() }
}

struct Payload(Bytes);

impl logs::Payload for Payload {
    fn read(&self) -> std::io::Result<Bytes> {
        Ok(self.0.clone())
    }
}

impl World {
    pub fn new(signal: Signal, shards: u32) -> World {
        let shard = |index| {
            let head = match signal {
                Signal::Logs => Head::Logs(logs::Head::new(logs_settings())),
                Signal::Metrics => Head::Metrics(metrics::Head::new(metrics_settings())),
            };
            Shard { id: ShardId::new(signal, index), head, applied: 0, flushed: (0, 0), cut: None }
        };
        let mut state = State { shards: (0..shards).map(shard).collect(), catalog: Catalog::default(), blocks: 0 };
        state.catalog.apply(&Command::Lease { holder: "one".into(), epoch: 0, renewal: 0 }.encode());
        let ingesters = Ingesters(Arc::new(Mutex::new(state)));
        let mut table = Table::default();
        table.apply(&placement::Command::Read { shards: ShardCounts { logs: shards, metrics: shards } }.encode());
        let directory = Directory::one(ingesters.link(), Arc::new(table));
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&objects::Settings::default(), folder.path()).expect("opens");
        // Every query asks for the newest catalog, so that it meets blocks at once.
        let settings = Settings { catalog_age: Duration::ZERO, ..Settings::default() };
        let _within = RUNTIME.enter();
        let parts = Parts {
            control: directory.control(),
            heads: Heads::new(directory.clone()),
            catalog: CatalogCopy::new(directory.clone(), settings.catalog_age),
            segments: Segments::new(Ranges::new(store.clone(), &settings, Arc::default()), settings.indexes),
            peers: Arc::default(),
            others: Default::default(),
        };
        World { signal, ingesters, store, directory, parts: Arc::new(parts), _folder: folder }
    }

    /// All of a querier, for the tenant's limits.
    pub fn querier(&self, limits: Arc<LimitTable>) -> Querier {
        let settings = Settings { catalog_age: Duration::ZERO, ..Settings::default() };
        Querier::new(self.directory.clone(), None, self.store.clone(), limits, &settings, &Node::new(2))
    }

    /// Gives the querier so many others, of which some do nothing.
    pub fn add_queriers(&self, works: &[bool]) {
        let limits = Arc::new(LimitTable::new(&tenancy::Overrides::default()));
        let mut given = self.parts.peers.given.lock().expect("nobody panicked");
        for works in works {
            let routes = match works {
                true => tonic::service::Routes::new(self.querier(limits.clone()).slices()),
                false => tonic::service::Routes::default(),
            };
            let name = format!("querier-{}", given.len());
            given.push((name, link_to(routes)));
        }
    }

    /// How many parts of queries the leaders did.
    pub fn folded(&self) -> u64 {
        self.parts.others.folded.load(Relaxed)
    }

    /// How many parts of queries others were asked for, and how many of those they did not do.
    pub fn sliced(&self) -> (u64, u64) {
        let counts = &self.parts.others;
        (counts.asked.load(Relaxed), counts.taken_back.load(Relaxed))
    }

    /// What the engines read.
    pub fn rows(&self) -> TenantRows {
        self.rows_within(ByteSize(u64::MAX))
    }

    /// … by a query that may hold so much.
    pub fn rows_within(&self, limit: ByteSize) -> TenantRows {
        TenantRows {
            parts: self.parts.clone(),
            tenant: tenant(),
            kept: Kept::now(&RetentionSettings::default()),
            reading: Reading::new(limit, ByteSize(u64::MAX), Arc::new(|| false)),
            partial: Arc::new(Partial::new(true)),
            runtime: RUNTIME.handle().clone(),
            closed: None,
            begun: None,
            limits: Arc::default(),
            levels: false,
        }
    }

    pub fn append(&self, shard: u32, header: &Header, body: &[u8]) {
        let mut state = self.ingesters.lock();
        let shard = &mut state.shards[shard as usize];
        shard.applied += 1;
        match &shard.head {
            Head::Logs(head) => {
                let payload: Bytes = wire::snappy::compress(body).into();
                let rest = Arc::new(Payload(payload.clone()));
                head.apply(shard.applied, header, &payload, rest).expect("applies");
            }
            Head::Metrics(head) => drop(head.apply(shard.applied, header, body).expect("applies")),
        }
    }

    /// The catalog takes a segment; the head still has its rows.
    pub fn cut(&self, shard: u32) {
        self.drop_cut(shard);
        let mut state = self.ingesters.lock();
        let State { shards, catalog, .. } = &mut *state;
        let shard = &mut shards[shard as usize];
        let (after, through) = (shard.flushed.0, shard.applied);
        let parts = shard.cut(through);
        if parts.is_empty() {
            return;
        }
        let meta = SegmentMeta { shard: shard.id, level: 0, after, through, term: 1, created: 0 };
        let name = Name::Segment { shard: shard.id, after, through, term: 1 }.to_string();
        let (data, directory) = block::write(meta, parts);
        let tenants = directory.parts.iter().map(|part| {
            let (min, max) = (part.times.min, part.times.max);
            TenantEntry { tenant: part.tenant.clone(), rows: part.rows, min, max }
        });
        let segment = SegmentEntry {
            name: name.clone(),
            shard: shard.id,
            level: 0,
            after,
            through,
            term: 1,
            created: 0,
            order: 0,
            rows: directory.parts.iter().map(|part| part.rows).sum(),
            raw_bytes: 0,
            bytes: data.len() as u64,
            tenants: tenants.collect(),
        };
        self.put(&name, data);
        match catalog.apply(&Command::Add { segment }.encode()) {
            Reply::Done { version } => shard.cut = Some((through, version)),
            other => panic!("{other:?}"),
        }
    }

    /// The head lets go of what the catalog knows.
    pub fn drop_cut(&self, shard: u32) {
        let shard = &mut self.ingesters.lock().shards[shard as usize];
        let Some(cut) = shard.cut.take() else { return };
        match &shard.head {
            Head::Logs(head) => head.drop_frozen(cut.0),
            Head::Metrics(head) => head.drop_frozen(cut.0),
        }
        shard.flushed = cut;
    }

    /// Merges up to `count` objects that stand side by side, from the one at `first`, if there are two at least.
    pub fn merge(&self, first: usize, count: usize, part_bytes: u64) {
        let mut state = self.ingesters.lock();
        let flushed = |shard: ShardId| state.shards[shard.index as usize].flushed.0;
        let segments = state.catalog.segments().map(|s| (s.place(), s.name.clone(), s.through <= flushed(s.shard)));
        let blocks = state.catalog.blocks().map(|block| (block.place, block.name.clone(), true));
        let mut all: Vec<(Place, String, bool)> = segments.chain(blocks).collect();
        all.sort();
        let first = first % all.len().max(1);
        // What a head still has is left alone, as the compactor's grace sees to.
        let run = all.into_iter().skip(first).take(count).take_while(|(_, _, dropped)| *dropped);
        let names: Vec<String> = run.map(|(_, name, _)| name).collect();
        if names.len() >= 2 {
            self.replace(&mut state, names, part_bytes);
        }
    }

    /// Writes every object again, alone.
    pub fn rewrite(&self) {
        let mut state = self.ingesters.lock();
        let segments = state.catalog.segments().map(|segment| segment.name.clone());
        let names: Vec<String> = segments.chain(state.catalog.blocks().map(|block| block.name.clone())).collect();
        names.into_iter().for_each(|name| self.replace(&mut state, vec![name], u64::MAX));
    }

    /// As the compactor does it, without the rows that are to be deleted.
    fn replace(&self, state: &mut State, names: Vec<String>, part_bytes: u64) {
        let asked: Vec<_> = state.catalog.deletes().open().map(|(_, request)| request.clone()).collect();
        let hidden = Hidden::of(asked.iter().map(|request| &**request)).expect("reads");
        let inputs = Inputs::named(&state.catalog, &names).expect("all are there");
        let _within = RUNTIME.enter();
        let open = |name: &String| Segment::open(self.store.object(name)).expect("opens").part(&tenant());
        let sections = names.iter().filter_map(open);
        let (place, flushed) = (inputs.place().expect("a place"), inputs.flushed());
        let parts: Vec<Part> = match self.signal {
            Signal::Logs => {
                let readers: Vec<_> = sections.map(|s| logs::Reader::open(s).expect("opens")).collect();
                let merge = logs::Merge::new(tenant(), &readers, TimeRange::ALL, part_bytes, &logs_settings());
                let merge = merge.expect("begins").keeping(Box::new(move |page| hidden.shown(page)));
                merge.collect::<Result<_, _>>().expect("merges")
            }
            Signal::Metrics => {
                let readers: Vec<_> = sections.map(|s| Arc::new(metrics::Reader::open(s).expect("opens"))).collect();
                let range = TimeRange::ALL;
                let merge = metrics::Compaction::new(tenant(), &readers, range, part_bytes, &metrics_settings());
                let merge = merge.expect("begins").keeping(Box::new(move |series, _| hidden.take_from(series)));
                merge.collect::<Result<_, _>>().expect("merges")
            }
        };
        let mut added = Vec::new();
        for part in parts {
            state.blocks += 1;
            let name = Name::block(&tenant(), self.signal, EPOCH, state.blocks).to_string();
            let meta = BlockMeta {
                signal: self.signal,
                level: inputs.level(),
                epoch: EPOCH,
                created: 0,
                order: place.order,
                after: place.after,
                shard: place.shard.index,
                flushed: flushed.iter().map(|(shard, through)| (shard.index, *through)).collect(),
            };
            let (rows, TimeRange { min, max }) = (part.rows, part.times);
            let (data, _) = block::write_block(meta, part);
            added.push(BlockEntry {
                name: name.clone(),
                signal: self.signal,
                tenant: tenant(),
                level: inputs.level(),
                place,
                created: 0,
                rows,
                raw_bytes: 0,
                bytes: data.len() as u64,
                min,
                max,
                flushed: flushed.clone(),
                without: asked.iter().map(|request| request.version).collect(),
                shortened: Vec::new(),
            });
            self.put(&name, data);
        }
        let without = asked.iter().map(|request| (tenant(), request.version)).collect();
        let replace = Command::Replace { epoch: EPOCH, removed: names, added, without };
        let replaced = state.catalog.apply(&replace.encode());
        assert!(matches!(replaced, Reply::Done { .. }), "{replaced:?}");
    }

    fn put(&self, name: &str, data: Bytes) {
        RUNTIME.block_on(self.store.put(name, data)).expect("written");
    }
}

impl Shard {
    fn cut(&self, through: u64) -> Vec<Part> {
        match &self.head {
            Head::Logs(head) => head.cut(through).encode().collect::<Result<_, _>>().expect("encodes"),
            Head::Metrics(head) => head.cut(through).encode().collect::<Result<_, _>>().expect("encodes"),
        }
    }

    /// As an ingester answers.
    fn select(&self, request: v1::SelectRequest, changed: u64) -> (Vec<Rows>, Result<(), Status>) {
        let (tenant, range) = (tenant(), TimeRange::new(request.min_time, request.max_time));
        let matchers = rows::read_matchers(request.matchers.clone()).expect("matchers");
        let mut replies = vec![Rows::View(v1::View {
            flushed: self.flushed.0,
            version: self.flushed.1.max(changed),
            applied: self.applied,
        })];
        if request.what() == v1::What::Series {
            let found = match &self.head {
                Head::Logs(head) => head.snapshot().series(&tenant, &matchers, range),
                Head::Metrics(head) => head.snapshot().series(&tenant, &matchers, range),
            };
            replies.extend(found.iter().map(rows::labels_reply));
            return (replies, Ok(()));
        }
        if request.what() == v1::What::Values {
            if self.id.index == OLD {
                return (replies, Ok(()));
            }
            let label = String::from_utf8(request.work.to_vec()).expect("a name");
            let found = match &self.head {
                Head::Logs(head) => head.snapshot().series(&tenant, &matchers, range),
                Head::Metrics(head) => head.snapshot().series(&tenant, &matchers, range),
            };
            let all = found.iter().flat_map(model::Labels::iter);
            let wanted = all.filter(|(name, _)| label.is_empty() || label == *name);
            let values = wanted.map(|(name, value)| if label.is_empty() { name } else { value }.to_owned()).collect();
            replies.push(Rows::Values(v1::Values { values }));
            return (replies, Ok(()));
        }
        match &self.head {
            Head::Logs(head) if request.what() == v1::What::Folded => {
                let source = Lines(head.snapshot(), range);
                let folded = logql::fold(&source, &request.work, &logql::Options::default(), &mut |message| {
                    replies.push(Rows::Said(message.into()));
                    Ok(())
                });
                if let Err(error) = folded {
                    return (replies, Err(status::grpc(error.reason(), error.to_string())));
                }
                replies.push(Rows::Folded(v1::Folded::default()));
            }
            Head::Logs(head) => {
                let selection = logs::Selection { matchers, range, contains: request.contains, lines: true };
                let view = head.snapshot();
                if request.what == i32::from(v1::What::Arrived) {
                    let pages = view.arrived(&tenant, &selection, request.after);
                    replies.extend(pages.map(|page| Rows::Logs(rows::log_rows(page.expect("a page")))));
                    return (replies, Ok(()));
                }
                let mut pages = match (request.limit as usize, request.newest) {
                    (0, _) => view.pages(&tenant, &selection),
                    (limit, false) => view.oldest(&tenant, &selection, limit),
                    (limit, true) => view.newest(&tenant, &selection, limit),
                };
                while let Some(page) = pages.next() {
                    let page = rows::log_rows(page.expect("a page"));
                    replies.push(Rows::Logs(v1::LogRows { reach: pages.reach(), ..page }));
                }
            }
            Head::Metrics(head) if request.what() == v1::What::Oldest => {
                let time = head.snapshot().oldest(&tenant, range);
                replies.push(Rows::Oldest(v1::Oldest { time }));
            }
            Head::Metrics(head) if request.what() == v1::What::Folded => {
                let series: Vec<Series> = head.snapshot().select(&tenant, &matchers, range).collect();
                let ids = series.iter().map(|series| series.labels().id().0 as u64).collect();
                let options = promql::Options::default();
                let folded = promql::fold(&super::OnePlace(series), &request.work, &options, &mut |message| {
                    replies.push(Rows::Said(message.into()));
                    Ok(())
                });
                if let Err(error) = folded {
                    return (replies, Err(status::grpc(error.reason(), error.to_string())));
                }
                replies.push(Rows::Folded(v1::Folded { series: ids, ..v1::Folded::default() }));
            }
            Head::Metrics(head) => {
                let view = head.snapshot();
                let series = view.select(&tenant, &matchers, range);
                replies.extend(series.map(|series| Rows::Series(rows::series_rows(series))));
            }
        }
        (replies, Ok(()))
    }
}

/// The lines of a head.
struct Lines(logs::View, TimeRange);

impl PageSource for Lines {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        let LogSelection { matchers, range, contains, lines, .. } = selection.clone();
        let selection = logs::Selection { matchers, range: range.intersect(self.1), contains, lines };
        Ok(Box::new(self.0.pages(&tenant(), &selection).map(|page| Ok(page.expect("a page")))))
    }
}

impl World {
    /// Has rows deleted; gives the request's version.
    pub fn ask(&self, query: &str, range: TimeRange) -> u64 {
        let (signal, query) = (self.signal, query.to_owned());
        let (start, end) = (range.min, range.max);
        let ask = deletes::Command::Ask { tenant: tenant(), signal, query, start, end, created: 0 };
        self.ingesters.delete(ask).version
    }

    /// Nothing has rows of a request any more.
    pub fn finish(&self, request: u64) {
        self.ingesters.delete(deletes::Command::Finish { done: vec![(tenant(), request)] });
    }
}

impl Ingesters {
    fn delete(&self, command: deletes::Command) -> v1::DeleteReply {
        match self.lock().catalog.apply(&Command::Delete { command, epoch: None }.encode()) {
            Reply::Delete { reply, version } => {
                let reply = serde_json::to_vec(&reply).expect("writes").into();
                v1::DeleteReply { reply, version }
            }
            other => panic!("{other:?}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panicked")
    }

    fn link(&self) -> Link {
        let routes = tonic::service::Routes::new(ReadServer::new(self.clone()));
        link_to(routes.add_service(ControlServer::new(self.clone())))
    }
}

fn link_to(routes: tonic::service::Routes) -> Link {
    let routes = routes.prepare();
    link::in_memory(tower::service_fn(move |request: http::Request<Body>| {
        let routes = routes.clone();
        async move { routes.oneshot(request).await.map(|response| response.map(Body::new)) }
    }))
}

#[tonic::async_trait]
impl Read for Ingesters {
    type SelectStream = stream::Iter<std::vec::IntoIter<Result<v1::SelectReply, Status>>>;

    async fn select(&self, request: Request<v1::SelectRequest>) -> Result<Response<Self::SelectStream>, Status> {
        let request = request.into_inner();
        let shard = rows::shard_id(request.shard).expect("a shard");
        let state = self.lock();
        let changed = state.catalog.deletes().changed();
        let (replies, end) = state.shards[shard.index as usize].select(request, changed);
        drop(state);
        let replies = replies.into_iter().map(|reply| Ok(v1::SelectReply { reply: Some(reply) }));
        let replies: Vec<_> = replies.chain(end.err().map(Err)).collect();
        Ok(Response::new(stream::iter(replies)))
    }
}

#[tonic::async_trait]
impl Control for Ingesters {
    async fn catalog(&self, _: Request<v1::CatalogRequest>) -> Result<Response<v1::CatalogReply>, Status> {
        let catalog = &self.lock().catalog;
        Ok(Response::new(v1::CatalogReply { version: catalog.version(), catalog: catalog.encode().into() }))
    }

    async fn propose(&self, _: Request<v1::ProposeRequest>) -> Result<Response<v1::ProposeReply>, Status> {
        Err(Status::unimplemented("nobody proposes"))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteReply>, Status> {
        let command = serde_json::from_slice(&request.into_inner().command).expect("a command");
        Ok(Response::new(self.delete(command)))
    }

    async fn placement(&self, _: Request<v1::PlacementRequest>) -> Result<Response<v1::PlacementReply>, Status> {
        Err(Status::unimplemented("the placement stays as it is"))
    }
}
