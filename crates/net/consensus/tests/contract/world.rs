//! Hosts in one process, a network that loses what a test wants, and a machine that writes down what it is told.

use bytes::Bytes;
use journal::faults::Faults;
use model::{ByteSize, GroupId};
use ouro_consensus::{Committed, Error, Follow, Group, Host, NoPeers, Node, Settings, StateMachine, Status, Transport};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// Long enough for a machine that builds other things meanwhile.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const GROUP: GroupId = GroupId(7);
pub const ME: Node = Node(1);
/// How the data of entries that carry cuts begins. They are no part of what is written down, for a snapshot says it too.
pub const FLUSHED: &[u8] = b"flushed";
/// How a snapshot of a recorder begins.
const WHOLE: &str = "entries";

pub fn settings() -> Settings {
    Settings {
        tick: Duration::from_millis(10),
        journal: journal::Settings {
            segment_size: ByteSize::mib(2),
            max_size: ByteSize::mib(512),
            reserve: ByteSize(256 << 10),
            sync: true,
        },
        ..Settings::default()
    }
}

/// What a machine was told.
#[derive(Debug, Default)]
pub struct Seen {
    pub entries: Vec<(u64, Bytes)>,
    pub restored: Vec<(u64, Bytes)>,
    pub led: Vec<Option<u64>>,
    /// How many entries were applied when it was told that it leads.
    pub applied_when_led: Vec<usize>,
    /// Entries that carried cuts.
    pub flushed: Vec<u64>,
    /// A machine that is shown entries only while it leads was restored, and is being shown them.
    shown: bool,
}

impl Seen {
    fn snapshot(&self, through: u64) -> Bytes {
        let entries = self.entries.iter().filter(|(index, _)| *index <= through);
        let lines = entries.map(|(index, data)| format!("\n{index} {}", String::from_utf8_lossy(data)));
        Bytes::from(format!("{WHOLE}{}", lines.collect::<String>()))
    }
}

#[derive(Clone, Default)]
pub struct Recorder {
    seen: Arc<Mutex<Seen>>,
    /// While it is set, nothing is applied.
    pub held: Arc<AtomicBool>,
}

impl Recorder {
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn entries(&self) -> Vec<Bytes> {
        self.seen().entries.iter().map(|(_, data)| data.clone()).collect()
    }

    /// A snapshot that holds all that was applied up to `through`.
    pub fn snapshot(&self, through: u64) -> Bytes {
        self.seen().snapshot(through)
    }

    /// What was applied last, and a snapshot of all up to it, as of one moment.
    pub fn whole(&self) -> (u64, Bytes) {
        let seen = self.seen();
        let through = seen.entries.last().map_or(0, |(index, _)| *index);
        (through, seen.snapshot(through))
    }

    pub fn count(&self) -> usize {
        self.seen().entries.len()
    }
}

struct Machine(Recorder, Follow);

impl StateMachine for Machine {
    fn follows(&self) -> Follow {
        self.1
    }

    fn apply(&mut self, entry: Committed) -> Bytes {
        while self.0.held.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut seen = self.0.seen();
        assert!(self.1 == Follow::Apply || seen.shown, "entry {} is none of a follower's business", entry.index);
        if entry.data.starts_with(FLUSHED) {
            seen.flushed.push(entry.index);
            return entry.data;
        }
        let rests = entry.slice.expect("applied entries are in the journal").read().expect("reads");
        assert_eq!(rests, entry.data, "entry {} rests elsewhere", entry.index);
        assert!(seen.entries.last().is_none_or(|(last, _)| *last < entry.index), "entry {} again", entry.index);
        assert_ne!(&entry.data[..], b"panic", "told to");
        seen.entries.push((entry.index, entry.data.clone()));
        entry.data
    }

    fn restore(&mut self, index: u64, snapshot: Bytes) {
        let mut seen = self.0.seen();
        assert!(self.1 == Follow::Apply || !seen.shown, "restored twice");
        seen.shown = true;
        seen.entries.clear();
        if let Some(lines) = std::str::from_utf8(&snapshot).ok().and_then(|text| text.strip_prefix(WHOLE)) {
            let entries = lines.lines().skip(1).filter_map(|line| line.split_once(' '));
            let entries = entries.map(|(index, data)| (index.parse().expect("an index"), Bytes::from(data.to_owned())));
            seen.entries.extend(entries);
        }
        seen.restored.push((index, snapshot));
    }

