//! A whole cluster under test: a process for each member, mutual TLS, a bucket that they share.

use crate::client::{Client, until};
use crate::doors::Doors;
use crate::hosts::Zones;
use crate::process::{End, Home, Process};
use identity::Authority;
use model::Role;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

/// Journals in small segments, flushes so often that rows are on both sides while they are read, elections and moves
/// that take no longer than they must.
const INGESTER: &str = r#"
[ingester.consensus]
election_ticks = 10
[ingester.consensus.journal]
segment_size = "1MiB"
max_size = "1GiB"
reserve = "2MiB"
[ingester.flush]
age = "2s"
check = "200ms"
retry = "500ms"
"#;
const GOSSIP: &str =
    "[cluster.gossip]\nprobe_interval = \"500ms\"\nprobe_timeout = \"200ms\"\nsuspicion = \"1500ms\"\n";

/// The seats of a cluster; each can be taken by a process, again and again.
pub struct Members {
    folder: TempDir,
    name: String,
    authority: Authority,
    /// The network of each zone; else all are on this machine's.
    zones: Option<Zones>,
    /// The table `[objects]`.
    objects: String,
    /// Whose settings begin with what.
    first: Vec<(Role, String)>,
    pub seats: Vec<Seat>,
}

pub struct Seat {
    pub role: Role,
    pub name: String,
    pub zone: String,
    host: String,
    api: u16,
    members: u16,
    home: Home,
}

/// The processes that sit there, by name. Dropping them kills them.
pub type Running = BTreeMap<String, Process>;

/// How a cluster is to be.
pub struct Shape<'a> {
    pub name: &'a str,
    /// (role, how many).
    pub seats: &'a [(Role, usize)],
    /// Keys of `[ingester.placement]`.
    pub placement: &'a str,
    /// Keys before all tables, for the members of a role.
    pub first: &'a [(Role, &'a str)],
    /// The table `[objects]`, if segments are not to be in a folder.
    pub objects: Option<String>,
    /// Networks of zones `a`, `b` and `c`, among which members are spread.
    pub zones: Option<Zones>,
}

impl Default for Shape<'_> {
    fn default() -> Self {
        let seats = &[(Role::Ingester, 3), (Role::Distributor, 1), (Role::Querier, 1)];
        let placement = "replicas = 3\ninterval = \"200ms\"";
        Shape { name: "story", seats, placement, first: &[], objects: None, zones: None }
    }
}

impl Members {
    /// The first ingesters, three or else one, begin the control group.
    pub fn new(program: &str, shape: Shape<'_>) -> Members {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::init(&folder.path().join("certs"), shape.name).expect("an authority");
        let folder_of_objects = format!("url = \"file://{}\"\n", folder.path().join("objects").display());
        let mut members = Members {
            folder,
            name: shape.name.to_owned(),
            authority,
            zones: shape.zones,
            objects: shape.objects.unwrap_or(folder_of_objects),
            first: shape.first.iter().map(|(role, keys)| (*role, (*keys).to_owned())).collect(),
            seats: Vec::new(),
        };
        for (role, count) in shape.seats {
            (0..*count).for_each(|_| members.add(program, *role));
        }
        members.seats.iter().for_each(|seat| members.certify(seat));
        (0..members.seats.len()).for_each(|at| members.write(at, shape.placement, ""));
        members
    }

    fn add(&mut self, program: &str, role: Role) {
        let n = self.seats.iter().filter(|seat| seat.role == role).count();
        let zone = char::from(b'a' + (n % 3) as u8).to_string();
        let (host, enter) = match &self.zones {
            Some(zones) => (zones.address(&zone), zones.enter(&zone)),
            None => ("127.0.0.1".to_owned(), Vec::new()),
        };
        let (api, members, home) = (free_port(), free_port(), Home::plain(program).within(enter));
        self.seats.push(Seat { role, name: format!("{role}-{n}"), zone, host, api, members, home });
    }

