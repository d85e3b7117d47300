//! Zones with a network of their own: a namespace each, joined by a bridge, between which packets can be lost.
//!
//! A test that needs them runs itself again as the root of namespaces of its own, which any user may make where the kernel
//! lets users make namespaces. Beyond that `unshare`, `nsenter` and `ip` are needed. Packets are lost by an address of the
//! link layer that nobody has: the sender notices nothing, and each direction can be lost alone.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Says to the test that it has namespaces of its own.
const INSIDE: &str = "OURO_TESTS_INSIDE";
/// Set to `skip` where namespaces are not permitted and that is known.
const NETNS: &str = "OURO_TESTS_NETNS";
const NETWORK: &str = "10.77.0";
/// The test's own place in it.
const HUB: &str = "10.77.0.254";
/// The hardware address of nobody.
const NOBODY: &str = "02:00:00:00:00:66";

/// Runs `story`, which is the test with this name, in namespaces of its own. It fails where they are not permitted, unless
/// the environment says that it may be left out.
pub async fn inside(name: &str, story: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        return story.await;
    }
    if let Err(why) = permitted() {
        assert!(
            std::env::var(NETNS).is_ok_and(|value| value == "skip"),
            "{name} needs namespaces for its networks, and cannot make them: {why}\n\
             Permit them (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces), or set {NETNS}=skip to go \
             without this proof."
        );
        eprintln!("\nNOT TOLD: {name}: there are no namespaces ({why}), and {NETNS}=skip");
        return;
    }
    let program = std::env::current_exe().expect("a test has a program");
    let words = [name, "--exact", "--nocapture", "--include-ignored"];
    let mut command = Command::new("unshare");
    command.args(UNSHARE).arg(program).args(words).env(INSIDE, "1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("unshare starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success() && out.contains("1 passed"), "{name}, in namespaces of its own: {out}\n{err}");
}

const UNSHARE: [&str; 3] = ["--user", "--map-root-user", "--net"];

fn permitted() -> Result<(), String> {
    let script = "ip link add hub type bridge";
    let output = Command::new("unshare").args(UNSHARE).args(["sh", "-c", script]).output();
    let output = output.map_err(|error| format!("unshare: {error}"))?;
    match output.status.success() && Command::new("nsenter").arg("--version").output().is_ok() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Zones `a`, `b`, … on one network, which the test is on too.
pub struct Zones {
    zones: Vec<Zone>,
}

struct Zone {
    name: String,
    address: String,
    /// Keeps the namespace.
    holder: Child,
}

impl Zones {
    pub fn new(count: usize) -> Zones {
        ip(None, "link set lo up");
        ip(None, "link add hub type bridge");
        ip(None, &format!("addr add {HUB}/24 dev hub"));
        ip(None, "link set hub up");
        let zones = (0..count).map(|n| Zone::new(n, char::from(b'a' + n as u8).to_string()));
        Zones { zones: zones.collect() }
    }

    fn at(&self, zone: &str) -> usize {
        self.zones.iter().position(|other| other.name == zone).expect("a zone")
    }

    pub fn address(&self, zone: &str) -> String {
        self.zones[self.at(zone)].address.clone()
    }

    /// The words before a command that is to run in a zone.
    pub fn enter(&self, zone: &str) -> Vec<String> {
        let namespace = self.zones[self.at(zone)].namespace();
        vec!["nsenter".to_owned(), format!("--net={}", namespace.display())]
    }

    /// Loses all packets from a zone to the others; the test still reaches it.
    pub fn cut_from(&self, zone: &str) {
        let (from, others) = self.split(zone);
        others.for_each(|to| lose(from, to));
    }

    /// Loses all packets to a zone from the others.
    pub fn cut_to(&self, zone: &str) {
        let (to, others) = self.split(zone);
        others.for_each(|from| lose(from, to));
    }

    fn split(&self, zone: &str) -> (&Zone, impl Iterator<Item = &Zone>) {
        (&self.zones[self.at(zone)], self.zones.iter().filter(move |other| other.name != zone))
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        for zone in &self.zones {
            ip(Some(zone), "neigh flush dev eth0 nud permanent");
        }
    }
}

impl Zone {
    fn new(n: usize, name: String) -> Zone {
        // It ends when its standard input does, however the test ends.
        let holder = Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let zone = Zone { name, address: format!("{NETWORK}.{}", n + 1), holder: holder.expect("unshare starts") };
        let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::read_link(zone.namespace()).is_ok_and(|namespace| namespace == own) {
            assert!(Instant::now() < deadline, "no namespace for zone {}", zone.name);
            std::thread::sleep(Duration::from_millis(5));
        }
        let (name, pid) = (&zone.name, zone.holder.id());
        ip(None, &format!("link add zone-{name} type veth peer name eth0 netns {pid}"));
        ip(None, &format!("link set zone-{name} master hub up"));
        ip(Some(&zone), "link set lo up");
        ip(Some(&zone), &format!("addr add {}/24 dev eth0", zone.address));
        ip(Some(&zone), "link set eth0 up");
        zone
    }

    fn namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.id()))
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn lose(from: &Zone, to: &Zone) {
    ip(Some(from), &format!("neigh replace {} lladdr {NOBODY} nud permanent dev eth0", to.address));
}

/// Runs `ip` with these words, in a zone or beside them all.
fn ip(zone: Option<&Zone>, words: &str) {
    let mut command = match zone {
        None => Command::new("ip"),
        Some(zone) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={}", zone.namespace().display())).arg("ip");
            command
        }
    };
    let output = command.args(words.split(' ')).output().expect("ip starts");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}
