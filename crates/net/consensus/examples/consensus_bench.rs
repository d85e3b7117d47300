//! Logs 1 GB in 64 groups on one node and on three: `cargo run --release -p ouro-consensus --example consensus_bench`.
//!
//! Three nodes share this process and its cores, so their CPU is that of three replicas. Numbers: entry size and
//! concurrency, MB/s, CPU-seconds per GB (all replicas), syncs, the median and 99th percentile of a proposal, and the
//! time until all groups lead and have replayed after a restart.

use bytes::Bytes;
use model::{ByteSize, GroupId};
use ouro_consensus::{Committed, Group, Host, NoPeers, Node, Settings, StateMachine, Transport};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const GROUPS: u64 = 64;

struct Nothing;

impl StateMachine for Nothing {
    fn apply(&mut self, entry: Committed) -> Bytes {
        std::hint::black_box(entry);
        Bytes::new()
    }
    fn restore(&mut self, _index: u64, _snapshot: Bytes) {}
    fn lead(&mut self, _term: Option<u64>) {}
}

#[derive(Default)]
struct Net(Mutex<BTreeMap<u64, Host>>);

struct Link(Node, Arc<Net>);

impl Transport for Link {
    fn send(&self, to: Node, messages: Bytes) {
        let host = self.1.0.lock().expect("sound").get(&to.0).cloned();
        if let Some(host) = host {
            host.receive(self.0, messages);
        }
    }
}

struct Load {
    entry: usize,
    total: u64,
    concurrency: usize,
}

/// User and system time of this process in seconds.
fn cpu() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let seconds = |at: usize| fields[at].parse::<f64>().expect("a number") / 100.0;
    (seconds(11), seconds(12))
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.journal.max_size = ByteSize::mib(32 << 10);
    settings
}

async fn run(groups: &[Group], load: &Load) -> Vec<Duration> {
    let data = Bytes::from((0..load.entry).map(|n| ((n * 7919) >> 3) as u8).collect::<Vec<_>>());
    let count = (load.total / load.entry as u64) as usize;
    let each = count / load.concurrency;
    let tasks: Vec<_> = (0..load.concurrency)
        .map(|n| {
            let (group, data) = (groups[n % groups.len()].clone(), data.clone());
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(each);
                for _ in 0..each {
                    let begun = Instant::now();
                    group.propose(data.clone()).await.expect("is logged");
                    times.push(begun.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("runs"));
    }
    times.sort();
    times
}

async fn measure(name: &str, hosts: &[Host], groups: &[Group], load: &Load) {
    let before: Vec<_> = hosts.iter().map(Host::stats).collect();
    let (begun, cpu_before) = (Instant::now(), cpu());
    let times = run(groups, load).await;
    let (wall, used) = (begun.elapsed().as_secs_f64(), (cpu().0 - cpu_before.0, cpu().1 - cpu_before.1));
    let gb = (times.len() * load.entry) as f64 / 1e9;
    let syncs: u64 = hosts.iter().zip(&before).map(|(host, before)| host.stats().syncs - before.syncs).sum();
    println!(
        "{name:8} {:>8} x {:>5} at once: {:7.1} MB/s, CPU-s/GB {:5.2} user {:5.2} system, {syncs:6} syncs, {:6} proposals, p50 {:8.3?}, p99 {:8.3?}",
        ByteSize(load.entry as u64).to_string(),
        load.concurrency,
        gb * 1000.0 / wall,
        used.0 / gb,
        used.1 / gb,
        times.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
    );
}

async fn lead(groups: &[Group]) {
    for group in groups {
        let mut status = group.watch();
        let done = status.wait_for(|s| s.leader.is_some() && s.applied == s.last && s.applied > 1).await;
        done.expect("is open");
    }
}

fn open(host: &Host, voters: &[Node]) -> Vec<Group> {
    (1..=GROUPS).map(|id| host.group(GroupId(id), voters, Box::new(Nothing)).expect("opens")).collect()
}

fn loads() -> Vec<Load> {
    let (kib, mb) = (1 << 10, 1_000_000);
    vec![
        Load { entry: 256 * kib, total: 1000 * mb, concurrency: 256 },
        Load { entry: 64 * kib, total: 500 * mb, concurrency: 256 },
        Load { entry: 4 * kib, total: 100 * mb, concurrency: 256 },
        Load { entry: 4 * kib, total: 4 * mb, concurrency: 1 },
    ]
}

async fn one(dir: &Path) {
    let host = Host::open(dir, Node(1), settings(), Arc::new(NoPeers)).expect("opens");
    let begun = Instant::now();
    let groups = open(&host, &[Node(1)]);
    lead(&groups).await;
    println!("one node: {GROUPS} new groups lead after {:.3?}", begun.elapsed());
    for load in loads() {
        measure("1 node", std::slice::from_ref(&host), &groups, &load).await;
    }
    host.shutdown().await;
    let (begun, cpu_before) = (Instant::now(), cpu());
    let host = Host::open(dir, Node(1), settings(), Arc::new(NoPeers)).expect("opens");
    let opened = begun.elapsed();
    let groups = open(&host, &[Node(1)]);
    lead(&groups).await;
    println!(
        "one node: the journal opened again in {opened:.3?}, 1.5 GB replayed after {:.3?}, {:.2} CPU-s, {} MiB resident",
        begun.elapsed(),
        cpu().0 + cpu().1 - cpu_before.0 - cpu_before.1,
        resident() >> 20
    );
    host.shutdown().await;
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("linux");
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number") * 4096
}

async fn three(dir: &Path) {
    let nodes = [Node(1), Node(2), Node(3)];
    let net = Arc::new(Net::default());
    let (mut hosts, mut groups) = (Vec::new(), Vec::new());
    for node in nodes {
        let link = Arc::new(Link(node, net.clone()));
        let host = Host::open(&dir.join(node.to_string()), node, settings(), link).expect("opens");
        net.0.lock().expect("sound").insert(node.0, host.clone());
        groups.push(open(&host, &nodes));
        hosts.push(host);
    }
    // Each node leads a third of the groups.
    for (at, group) in (0..GROUPS as usize).map(|at| (at, &groups[at % 3][at])) {
        group.campaign();
        let mut status = group.watch();
        let led = status.wait_for(|s| s.leader == Some(nodes[at % 3]) && s.applied > 1).await;
        led.expect("is open");
    }
    let leaders: Vec<Group> = (0..GROUPS as usize).map(|at| groups[at % 3][at].clone()).collect();
    for load in loads() {
        measure("3 nodes", &hosts, &leaders, &load).await;
    }
    net.0.lock().expect("sound").clear();
    for host in hosts {
        host.shutdown().await;
    }
}

#[tokio::main]
async fn main() {
    let root = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let dir = tempfile::tempdir_in(&root).expect("a directory");
    println!("on {}", dir.path().display());
    one(&dir.path().join("one")).await;
    println!("{} MiB resident", resident() >> 20);
    three(&dir.path().join("three")).await;
    println!("{} MiB resident", resident() >> 20);
}
