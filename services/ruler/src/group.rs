//! Groups and rules, as they were read and found good.

use model::TenantId;
use ring::slot_of;
use std::collections::BTreeMap;
use std::time::Duration;

/// A group by its tenant, and by its file and name.
pub type Key = (TenantId, String);

/// A group whose rules are evaluated one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub tenant: TenantId,
    /// Its name within the tenant's folder.
    pub file: String,
    /// Unique in its file.
    pub name: String,
    pub interval: Duration,
    /// The most series of a recording rule, or alerts of an alerting rule; zero for any.
    pub limit: usize,
    /// So much before the time of an evaluation its queries ask, and its samples lie.
    pub offset: Duration,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Of the recorded series, or of the alert.
    pub name: String,
    pub expr: String,
    /// The expression as PromQL prints it.
    pub query: String,
    /// With those of the group.
    pub labels: BTreeMap<String, String>,
    /// Nothing for a recording rule.
    pub alert: Option<Alerting>,
}

/// What an alerting rule has beyond its expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerting {
    /// `for`: so long it is pending before it fires.
    pub hold: Duration,
    /// So long it fires on once its expression finds nothing.
    pub keep: Duration,
    pub annotations: BTreeMap<String, String>,
}

impl Group {
    pub fn key(&self) -> Key {
        (self.tenant.clone(), format!("{};{}", self.file, self.name))
    }

    /// The slot whose holder evaluates it.
    pub fn slot(&self) -> u32 {
        let (tenant, name) = self.key();
        slot_of(format!("{tenant}/{name}").as_bytes(), leases::SLOTS)
    }
}

impl Rule {
    /// By what a rule is the same one after its file has changed: its kind, its name and its labels, as Prometheus has
    /// it. So a changed threshold does not reset what is pending.
    pub fn identity(&self) -> String {
        let kind = if self.alert.is_some() { "alert" } else { "record" };
        format!("{kind} {} {:?}", self.name, self.labels)
    }
}
