//! How pairs of Prometheus servers that send the same are told.

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::time::Duration;

/// Distributors tell each other whom they hear a few times within it.
const MIN_FAILOVER: Duration = Duration::from_secs(3);

/// Of several replicas that send the same samples one is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HaSettings {
    /// `limits.ha.enabled`: whether of the replicas of a cluster one is stored. Otherwise their labels are labels.
    pub enabled: bool,
    /// `limits.ha.cluster_label`: the label that is the same in all replicas of a cluster.
    pub cluster_label: String,
    /// `limits.ha.replica_label`: the label that tells replicas apart; it is not stored.
    pub replica_label: String,
    /// `limits.ha.failover`: for how long the elected replica may be silent before another one is elected, 3s at least.
    #[serde(serialize_with = "settings::duration::serialize", deserialize_with = "failover")]
    pub failover: Duration,
    /// `limits.ha.max_clusters`: how many clusters the tenant may have.
    pub max_clusters: u32,
}

impl Default for HaSettings {
    fn default() -> HaSettings {
        HaSettings {
            enabled: false,
            cluster_label: "cluster".into(),
            replica_label: "__replica__".into(),
            failover: Duration::from_secs(30),
            max_clusters: 100,
        }
    }
}

fn failover<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let failover = settings::duration::deserialize(deserializer)?;
    match failover >= MIN_FAILOVER {
        true => Ok(failover),
        false => Err(D::Error::custom(format!("ha.failover is {failover:?}, it must be {MIN_FAILOVER:?} or more"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_that_is_too_short_is_named() {
        let read = |text: &str| serde_json::from_str::<HaSettings>(text).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"failover": "3s"}"#).map(|ha| ha.failover), Ok(MIN_FAILOVER));
        let error = read(r#"{"failover": "2s"}"#).expect_err("too short");
        assert!(error.contains("ha.failover is 2s, it must be 3s"), "{error}");
    }
}