    fn lead(&mut self, term: Option<u64>) {
        let mut seen = self.0.seen();
        seen.led.push(term);
        let applied = seen.entries.len();
        seen.applied_when_led.push(applied);
        if self.1 == Follow::Keep {
            assert!(seen.shown, "was shown nothing");
            if term.is_none() {
                seen.shown = false;
                seen.entries.clear();
            }
        }
    }
}

/// Opens a group with a machine of its own.
pub fn open(host: &Host, id: GroupId, voters: &[Node]) -> Result<(Group, Recorder), Error> {
    open_as(host, id, voters, Follow::Apply)
}

pub fn open_as(host: &Host, id: GroupId, voters: &[Node], follow: Follow) -> Result<(Group, Recorder), Error> {
    let recorder = Recorder::default();
    let group = open_with(host, id, voters, follow, &recorder)?;
    Ok((group, recorder))
}

/// Opens a group with a machine that writes down there.
pub fn open_with(host: &Host, id: GroupId, voters: &[Node], follow: Follow, to: &Recorder) -> Result<Group, Error> {
    host.group(id, voters, Box::new(Machine(to.clone(), follow)))
}

/// Cuts a group's logs at what its leader has applied, by an entry.
pub async fn flush(group: &Group, snapshot: impl Into<Bytes>) -> Result<u64, Error> {
    let through = group.applied();
    let data = Bytes::from([FLUSHED, format!(" {through}").as_bytes()].concat());
    group.propose_cut(data, through, snapshot.into()).await?;
    Ok(through)
}

/// A node that is its groups' only member.
pub struct Single {
    pub dir: TempDir,
    pub settings: Settings,
    pub faults: Arc<Faults>,
}

impl Single {
    pub fn new(settings: Settings) -> Single {
        Single { dir: tempfile::tempdir().expect("a directory"), settings, faults: Arc::default() }
    }

    pub fn host(&self) -> Host {
        self.try_host().expect("opens")
    }

    pub fn try_host(&self) -> Result<Host, Error> {
        Host::open_with(self.dir.path(), ME, self.settings.clone(), Arc::new(NoPeers), self.faults.clone())
    }
}

/// Snapshots that are in a node's directory.
pub fn snapshots(dir: &std::path::Path) -> usize {
    let files = std::fs::read_dir(dir.join("snapshots")).expect("lists");
    let names = files.map(|file| file.expect("is there").file_name().into_string().expect("is text"));
    names.filter(|name| name.contains('-')).count()
}

pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn wait(group: &Group, what: &str, done: impl FnMut(&Status) -> bool) -> Status {
    let mut status = group.watch();
    let waited = tokio::time::timeout(PATIENCE, status.wait_for(done)).await;
    waited.unwrap_or_else(|_| panic!("waited too long: {what}")).expect("the group is open").clone()
}

pub async fn leads(group: &Group) -> Status {
    wait(group, "lead", |status| status.leader == Some(ME) && status.committed > 1).await
}

pub async fn propose(group: &Group, data: impl Into<Bytes>) -> u64 {
    group.propose(data.into()).await.expect("is logged").index
}

pub fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// Delivers at once, to the nodes that run.
#[derive(Default)]
pub struct Net {
    hosts: Mutex<BTreeMap<u64, Host>>,
    cut: Mutex<HashSet<u64>>,
    /// One of so many batches is lost; 0 loses none.
    pub loses: AtomicU64,
    serial: AtomicU64,
    /// The largest batch that was sent, in bytes.
    pub largest: AtomicU64,
}

struct Link(Node, Arc<Net>);

impl Transport for Link {
    fn send(&self, to: Node, messages: Bytes) {
        let net = &self.1;
        net.largest.fetch_max(messages.len() as u64, Relaxed);
        // Scrambled, so that losses do not fall into step with the traffic.
        let serial = net.serial.fetch_add(1, Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let loses = net.loses.load(Relaxed);
        let lost = loses > 0 && serial.is_multiple_of(loses);
        let cut = net.cut.lock().expect("sound");
        if lost || cut.contains(&self.0.0) || cut.contains(&to.0) {
            return;
        }
        drop(cut);
        let host = net.hosts.lock().expect("sound").get(&to.0).cloned();
        if let Some(host) = host {
            host.receive(self.0, messages);
        }
    }
}

/// Three nodes, and one group that they keep.
pub struct Cluster {
    pub net: Arc<Net>,
    pub settings: Settings,
    pub nodes: BTreeMap<u64, Member>,
    dirs: BTreeMap<u64, TempDir>,
    follow: Follow,
}

pub struct Member {
    pub group: Group,
    pub recorder: Recorder,
}

pub fn voters() -> Vec<Node> {
    vec![Node(1), Node(2), Node(3)]
}

impl Cluster {
    pub fn new(settings: Settings) -> Cluster {
        Cluster::with(settings, Follow::Apply)
    }

