//! A member of a cluster: all that others have to know of it.

use crate::error::Error;
use model::Role;
use serde::{Serialize, Serializer};

/// Bytes of each text. Three members with the longest ones still fit into one packet.
pub const NAME_LIMIT: usize = 63;
pub const ZONE_LIMIT: usize = 31;
pub const ADDRESS_LIMIT: usize = 127;
pub const VERSION_LIMIT: usize = 31;

/// A process that takes part. It is what travels in gossip, so it is small, and nothing that is not in it is known
/// of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Drawn at random: once per data folder for ingesters, once per start for others. A text in JSON, where many
    /// readers would round a number of this size.
    #[serde(serialize_with = "text")]
    pub id: u64,
    /// Unique in the cluster. Of two that claim one name, the one with the higher incarnation counts.
    pub name: String,
    pub role: Role,
    /// Its failure domain.
    pub zone: String,
    /// `host:port` where other members reach it.
    pub address: String,
    /// Of its program.
    pub version: String,
    /// The Unix time of its start in milliseconds, and one more for each time it had to say something new of itself.
    pub incarnation: u64,
    /// It is about to leave: it answers, but should be given nothing new.
    pub draining: bool,
}

impl Member {
    /// Says which text cannot travel, and why.
    pub fn check(&self) -> Result<(), Error> {
        plain("name", &self.name, NAME_LIMIT)?;
        plain("zone", &self.zone, ZONE_LIMIT)?;
        version(&self.version)?;
        address(&self.address)
    }
}

/// One word: letters, digits, `-`, `_` and `.`, beginning with a letter or a digit. A part of certificates' names.
pub(crate) fn plain(field: &'static str, value: &str, limit: usize) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let text = match value.chars().next() {
        None => "is empty".to_owned(),
        Some(first) if !first.is_ascii_alphanumeric() => "must begin with a letter or a digit".to_owned(),
        _ if !value.chars().all(good) => "may hold letters, digits, '-', '_' and '.' only".to_owned(),
        _ => return short(field, value, limit),
    };
    Err(Error::Member { field, value: value.to_owned(), text })
}

/// `host:port`, the port not 0.
pub(crate) fn address(value: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.:[]%".contains(c);
    let port = value.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse().ok());
    match port {
        Some(1..=u16::MAX) if value.chars().all(good) => short("address", value, ADDRESS_LIMIT),
        _ => {
            let text = "is not host:port, for instance 10.0.0.1:4100".to_owned();
            Err(Error::Member { field: "address", value: value.to_owned(), text })
        }
    }
}

fn version(value: &str) -> Result<(), Error> {
    match value.chars().all(|c| c.is_ascii_graphic()) {
        true => short("version", value, VERSION_LIMIT),
        false => {
            let text = "may hold printable ASCII characters only".to_owned();
            Err(Error::Member { field: "version", value: value.to_owned(), text })
        }
    }
}

fn short(field: &'static str, value: &str, limit: usize) -> Result<(), Error> {
    match value.len() <= limit {
        true => Ok(()),
        false => {
            let text = format!("has {} bytes, the limit is {limit}", value.len());
            Err(Error::Member { field, value: value.to_owned(), text })
        }
    }
}

fn text<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_members_are_held_to_their_limits() {
        let good = Member {
            id: u64::MAX,
            name: "ingester-0".to_owned(),
            role: Role::Ingester,
            zone: "a".to_owned(),
            address: "[fe80::1]:4100".to_owned(),
            version: "0.1.0+abc".to_owned(),
            incarnation: 1,
            draining: false,
        };
        assert_eq!(good.check(), Ok(()));
        let bad = |change: fn(&mut Member), expected: &str| {
            let mut member = good.clone();
            change(&mut member);
            let error = member.check().expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        };
        bad(|m| m.name.clear(), "name of a member, \"\", is empty");
        bad(|m| m.name = "a/b".to_owned(), "name of a member, \"a/b\", may hold letters");
        bad(|m| m.name = "-a".to_owned(), "must begin with");
        bad(|m| m.name = "a".repeat(64), "has 64 bytes, the limit is 63");
        bad(|m| m.zone = "z".repeat(32), "the limit is 31");
        bad(|m| m.address = "host".to_owned(), "is not host:port");
        bad(|m| m.address = "host:0".to_owned(), "is not host:port");
        bad(|m| m.address = ":4100".to_owned(), "is not host:port");
        bad(|m| m.address = "ho st:4100".to_owned(), "is not host:port");
        bad(|m| m.address = format!("{}:4100", "h".repeat(123)), "has 128 bytes, the limit is 127");
        bad(|m| m.version = "v\n".to_owned(), "printable");
        let json = serde_json::to_value(&good).expect("JSON");
        assert_eq!((&json["id"], &json["role"]), (&"18446744073709551615".into(), &"ingester".into()));
    }
}