    /// Issues a new certificate for a member, over the one that it has.
    pub fn certify(&self, seat: &Seat) {
        let issued = self.authority.issue(seat.role, &seat.name, 1, &[]).expect("a certificate");
        issued.write(&self.certs()).expect("written");
    }

    /// The folder of the authority's and the members' certificates.
    pub fn certs(&self) -> PathBuf {
        self.folder.path().join("certs")
    }

    /// One more member, which may be started.
    pub fn grow(&mut self, program: &str, role: Role, placement: &str) -> String {
        self.add(program, role);
        let at = self.seats.len() - 1;
        self.certify(&self.seats[at]);
        self.write(at, placement, "");
        self.seats[at].name.clone()
    }

    /// Writes a member's settings, with more of them.
    pub fn write(&mut self, at: usize, placement: &str, more: &str) {
        let seeds: Vec<String> = self.of(Role::Ingester).map(Seat::address).take(3).collect();
        self.write_with(at, placement, more, &seeds);
    }

    /// … which sends it to these addresses first.
    pub fn write_with(&mut self, at: usize, placement: &str, more: &str, seeds: &[String]) {
        let seat = &self.seats[at];
        let control: Vec<&str> = self.of(Role::Ingester).map(|seat| seat.name.as_str()).collect();
        let control = &control[..if control.len() < 3 { 1 } else { 3 }];
        let Seat { role, name, zone, host, .. } = seat;
        let certs = self.certs();
        let first = self.first.iter().filter(|(first, _)| first == role).map(|(_, keys)| keys.as_str());
        let mut text = format!(
            "{}listen = \"{host}:{}\"\n[cluster]\nname = {:?}\nmember = {name:?}\nzone = {zone:?}\n\
             listen = {:?}\nseeds = {seeds:?}\n{GOSSIP}\
             [tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\nreload = \"200ms\"\n",
            first.collect::<String>(),
            seat.api,
            self.name,
            seat.address(),
            certs.join("ca.crt"),
            certs.join(format!("{name}.crt")),
            certs.join(format!("{name}.key")),
        );
        if matches!(role, Role::Ingester | Role::Querier | Role::Compactor) {
            text = format!("data = {:?}\n{text}[objects]\n{}", self.data(name), self.objects);
        }
        if *role == Role::Ingester {
            text.push_str(&format!("{INGESTER}[ingester.placement]\ncontrol = {control:?}\n{placement}\n"));
        }
        text.push_str(more);
        self.seats[at].home.change(&text);
    }

    /// Exchanges the addresses of this cluster's ingesters with another's. Their settings are to be written anew.
    pub fn swap_addresses(&mut self, other: &mut Members) {
        let theirs = other.seats.iter_mut().filter(|seat| seat.role == Role::Ingester);
        let ours = self.seats.iter_mut().filter(|seat| seat.role == Role::Ingester);
        for (ours, theirs) in ours.zip(theirs) {
            std::mem::swap(&mut ours.members, &mut theirs.members);
            std::mem::swap(&mut ours.api, &mut theirs.api);
        }
    }

    /// Changes how the settings of a role's members begin; to be written anew.
    pub fn change_first(&mut self, role: Role, keys: &str) {
        self.first.retain(|(first, _)| *first != role);
        self.first.push((role, keys.to_owned()));
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.name
    }

