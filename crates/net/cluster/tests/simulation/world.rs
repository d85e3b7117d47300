//! Many pure `Gossip` machines, a network between them that loses, delays, repeats and reorders, and virtual time.

use bytes::Bytes;
use model::Role;
use ouro_cluster::{Change, Gossip, Member, Members, Out, Settings};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::time::Duration;

/// When all runs begin, as Unix time.
const BEGIN: Duration = Duration::from_secs(1_800_000_000);

/// Up to so many hosts, lists are seen as a driver publishes them: a change that nobody was told of is then found.
const KEPT: usize = 50;

pub struct World {
    pub now: Duration,
    pub rng: SmallRng,
    pub network: Network,
    pub hosts: Vec<Host>,
    pub packets: u64,
    pub bytes: u64,
    pub conflicts: u64,
    pub renewals: u64,
    settings: Settings,
    addresses: HashMap<String, usize>,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    pushed: u64,
}

pub struct Network {
    /// Parts of one of packets that are lost, and that come twice.
    pub loss: f64,
    pub doubles: f64,
    pub delay: std::ops::Range<Duration>,
    /// From which hosts to which nothing arrives.
    pub cuts: Vec<(HashSet<usize>, HashSet<usize>)>,
}

/// A place where one process at a time runs.
pub struct Host {
    pub gossip: Option<Gossip>,
    pub seeds: Vec<String>,
    pub paused: bool,
    /// The list as it was after the last change that was said, if it is kept.
    published: Option<Members>,
    cluster: String,
    waiting: Vec<Bytes>,
    wake: Option<Duration>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    Deliver { from: usize, to: usize, packet: Bytes },
}

/// What everybody should see of a member.
type Seen = (String, u64, String, u64, bool);

impl World {
    pub fn new(seed: u64, settings: Settings) -> World {
        World {
            now: BEGIN,
            rng: SmallRng::seed_from_u64(seed),
            network: Network::calm(),
            hosts: Vec::new(),
            packets: 0,
            bytes: 0,
            conflicts: 0,
            renewals: 0,
            settings,
            addresses: HashMap::new(),
            events: BinaryHeap::new(),
            pushed: 0,
        }
    }

    /// A host with nothing on it yet.
    pub fn host(&mut self, cluster: &str, seeds: &[usize]) -> usize {
        let seeds = seeds.iter().map(|host| address(*host)).collect();
        let cluster = cluster.to_owned();
        let (waiting, published) = (Vec::new(), None);
        self.hosts.push(Host { gossip: None, seeds, paused: false, published, cluster, waiting, wake: None });
        self.hosts.len() - 1
    }

    /// A process as it would be started here now.
    pub fn process(&mut self, name: &str, host: usize) -> Member {
        Member {
            id: self.rng.random(),
            name: name.to_owned(),
            role: Role::ALL[host % Role::ALL.len()],
            zone: ["a", "b", "c"][host % 3].to_owned(),
            address: address(host),
            version: "0.1.0".to_owned(),
            incarnation: self.now.as_millis() as u64,
            draining: false,
        }
    }

    /// Runs a process on a host; whatever ran there, or at its address, is gone.
    pub fn start(&mut self, host: usize, member: Member) {
        let settings = Settings { name: self.hosts[host].cluster.clone(), ..self.settings.clone() };
        let address = member.address.clone();
        let gossip = Gossip::new(member, &settings, self.rng.random(), self.now).expect("a member");
        self.stop(host);
        self.addresses.insert(address, host);
        self.hosts[host].published = (self.hosts.len() <= KEPT).then(|| gossip.members());
        self.hosts[host].gossip = Some(gossip);
        self.step(host, |_, _, _| {});
    }

    /// Kills what runs on a host.
    pub fn stop(&mut self, host: usize) {
        let host = &mut self.hosts[host];
        (host.gossip, host.wake, host.paused) = (None, None, false);
        host.waiting.clear();
    }

    /// Lets two hosts change the clusters that they belong to.
    pub fn swap(&mut self, a: usize, b: usize) {
        let cluster = self.hosts[a].cluster.clone();
        self.hosts[a].cluster = std::mem::replace(&mut self.hosts[b].cluster, cluster);
    }

    pub fn pause(&mut self, host: usize) {
        self.hosts[host].paused = true;
    }

    /// What came meanwhile is read now, as it is by a process that was stopped: timers first.
    pub fn resume(&mut self, host: usize) {
        if std::mem::take(&mut self.hosts[host].paused) {
            let waiting = std::mem::take(&mut self.hosts[host].waiting);
            self.step(host, |gossip, now, out| {
                gossip.tick(now, out);
                waiting.iter().for_each(|packet| gossip.packet(now, packet, out));
            });
        }
    }

    /// Lets a process do something, and does what follows.
    pub fn step(&mut self, host: usize, work: impl FnOnce(&mut Gossip, Duration, &mut Out)) {
        let Host { gossip: Some(gossip), seeds, wake, published, .. } = &mut self.hosts[host] else { return };
        let mut out = Out::default();
        work(gossip, self.now, &mut out);
        if out.announce {
            gossip.announce(seeds, &mut out);
        }
        for change in &out.changes {
            match change {
                Change::Conflict { .. } => self.conflicts += 1,
                Change::Renewed(_) => self.renewals += 1,
                _ => {}
            }
        }
        if let Some(published) = published.as_mut().filter(|_| !out.changes.is_empty()) {
            *published = gossip.members();
        }
        let deadline = gossip.deadline();
        if let Some(deadline) = deadline.filter(|deadline| wake.is_none_or(|wake| *deadline < wake)) {
            *wake = Some(deadline);
            self.push(deadline, Event::Wake(host));
        }
        for (to, packet) in out.packets {
            self.send(host, to, packet);
        }
    }

