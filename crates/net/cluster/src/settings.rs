//! The settings of membership: the table `[cluster]`.

use crate::error::Error;
use crate::member;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The cluster's name. Members of clusters with different names refuse each other.
    pub name: String,
    /// This process's name, unique in the cluster. Empty: the host's name.
    pub member: String,
    /// The failure domain of this process: replicas of a shard are kept in different zones.
    pub zone: String,
    /// The address and port where this process listens for other members.
    pub listen: SocketAddr,
    /// `host:port` where other members reach this process. Empty: what `listen` says, if that is one address.
    pub advertise: String,
    /// `host:port` of some members, names or addresses: where this process looks for its cluster. They are looked up
    /// anew at every try, and a name may stand for many addresses.
    pub seeds: Vec<String>,
    /// The timing of gossip.
    pub gossip: GossipSettings,
}

/// The same in all members of a cluster, or their opinions of each other differ for longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GossipSettings {
    /// How often a member probes another one, all in turn.
    #[serde(with = "settings::duration")]
    pub probe_interval: Duration,
    /// How long it waits for the answer before it asks others to probe too. Less than half the interval.
    #[serde(with = "settings::duration")]
    pub probe_timeout: Duration,
    /// How long a member that answers no probe has to say that it lives, before it is taken for lost.
    #[serde(with = "settings::duration")]
    pub suspicion: Duration,
    /// How often news are told to others while there are some, three at a time.
    #[serde(with = "settings::duration")]
    pub spread: Duration,
    /// How often a member compares its whole list with another's while all agree. After a difference it compares
    /// every `probe_interval`.
    #[serde(with = "settings::duration")]
    pub compare: Duration,
    /// How long a lost member is remembered, so that old news of it cannot bring it back.
    #[serde(with = "settings::duration")]
    pub remember_down: Duration,
    /// How often a member that is alone asks the seeds; one that is not asks the seeds that it does not know every
    /// ten times as long.
    #[serde(with = "settings::duration")]
    pub announce: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            name: "ouro".to_owned(),
            member: String::new(),
            zone: "default".to_owned(),
            listen: SocketAddr::from(([0, 0, 0, 0], 4100)),
            advertise: String::new(),
            seeds: Vec::new(),
            gossip: GossipSettings::default(),
        }
    }
}

impl Default for GossipSettings {
    fn default() -> GossipSettings {
        GossipSettings {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(400),
            suspicion: Duration::from_secs(3),
            spread: Duration::from_millis(200),
            compare: Duration::from_secs(10),
            remember_down: Duration::from_secs(300),
            announce: Duration::from_secs(3),
        }
    }
}

impl Settings {
    /// Says which key is wrong, and what it may be.
    pub fn check(&self) -> Result<(), Error> {
        word("cluster.name", &self.name, member::NAME_LIMIT)?;
        word("cluster.zone", &self.zone, member::ZONE_LIMIT)?;
        self.member_name()?;
        self.address()?;
        for seed in &self.seeds {
            named("cluster.seeds", member::address(seed))?;
        }
        self.gossip.check()
    }

    /// `member`, or the host's name if that is empty.
    pub fn member_name(&self) -> Result<String, Error> {
        let name = match self.member.is_empty() {
            false => self.member.clone(),
            true => host_name()?,
        };
        word("cluster.member", &name, member::NAME_LIMIT)?;
        Ok(name)
    }

    /// `advertise`, or `listen` if that is empty.
    pub fn address(&self) -> Result<String, Error> {
        if self.advertise.is_empty() && (self.listen.ip().is_unspecified() || self.listen.port() == 0) {
            let text = format!("is empty, and other members cannot connect to {} (cluster.listen)", self.listen);
            return Err(Error::Settings { key: "cluster.advertise", text });
        }
        let address = if self.advertise.is_empty() { self.listen.to_string() } else { self.advertise.clone() };
        named("cluster.advertise", member::address(&address))?;
        Ok(address)
    }
}