    /// Where segments are.
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// A member's own disk.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn seat(&self, name: &str) -> &Seat {
        self.seats.iter().find(|seat| seat.name == name).expect("a seat")
    }

    pub fn seat_at(&self, name: &str) -> usize {
        self.seats.iter().position(|seat| seat.name == name).expect("a seat")
    }

    pub fn of(&self, role: Role) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(move |seat| seat.role == role)
    }

    pub fn ingesters(&self) -> Vec<String> {
        self.of(Role::Ingester).map(|seat| seat.name.clone()).collect()
    }

    /// All doors of a role, among which clients choose.
    pub fn doors(&self, role: Role) -> Doors {
        Doors::new(self.of(role).map(Seat::named).collect())
    }

    pub fn zones(&self) -> &Zones {
        self.zones.as_ref().expect("zones with networks of their own")
    }

    /// The names of the members in a zone.
    pub fn in_zone(&self, zone: &str) -> Vec<String> {
        self.seats.iter().filter(|seat| seat.zone == zone).map(|seat| seat.name.clone()).collect()
    }

    pub fn start(&self, running: &mut Running, name: &str) {
        let seat = self.seat(name);
        running.insert(name.to_owned(), seat.home.start_role(seat.role.as_str()));
    }

    /// Starts a member that may not be able to, or says how it ended.
    pub fn try_start(&self, name: &str) -> Result<Process, End> {
        let seat = self.seat(name);
        seat.home.try_start_role(seat.role.as_str())
    }

    /// Tells a member to end, which it has to do well.
    #[track_caller]
    pub fn end(&self, running: &mut Running, name: &str) {
        let end = running.remove(name).expect("it runs").terminate();
        assert_eq!(end.status.code(), Some(0), "{name}: {}", end.stderr);
    }

    /// Starts all, and waits until the cluster can be written and queried.
    pub async fn start_all(&self) -> Running {
        let mut running = Running::new();
        self.seats.iter().for_each(|seat| self.start(&mut running, &seat.name));
        for seat in self.seats.iter().filter(|seat| matches!(seat.role, Role::Distributor | Role::Querier)) {
            self.ready(&seat.name).await;
        }
        running
    }

    /// Waits until a member says that it is ready.
    pub async fn ready(&self, name: &str) {
        let client = self.client(name);
        until(&format!("{name} is ready"), async || {
            client.ask("", "/ready", &[]).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    pub fn client(&self, name: &str) -> Client {
        Client::new(&self.seat(name).url())
    }

    /// To the first distributor.
    pub fn push(&self) -> Client {
        self.client("distributor-0")
    }

    /// To the first querier.
    pub fn read(&self) -> Client {
        self.client("querier-0")
    }

    /// What the cluster says of itself.
    pub async fn ring(&self) -> serde_json::Value {
        self.read().json("", "/ring", &[]).await
    }

    /// Waits until every shard has a leader and so many voters that follow it, and nobody else.
    pub async fn settled(&self, voters: usize) {
        until(&format!("every shard has {voters} replicas"), async || {
            let ring = self.ring().await;
            let groups = ring["groups"].as_array().expect("groups");
            let whole = |group: &serde_json::Value| {
                let replicas = group["replicas"].as_array().expect("replicas");
                let votes = |r: &serde_json::Value| r["voter"] == true && r["active"] == true;
                let settled = group["moving"] == false && replicas.len() == voters && replicas.iter().all(votes);
                group["leader"].is_string() && (group["name"] == "control" || settled)
            };
            groups.len() > 1 && groups.iter().all(whole)
        })
        .await;
    }

    /// The members that lead a shard, as `/ring` has them.
    pub async fn leaders(&self) -> BTreeMap<String, usize> {
        let mut leads = BTreeMap::new();
        for group in self.ring().await["groups"].as_array().expect("groups") {
            if let Some(leader) = group["leader"].as_str().filter(|_| group["name"] != "control") {
                *leads.entry(leader.to_owned()).or_default() += 1;
            }
        }
        leads
    }
}

impl Seat {
    /// Where other members find it.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.members)
    }

    pub fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.api)
    }

    /// Its name and URL.
    pub fn named(&self) -> (String, String) {
        (self.name.clone(), self.url())
    }
}

/// A port that was free a moment ago, and that no connection will take: it is below those that the kernel gives away.
fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run side by side begin at different places.
    let begin = (std::process::id() % 500) as u16 * 40;
    loop {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
