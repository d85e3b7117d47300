//! A whole cluster under test: a process for each member, mutual TLS, a bucket that they share.

use crate::client::{Client, until};
use crate::process::{Home, Process};
use identity::Authority;
use model::Role;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
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
"#;
const GOSSIP: &str =
    "[cluster.gossip]\nprobe_interval = \"500ms\"\nprobe_timeout = \"200ms\"\nsuspicion = \"1500ms\"\n";

/// The seats of a cluster; each can be taken by a process, again and again.
pub struct Members {
    folder: TempDir,
    name: String,
    authority: Authority,
    pub seats: Vec<Seat>,
}

pub struct Seat {
    pub role: Role,
    pub name: String,
    zone: String,
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
}

impl Default for Shape<'_> {
    fn default() -> Self {
        let seats = &[(Role::Ingester, 3), (Role::Distributor, 1), (Role::Querier, 1)];
        Shape { name: "story", seats, placement: "replicas = 3" }
    }
}

impl Members {
    /// The first ingesters, three or else one, begin the control group.
    pub fn new(program: &str, shape: Shape<'_>) -> Members {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::init(&folder.path().join("certs"), shape.name).expect("an authority");
        let mut members = Members { folder, name: shape.name.to_owned(), authority, seats: Vec::new() };
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
        let [api, members] = free_ports();
        self.seats.push(Seat { role, name: format!("{role}-{n}"), zone, api, members, home: Home::plain(program) });
    }

    fn certify(&self, seat: &Seat) {
        let issued = self.authority.issue(seat.role, &seat.name, 1, &[]).expect("a certificate");
        issued.write(&self.folder.path().join("certs")).expect("written");
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
        let seat = &self.seats[at];
        let ingesters = || self.seats.iter().filter(|seat| seat.role == Role::Ingester);
        let seeds: Vec<String> = ingesters().map(|seat| format!("127.0.0.1:{}", seat.members)).take(3).collect();
        let control: Vec<&str> = ingesters().map(|seat| seat.name.as_str()).collect();
        let control = &control[..if control.len() < 3 { 1 } else { 3 }];
        let certs = self.folder.path().join("certs");
        let mut text = format!(
            "listen = \"127.0.0.1:{}\"\n[cluster]\nname = {:?}\nmember = {:?}\nzone = {:?}\n\
             listen = \"127.0.0.1:{}\"\nseeds = {seeds:?}\n{GOSSIP}\
             [tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\nreload = \"200ms\"\n",
            seat.api,
            self.name,
            seat.name,
            seat.zone,
            seat.members,
            certs.join("ca.crt"),
            certs.join(format!("{}.crt", seat.name)),
            certs.join(format!("{}.key", seat.name)),
        );
        if matches!(seat.role, Role::Ingester | Role::Querier | Role::Compactor) {
            let url = format!("file://{}", self.objects().display());
            text = format!("data = {:?}\n{text}[objects]\nurl = {url:?}\n", self.data(&seat.name));
        }
        if seat.role == Role::Ingester {
            text.push_str(&format!("{INGESTER}[ingester.placement]\ncontrol = {control:?}\n{placement}\n"));
        }
        text.push_str(more);
        self.seats[at].home.change(&text);
    }

    /// Sends a member to the ingesters of another cluster.
    pub fn misdirect(&mut self, at: usize, to: &Members) {
        let addresses = |members: &Members| -> Vec<String> {
            let ingesters = members.seats.iter().filter(|seat| seat.role == Role::Ingester);
            ingesters.map(|seat| format!("127.0.0.1:{}", seat.members)).collect()
        };
        let (own, theirs) = (addresses(self), addresses(to));
        let text = self.seats[at].home.settings().replace(&format!("{own:?}"), &format!("{theirs:?}"));
        self.seats[at].home.change(&text);
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

    pub fn ingesters(&self) -> Vec<String> {
        self.seats.iter().filter(|seat| seat.role == Role::Ingester).map(|seat| seat.name.clone()).collect()
    }

    pub fn start(&self, running: &mut Running, name: &str) {
        let seat = self.seat(name);
        running.insert(name.to_owned(), seat.home.start_role(seat.role.as_str()));
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
        Client::new(&format!("http://127.0.0.1:{}", self.seat(name).api))
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

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