    pub fn with(settings: Settings, follow: Follow) -> Cluster {
        let (net, nodes, dirs) = (Arc::default(), BTreeMap::new(), BTreeMap::new());
        let mut cluster = Cluster { net, settings, nodes, dirs, follow };
        voters().into_iter().for_each(|node| cluster.start(node, &voters()));
        cluster
    }

    /// Starts a node, or starts it again.
    pub fn start(&mut self, node: Node, voters: &[Node]) {
        let dir = self.dirs.entry(node.0).or_insert_with(|| tempfile::tempdir().expect("a directory"));
        let link = Arc::new(Link(node, self.net.clone()));
        let host = Host::open(dir.path(), node, self.settings.clone(), link).expect("opens");
        self.net.hosts.lock().expect("sound").insert(node.0, host.clone());
        self.open(node, voters).expect("opens");
    }

    /// Opens the group on a node that runs.
    pub fn open(&mut self, node: Node, voters: &[Node]) -> Result<(), Error> {
        let (group, recorder) = open_as(&self.host(node), GROUP, voters, self.follow)?;
        self.nodes.insert(node.0, Member { group, recorder });
        Ok(())
    }

    pub fn snapshots(&self, node: Node) -> usize {
        snapshots(self.dirs[&node.0].path())
    }

    /// Hands the lead to a node, which is then being shown the log.
    pub async fn hand_over(&self, to: Node) {
        loop {
            let leader = self.leader().await;
            // It fails if there is an election in between.
            if leader == to || self.group(leader).transfer(to).await.is_ok() {
                return;
            }
        }
    }

    pub fn host(&self, node: Node) -> Host {
        self.net.hosts.lock().expect("sound")[&node.0].clone()
    }

    /// Stops a node without a word.
    pub fn stop(&mut self, node: Node) {
        let host = self.net.hosts.lock().expect("sound").remove(&node.0);
        self.nodes.remove(&node.0);
        drop(host);
    }

    pub fn cut_off(&self, node: Node) {
        self.net.cut.lock().expect("sound").insert(node.0);
    }

    pub fn heal(&self) {
        self.net.cut.lock().expect("sound").clear();
    }

    pub fn group(&self, node: Node) -> &Group {
        &self.nodes[&node.0].group
    }

    pub fn recorder(&self, node: Node) -> &Recorder {
        &self.nodes[&node.0].recorder
    }

    fn leader_of(&self, among: impl Fn(u64) -> bool) -> Option<Node> {
        let statuses = self.nodes.iter().map(|(id, member)| (*id, member.group.status()));
        let newest =
            statuses.filter(|(id, _)| among(*id)).max_by_key(|(id, s)| (s.term, s.leader == Some(Node(*id))))?;
        (newest.1.leader == Some(Node(newest.0))).then_some(Node(newest.0))
    }

    /// Waits for one that leads, and that has committed an entry of its term.
    pub async fn leader(&self) -> Node {
        self.leader_among(|_| true).await
    }

    pub async fn leader_among(&self, among: impl Fn(u64) -> bool) -> Node {
        let mut found = None;
        until("a leader", || {
            found = self.leader_of(&among);
            found.is_some_and(|node| matches!(self.recorder(node).seen().led.last(), Some(Some(_))))
        })
        .await;
        found.expect("was found")
    }

    pub fn follower(&self, leader: Node) -> Node {
        voters().into_iter().find(|node| *node != leader && self.nodes.contains_key(&node.0)).expect("there are others")
    }

    /// Proposes to whoever leads until it is logged.
    pub async fn propose(&self, data: impl Into<Bytes>) -> u64 {
        let data = data.into();
        loop {
            match self.try_propose(data.clone()).await {
                Ok(index) => return index,
                Err(Error::NotLeader { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Proposes to whoever leads.
    pub async fn try_propose(&self, data: impl Into<Bytes>) -> Result<u64, Error> {
        let leader = self.leader().await;
        self.group(leader).propose(data.into()).await.map(|proposed| proposed.index)
    }

    /// All that run have applied the same entries.
    pub async fn agree(&self, count: usize) {
        until("all nodes have applied the same", || self.nodes.values().all(|member| member.recorder.count() >= count))
            .await;
        let first = self.nodes.values().next().expect("one runs").recorder.entries();
        for (id, member) in &self.nodes {
            assert_eq!(member.recorder.entries(), first, "node {id}");
        }
    }
}
