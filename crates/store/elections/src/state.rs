//! Who is elected, and the changes since a version.

use crate::command::{Command, Reply};
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of a cluster's or a replica's name.
pub const MAX_NAME: usize = 512;
/// Clusters of all tenants: some ten megabytes.
const MAX_CLUSTERS: usize = 100_000;

/// Everything that is replicated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Elections {
    /// Counts changes; signs are numbered by it, so that none is like another.
    version: u64,
    /// The version in which a cluster was last forgotten.
    forgotten: u64,
    tenants: BTreeMap<TenantId, BTreeMap<String, Elected>>,
}

/// The replica of a cluster that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elected {
    pub replica: String,
    /// The number of the last sign that it is heard.
    pub sign: u64,
}

/// What is new since a version. Travels as JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Changes {
    pub version: u64,
    /// Whether this is all there is: what is not named is not there any more.
    pub whole: bool,
    pub elected: Vec<(TenantId, String, Elected)>,
}

impl Elections {
    /// Grows with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Clusters of all tenants.
    pub fn clusters(&self) -> usize {
        self.tenants.values().map(BTreeMap::len).sum()
    }

    /// What is new for who knows this version.
    pub fn since(&self, known: u64) -> Changes {
        let whole = known < self.forgotten || known > self.version || known == 0;
        let all = self.tenants.iter().flat_map(|(tenant, own)| own.iter().map(move |(name, e)| (tenant, name, e)));
        let new = all.filter(|(_, _, elected)| whole || elected.sign > known);
        let elected = new.map(|(tenant, name, elected)| (tenant.clone(), name.clone(), elected.clone())).collect();
        Changes { version: self.version, whole, elected }
    }

    /// Applies a committed command, written as `Command::encode` does.
    pub fn apply(&mut self, command: &[u8]) -> Reply {
        match serde_json::from_slice(command) {
            Ok(Command::Elect { tenant, cluster, replica, seen, most }) => {
                self.elect(tenant, cluster, replica, seen, most)
            }
            Ok(Command::Hear { heard }) => self.hear(&heard),
            Ok(Command::Forget { silent }) => self.forget(&silent),
            Err(error) => Reply::Refused { why: error.to_string() },
        }
    }

    fn elect(&mut self, tenant: TenantId, cluster: String, replica: String, seen: u64, most: u32) -> Reply {
        if cluster.len() > MAX_NAME || replica.len() > MAX_NAME {
            return Reply::Refused { why: format!("names of clusters and replicas have at most {MAX_NAME} bytes") };
        }
        let own = self.tenants.get(&tenant);
        let now = own.and_then(|own| own.get(&cluster));
        match now {
            Some(elected) if elected.sign != seen => return Reply::Elected { elected: elected.clone() },
            Some(_) => {}
            None => {
                let clusters = own.map_or(0, BTreeMap::len);
                if clusters >= most as usize {
                    return Reply::Full { clusters: clusters as u64, limit: u64::from(most) };
                }
                if self.clusters() >= MAX_CLUSTERS {
                    return Reply::Refused { why: format!("there are {MAX_CLUSTERS} clusters, which is the limit") };
                }
            }
        }
        self.version += 1;
        let elected = Elected { replica, sign: self.version };
        self.tenants.entry(tenant).or_default().insert(cluster, elected.clone());
        Reply::Elected { elected }
    }

    fn hear(&mut self, heard: &[(TenantId, String, String)]) -> Reply {
        let version = self.version + 1;
        for (tenant, cluster, replica) in heard {
            let elected = self.tenants.get_mut(tenant).and_then(|own| own.get_mut(cluster));
            if let Some(elected) = elected.filter(|elected| elected.replica == *replica) {
                elected.sign = version;
                self.version = version;
            }
        }
        Reply::Done
    }

    fn forget(&mut self, silent: &[(TenantId, String, u64)]) -> Reply {
        for (tenant, cluster, sign) in silent {
            let Some(own) = self.tenants.get_mut(tenant) else { continue };
            if own.get(cluster).is_some_and(|elected| elected.sign == *sign) {
                own.remove(cluster);
                self.version += 1;
                self.forgotten = self.version;
            }
            if own.is_empty() {
                self.tenants.remove(tenant);
            }
        }
        Reply::Done
    }
}

#[cfg(test)]
mod tests;
