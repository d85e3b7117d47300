//! Where a group should be: names on the ring, turned into the nodes that bear them now.

use model::{GroupId, ShardId};
use ring::{Member, Ring};

/// An ingester that may keep replicas: one that is alive, or was until a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingester {
    /// Its id in Raft; another one after it lost its disk.
    pub id: u64,
    pub name: String,
    pub zone: String,
    /// It answers now.
    pub alive: bool,
    /// It is about to stop, and takes no lead.
    pub draining: bool,
}

/// The nodes that should keep each of these groups, the first choice first. By name, so that an ingester that comes
/// back without its disk is wanted where it was.
pub fn wanted(ingesters: &[Ingester], groups: &[GroupId], replicas: usize) -> Vec<(GroupId, Vec<u64>)> {
    let members = ingesters.iter().map(|i| Member { name: i.name.clone(), zone: i.zone.clone() });
    let ring = Ring::new(members);
    // Of two with one name, the one that is alive bears it.
    let bearer = |name: &str| {
        let bearers = ingesters.iter().filter(|i| i.name == name);
        bearers.max_by_key(|i| (i.alive, i.id)).map(|i| i.id)
    };
    let nodes = |group: &GroupId| {
        let key = ShardId::from_group(*group).map_or_else(|| group.0.to_string(), |shard| shard.to_string());
        ring.replicas(key.as_bytes(), replicas).into_iter().filter_map(bearer).collect()
    };
    groups.iter().map(|group| (*group, nodes(group))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Signal;

    fn ingester(id: u64, name: &str, alive: bool) -> Ingester {
        let zone = format!("zone-{}", name.len() % 2);
        Ingester { id, name: name.into(), zone, alive, draining: false }
    }

    #[test]
    fn a_name_is_borne_by_who_lives() {
        let group = ShardId::new(Signal::Logs, 3).group();
        let all = [ingester(9, "a", false), ingester(2, "a", true), ingester(3, "bb", true)];
        let found = wanted(&all, &[group], 3);
        let (_, nodes) = &found[0];
        let mut sorted = nodes.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [2, 3]);
    }
}