    fn send(&mut self, from: usize, to: String, packet: Bytes) {
        assert!(packet.len() <= ouro_cluster::PACKET_LIMIT, "a packet of {} bytes", packet.len());
        self.packets += 1;
        self.bytes += packet.len() as u64;
        let to = self.addresses.get(&to).copied();
        let Some(to) = to.filter(|_| !self.rng.random_bool(self.network.loss)) else { return };
        if self.rng.random_bool(self.network.doubles) {
            let at = self.now + self.rng.random_range(self.network.delay.clone());
            self.push(at, Event::Deliver { from, to, packet: packet.clone() });
        }
        let at = self.now + self.rng.random_range(self.network.delay.clone());
        self.push(at, Event::Deliver { from, to, packet });
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.pushed += 1;
        self.events.push(Reverse((at, self.pushed, event)));
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, ..))) = self.events.peek()
            && *at <= end
        {
            let Some(Reverse((at, _, event))) = self.events.pop() else { break };
            self.now = self.now.max(at);
            match event {
                Event::Wake(host) if self.hosts[host].wake == Some(at) => {
                    if self.hosts[host].paused {
                        // It looks again later, as if it had been woken up late.
                        self.hosts[host].wake = Some(at + Duration::from_millis(50));
                        self.push(at + Duration::from_millis(50), Event::Wake(host));
                    } else {
                        self.hosts[host].wake = None;
                        self.step(host, |gossip, now, out| gossip.tick(now, out));
                    }
                }
                Event::Wake(_) => {}
                Event::Deliver { from, to, packet } => {
                    if self.network.cuts.iter().any(|(left, right)| left.contains(&from) && right.contains(&to)) {
                        continue;
                    }
                    match self.hosts[to].paused {
                        true => self.hosts[to].waiting.push(packet),
                        false => self.step(to, |gossip, now, out| gossip.packet(now, &packet, out)),
                    }
                }
            }
        }
        self.now = end;
    }

    /// Runs until all live processes of a cluster agree on exactly themselves, and says how long it took.
    pub fn settle(&mut self, cluster: &str, bound: Duration) -> Result<Duration, String> {
        let (start, mut wrong) = (self.now, 0);
        loop {
            match self.agree_from(&mut wrong, cluster) {
                Ok(()) => return Ok(self.now - start),
                Err(text) if self.now - start >= bound => return Err(format!("not after {bound:?}: {text}")),
                Err(_) => self.run(Duration::from_millis(100)),
            }
        }
    }

    /// Whether the lists of all live processes are right, or whose is not.
    pub fn agree(&self, cluster: &str) -> Result<(), String> {
        self.agree_from(&mut 0, cluster)
    }

    /// Looks at the host `first` first, and leaves there the one that is wrong: most likely it is wrong again.
    fn agree_from(&self, first: &mut usize, cluster: &str) -> Result<(), String> {
        let running = |at: usize| {
            let host = self.hosts.get(at).filter(|host| host.cluster == cluster)?;
            Some((at, host, host.gossip.as_ref()?))
        };
        let hosts = self.hosts.len();
        let expected: BTreeSet<Seen> = (0..hosts).filter_map(running).map(|(_, _, gossip)| seen(gossip.me())).collect();
        for (at, host, gossip) in (*first..hosts).chain(0..*first).filter_map(running) {
            let members = host.published.clone().unwrap_or_else(|| gossip.members());
            let found: BTreeSet<Seen> = members.iter().map(|member| seen(member)).collect();
            if found != expected {
                *first = at;
                let names = |set: Vec<&Seen>| set.iter().map(|seen| format!("{seen:?}")).collect::<Vec<_>>().join(" ");
                return Err(format!(
                    "{} misses [{}], lists too much [{}]",
                    gossip.me().name,
                    names(expected.difference(&found).collect()),
                    names(found.difference(&expected).collect())
                ));
            }
        }
        Ok(())
    }

    pub fn members(&self, host: usize) -> Members {
        self.hosts[host].gossip.as_ref().map(Gossip::members).unwrap_or_default()
    }

    pub fn live(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|host| self.hosts[*host].gossip.is_some()).collect()
    }
}

impl Network {
    pub fn calm() -> Network {
        let delay = Duration::from_micros(200)..Duration::from_millis(5);
        Network { loss: 0.0, doubles: 0.0, delay, cuts: Vec::new() }
    }

    /// Loses up to a sixth, doubles some, and is slower than a probe waits for now and then.
    pub fn bad(rng: &mut SmallRng) -> Network {
        let delay = Duration::from_millis(1)..Duration::from_millis(rng.random_range(10..400));
        let (loss, doubles) = (rng.random_range(0.0..0.16), rng.random_range(0.0..0.1));
        Network { loss, doubles, delay, cuts: Vec::new() }
    }
}

pub fn address(host: usize) -> String {
    format!("10.0.{}.{}:4100", host / 250, host % 250)
}

fn seen(member: &Member) -> Seen {
    (member.name.clone(), member.id, member.address.clone(), member.incarnation, member.draining)
}
