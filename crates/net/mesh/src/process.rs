//! What all processes of a cluster share: the settings of a member, and how it starts, serves and leaves.

use crate::directory::Directory;
use crate::mesh::{Joining, Mesh, random_id};
use crate::page::{self, Page};
use axum::Router;
use model::Role;
use node::Node;
use node::process::{self, ProcessSettings};
use placement::Table;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use settings::Sources;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use telemetry::Exposition;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The settings of a role, beside those that every member has.
pub trait Own: Default + Clone + Serialize + DeserializeOwned {
    const ROLE: Role;
    /// Port of its API unless the settings name one.
    const PORT: u16;
    /// What its API is for, as the line says that it prints when it listens.
    const PURPOSE: &'static str = "it tells how it is at";

    /// Says what is wrong beyond types.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Itself without secrets.
    fn redacted(&self) -> Self {
        self.clone()
    }
}

/// The settings that every member has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Shared {
    /// Address and port of its API.
    listen: SocketAddr,
    /// Its place in the cluster.
    cluster: cluster::Settings,
    /// Who it is to other members.
    tls: identity::Settings,
    /// Its own log.
    log: telemetry::Settings,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            cluster: cluster::Settings::default(),
            tls: identity::Settings::default(),
            log: telemetry::Settings::default(),
        }
    }
}

/// One file of settings: what every member has and what its role adds stand side by side.
#[derive(Debug, Clone, Serialize)]
struct Process<O> {
    #[serde(flatten)]
    shared: Shared,
    #[serde(flatten)]
    own: O,
}

impl<O: Own> Process<O> {
    /// The part of `shared` depends on the role by one default.
    fn defaults() -> Process<O> {
        let shared = Shared { listen: SocketAddr::from(([127, 0, 0, 1], O::PORT)), ..Shared::default() };
        Process { shared, own: O::default() }
    }
}

impl<O: Own> ProcessSettings for Process<O> {
    /// Each part takes its own keys, so that a mistake is named with its key and file; a key that is nobody's is
    /// refused here.
    fn load(sources: &Sources) -> Result<Process<O>, String> {
        let text = |e: settings::SettingsError| e.to_string();
        let defaults = Process::<O>::defaults();
        let given: Map<String, Value> = sources.load().map_err(text)?;
        let known = serde_json::to_value(&defaults).map_err(|e| e.to_string())?;
        if let Some(key) = given.keys().find(|key| known.get(key).is_none()) {
            let known = known.as_object().map(|known| known.keys().map(String::as_str).collect::<Vec<_>>());
            let place = sources.path().map_or(String::new(), |path| format!(" (in {})", path.display()));
            return Err(format!(
                "unknown field `{key}`, expected one of {}{place}",
                known.unwrap_or_default().join(", ")
            ));
        }
        let mut shared: Shared = sources.load().map_err(text)?;
        if !given.contains_key("listen") {
            shared.listen = defaults.shared.listen;
        }
        Ok(Process { shared, own: sources.load().map_err(text)? })
    }

    fn log(&self) -> &telemetry::Settings {
        &self.shared.log
    }

    fn check(&self) -> Result<(), String> {
        self.shared.cluster.check().map_err(|e| e.to_string())?;
        self.own.check()
    }

    fn render(&self) -> String {
        settings::render(&Process { shared: self.shared.clone(), own: self.own.redacted() })
    }
}

/// A process of a cluster that has read its settings.
pub struct Start {
    shared: Shared,
    config: Arc<str>,
    role: Role,
    purpose: &'static str,
    pub node: Node,
}

/// Reads the settings and serves until told to stop.
pub fn main<O: Own, F>(line: impl IntoIterator<Item = OsString>, serve: impl FnOnce(O, Start) -> F) -> ExitCode
where
    F: Future<Output = Result<(), String>>,
{
    process::main(line, |settings: Process<O>, node, _| {
        let config = settings.render().into();
        let Process { shared, own } = settings;
        serve(own, Start { shared, config, role: O::ROLE, purpose: O::PURPOSE, node })
    })
}

impl Start {
    pub fn cluster(&self) -> &cluster::Settings {
        &self.shared.cluster
    }

    pub fn tls(&self) -> &identity::Settings {
        &self.shared.tls
    }

    /// Takes the port for members, under an id that is of this start only, and learns from now on where shards are.
    pub async fn join(&self) -> Result<(Joining, Directory), String> {
        let opened = Mesh::open(&self.shared.cluster, &self.shared.tls, self.role, random_id()).await;
        let joining = opened.map_err(|e| e.to_string())?;
        let directory = Directory::of(joining.mesh().clone());
        let mut stopping = self.node.stopping();
        let follow = directory.clone().follow(async move { stopping.wait().await });
        self.node.spawn(format!("{}: placement", self.role), follow);
        Ok((joining, directory))
    }

    /// Serves `routes`, and how the process is, until it is told to stop. Prints one line when it listens: what it
    /// is, and what for. The member has not left yet when this returns.
    pub async fn serve(
        self,
        mesh: &Mesh,
        table: watch::Receiver<Arc<Table>>,
        routes: Router,
        meters: impl Fn(&mut Exposition) + Send + Sync + 'static,
    ) -> Result<(), String> {
        let Start { shared, config, role, purpose, node } = self;
        let page = Page { mesh: mesh.clone(), table, config, meters: Arc::new(meters) };
        let unbound = |e: std::io::Error| format!("cannot listen on {}: {e} (listen)", shared.listen);
        let listener = TcpListener::bind(shared.listen).await.map_err(unbound)?;
        let at = listener.local_addr().map_err(unbound)?;
        let me = mesh.me();
        println!("{role} {} is ready: {purpose} http://{at}, members reach it at {}", me.name, me.address);
        let mut stopping = node.stopping();
        let served = axum::serve(listener, routes.merge(page::router(page)));
        served.with_graceful_shutdown(async move { stopping.wait().await }).await.map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Sample {
        rules: Vec<String>,
    }

    impl Own for Sample {
        const ROLE: Role = Role::Ruler;
        const PORT: u16 = 3105;
    }

    fn load(text: &str) -> Result<Process<Sample>, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("s.toml");
        std::fs::write(&path, text).expect("written");
        Process::load(&Sources::default().file(Some(&path)))
    }

    #[test]
    fn both_parts_are_read_from_one_file_and_shown_as_one() {
        let read = load("rules = ['a']\n[cluster]\nzone = 'b'\n").expect("good");
        assert_eq!(read.shared.listen, SocketAddr::from(([127, 0, 0, 1], 3105)));
        assert_eq!((read.shared.cluster.zone.as_str(), read.own.rules.len()), ("b", 1));
        let again = load(&read.render()).expect("what is shown can be read");
        assert_eq!((again.shared, again.own.rules), (read.shared, read.own.rules));
        assert_eq!(load("listen = '[::1]:9'").expect("good").shared.listen.port(), 9);
    }

    #[test]
    fn a_mistake_is_named_with_its_key_and_file() {
        for (text, words) in [
            ("rule = 1\n", &["unknown field `rule`", "rules", "cluster", "s.toml"][..]),
            ("rules = 1\n", &["rules", "s.toml"]),
            ("[cluster]\nzones = 1\n", &["zones", "zone", "s.toml"]),
            ("[log]\nformat = 'song'\n", &["log.format", "song", "s.toml"]),
        ] {
            let error = load(text).expect_err("refused");
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
    }
}