impl GossipSettings {
    pub fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("cluster.gossip.probe_interval", self.probe_interval, 100, 60_000),
            ("cluster.gossip.probe_timeout", self.probe_timeout, 20, 30_000),
            ("cluster.gossip.suspicion", self.suspicion, 100, 600_000),
            ("cluster.gossip.spread", self.spread, 20, 10_000),
            ("cluster.gossip.compare", self.compare, 1_000, 600_000),
            ("cluster.gossip.remember_down", self.remember_down, 10_000, 86_400_000),
            ("cluster.gossip.announce", self.announce, 100, 600_000),
        ];
        for (key, value, least, most) in bounds {
            let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
            if !(least..=most).contains(&value) {
                return Err(Error::Settings { key, text: format!("is {value:?}, it must be {least:?} to {most:?}") });
            }
        }
        if self.probe_timeout * 2 >= self.probe_interval {
            let text = format!(
                "is {:?}, it must be less than half of {:?} (cluster.gossip.probe_interval)",
                self.probe_timeout, self.probe_interval
            );
            return Err(Error::Settings { key: "cluster.gossip.probe_timeout", text });
        }
        if self.remember_down < self.suspicion * 10 {
            let text = format!(
                "is {:?}, it must be at least ten times {:?} (cluster.gossip.suspicion)",
                self.remember_down, self.suspicion
            );
            return Err(Error::Settings { key: "cluster.gossip.remember_down", text });
        }
        Ok(())
    }
}

fn host_name() -> Result<String, Error> {
    let host = rustix::system::uname();
    match host.nodename().to_str() {
        Ok(name) if !name.is_empty() && name != "localhost" => Ok(name.to_owned()),
        _ => {
            let text = "is empty, and this host has no name to use instead".to_owned();
            Err(Error::Settings { key: "cluster.member", text })
        }
    }
}

fn word(key: &'static str, value: &str, limit: usize) -> Result<(), Error> {
    named(key, member::plain("", value, limit))
}

/// Names the setting in place of the member's field.
fn named(key: &'static str, result: Result<(), Error>) -> Result<(), Error> {
    result.map_err(|error| match error {
        Error::Member { value, text, .. } => Error::Settings { key, text: format!("{value:?} {text}") },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let settings: Settings = toml::from_str(text).expect(text);
        match settings.check() {
            Ok(()) => assert_eq!(expected, "", "{text}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
        }
    }

    #[test]
    fn errors_name_the_key() {
        check("advertise = \"a:1\"", "");
        check("listen = \"10.0.0.1:4100\"\nseeds = [\"ouro-members:4100\"]", "");
        check("", "cluster.advertise: is empty, and other members cannot connect to 0.0.0.0:4100 (cluster.listen)");
        let base = "advertise = \"a:1\"\n";
        for (text, expected) in [
            ("name = \"\"", "cluster.name: \"\" is empty"),
            ("name = \"a b\"", "cluster.name: \"a b\" may hold letters, digits, '-', '_' and '.' only"),
            ("member = \"-\"", "cluster.member: \"-\" must begin with a letter or a digit"),
            ("zone = \"\"", "cluster.zone: \"\" is empty"),
            ("seeds = [\"a\"]", "cluster.seeds: \"a\" is not host:port, for instance 10.0.0.1:4100"),
            ("gossip.spread = \"0s\"", "cluster.gossip.spread: is 0ns, it must be 20ms to 10s"),
            (
                "gossip.probe_timeout = \"600ms\"",
                "cluster.gossip.probe_timeout: is 600ms, it must be less than half of 1s (cluster.gossip.probe_interval)",
            ),
            (
                "gossip.suspicion = \"40s\"",
                "cluster.gossip.remember_down: is 300s, it must be at least ten times 40s (cluster.gossip.suspicion)",
            ),
        ] {
            check(&format!("{base}{text}"), expected);
        }
    }

    #[test]
    fn the_host_gives_a_name_and_listen_an_address() {
        let listen = SocketAddr::from(([10, 0, 0, 1], 4100));
        let settings = Settings { listen, ..Settings::default() };
        assert_eq!(settings.address().as_deref(), Ok("10.0.0.1:4100"));
        // A host may be called localhost, which is no name.
        match settings.member_name() {
            Ok(name) => assert!(!name.is_empty()),
            Err(error) => assert!(error.to_string().starts_with("cluster.member: "), "{error}"),
        }
    }
}
