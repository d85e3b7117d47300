//! One member of a cluster on this machine: its place, its settings, its process.

use crate::args::Dev;
use anyhow::{Context, bail};
use model::Role;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Members listen for each other so many ports above the first for users.
const MEMBERS: u16 = 100;
const ZONES: usize = 26;

/// Who there is to be.
pub struct Plan {
    pub members: Vec<Planned>,
    replicas: usize,
}

pub struct Planned {
    pub role: Role,
    pub name: String,
    pub zone: String,
    /// The port for users.
    api: u16,
    /// The port for other members.
    pub members: u16,
}

impl Plan {
    pub fn new(args: &Dev) -> anyhow::Result<Plan> {
        let roles = [
            (Role::Ingester, args.ingesters),
            (Role::Distributor, args.distributors),
            (Role::Querier, args.queriers),
            (Role::Compactor, 1),
            (Role::Ruler, 1),
        ];
        let count: usize = roles.iter().map(|(_, count)| count).sum();
        if args.ingesters == 0 || args.distributors == 0 || args.queriers == 0 || count > usize::from(MEMBERS) {
            bail!("there must be an ingester, a distributor and a querier at least, and {MEMBERS} members at most");
        }
        if !(1..=ZONES).contains(&args.zones) {
            bail!("--zones is {}, it must be 1 to {ZONES}", args.zones);
        }
        if args.base_port > u16::MAX - 2 * MEMBERS {
            bail!("--base-port is {}, it must be {} at most", args.base_port, u16::MAX - 2 * MEMBERS);
        }
        let each = roles.iter().flat_map(|(role, count)| (0..*count).map(move |n| (*role, n)));
        // Users' first ports are those of the doors.
        let mut ports: Vec<(Role, usize)> = each.clone().collect();
        ports.sort_by_key(|(role, n)| (*n > 0, *role != Role::Distributor, *role != Role::Querier, *role, *n));
        let member = |(role, n): (Role, usize)| {
            let at = ports.iter().position(|port| *port == (role, n)).unwrap_or(0) as u16;
            Planned {
                role,
                name: format!("{role}-{n}"),
                zone: char::from(b'a' + (n % args.zones) as u8).to_string(),
                api: args.base_port + at,
                members: args.base_port + MEMBERS + at,
            }
        };
        Ok(Plan { members: each.map(member).collect(), replicas: args.ingesters.min(3) })
    }

    fn of(&self, role: Role) -> impl Iterator<Item = &Planned> {
        self.members.iter().filter(move |member| member.role == role)
    }

    /// Of the first of a role.
    pub fn url(&self, role: Role) -> String {
        self.of(role).next().map(Planned::url).unwrap_or_default()
    }

    /// Whether it can be written and queried.
    pub async fn is_ready(&self) -> bool {
        let doors = self.of(Role::Distributor).chain(self.of(Role::Querier));
        for door in doors {
            let answer = reqwest::Client::new().get(format!("{}/ready", door.url())).timeout(Duration::from_secs(1));
            if !answer.send().await.is_ok_and(|answer| answer.status().is_success()) {
                return false;
            }
        }
        true
    }

    /// The names of the ingesters that begin the control group.
    fn control(&self) -> Vec<&str> {
        let all: Vec<&str> = self.of(Role::Ingester).map(|member| member.name.as_str()).collect();
        let count = if all.len() < 3 { 1 } else { 3 };
        all.into_iter().take(count).collect()
    }
}

impl Planned {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    fn folder(&self, data: &Path) -> PathBuf {
        data.join(&self.name)
    }

    fn config(&self, data: &Path) -> PathBuf {
        self.folder(data).join("ouro.toml")
    }

    /// What starts it.
    pub fn command(&self, program: &Path, data: &Path) -> Vec<String> {
        let words = [program.display().to_string(), "run".into(), self.role.to_string(), "--config".into()];
        words.into_iter().chain([self.config(data).display().to_string()]).collect()
    }

    /// Writes its settings. They are kept if they are there: somebody may have changed them.
    pub fn write(&self, data: &Path, plan: &Plan) -> anyhow::Result<()> {
        let folder = self.folder(data);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let path = self.config(data);
        if path.exists() {
            return Ok(());
        }
        let seeds: Vec<String> = plan.of(Role::Ingester).map(|i| format!("127.0.0.1:{}", i.members)).take(3).collect();
        let certs = data.join("certs");
        let (name, zone, role) = (&self.name, &self.zone, self.role);
        let mut text = format!(
            "# {name} of a cluster on this machine, made by `ouro dev`.\n\
             listen = \"127.0.0.1:{api}\"\n\
             [cluster]\n\
             name = \"{cluster}\"\n\
             member = \"{name}\"\n\
             zone = \"{zone}\"\n\
             listen = \"127.0.0.1:{members}\"\n\
             seeds = {seeds:?}\n\
             [tls]\n\
             ca = {ca:?}\n\
             certificate = {certificate:?}\n\
             key = {key:?}\n",
            api = self.api,
            cluster = super::CLUSTER,
            members = self.members,
            ca = certs.join("ca.crt"),
            certificate = certs.join(format!("{name}.crt")),
            key = certs.join(format!("{name}.key")),
        );
        if matches!(role, Role::Ingester | Role::Querier | Role::Compactor) {
            let url = format!("file://{}", data.join("objects").display());
            text = format!("data = {:?}\n{text}[objects]\nurl = {url:?}\n", folder.join("data"));
        }
        if role == Role::Ingester {
            let (control, replicas) = (plan.control(), plan.replicas);
            text.push_str(&format!("[ingester.placement]\ncontrol = {control:?}\nreplicas = {replicas}\n"));
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A running member. Its log goes to `NAME/log`.
pub struct Member {
    pub role: Role,
    name: String,
    child: Child,
    /// It was said that it is gone.
    missed: bool,
}

impl Member {
    pub fn start(program: &Path, data: &Path, planned: &Planned) -> anyhow::Result<Member> {
        let log = planned.folder(data).join("log");
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        command.args(&planned.command(program, data)[1..]).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // Ctrl-C reaches this process alone, which ends the members in their order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Member { role: planned.role, name: planned.name.clone(), child, missed: false })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What became of it, once.
    pub fn gone(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(Some(status)) if !self.missed => {
                self.missed = true;
                Some(format!("{} has ended: {status}", self.name))
            }
            _ => None,
        }
    }

    pub fn terminate(&self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32).filter(|_| !self.missed) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev(ingesters: usize, zones: usize) -> Dev {
        let data = "dev".into();
        Dev { ingesters, zones, distributors: 1, queriers: 2, data, base_port: 3100, json: false }
    }

    #[test]
    fn doors_have_the_first_ports_and_zones_take_turns() {
        let plan = Plan::new(&dev(5, 3)).expect("a plan");
        assert_eq!(
            (plan.url(Role::Distributor), plan.url(Role::Querier)),
            ("http://127.0.0.1:3100".to_owned(), "http://127.0.0.1:3101".to_owned())
        );
        let zones: Vec<&str> = plan.of(Role::Ingester).map(|member| member.zone.as_str()).collect();
        assert_eq!(zones, ["a", "b", "c", "a", "b"]);
        assert_eq!(plan.control(), ["ingester-0", "ingester-1", "ingester-2"]);
        let mut ports: Vec<u16> = plan.members.iter().flat_map(|member| [member.api, member.members]).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 2 * plan.members.len());
        assert!(Plan::new(&dev(0, 1)).is_err() && Plan::new(&dev(1, 0)).is_err() && Plan::new(&dev(98, 1)).is_err());
    }
}
