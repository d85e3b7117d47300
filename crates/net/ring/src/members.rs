//! Which members should keep a shard.

use consistent_hash::{Node, RingHash, StaticHashRing};
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::xxh3_64;

/// Points of each member on the ring: the busiest of ten members then has about a fifth more than its part.
const POINTS: usize = 128;

/// A member that can keep shards or answer for a part of the key space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Unique in the cluster, and the same after a restart.
    pub name: String,
    /// Its failure domain.
    pub zone: String,
}

/// Live members on a ring. Look-ups allocate: bake what is asked often into a table when the members change.
pub struct Ring {
    ring: StaticHashRing<'static, Key<String>, String, FixedHash>,
    zones: usize,
}

impl Ring {
    /// The order of the members does not matter; of two with one name, one counts.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Ring {
        let mut members: Vec<Member> = members.into_iter().collect();
        members.sort_by(|a, b| (&a.name, &a.zone).cmp(&(&b.name, &b.zone)));
        members.dedup_by(|a, b| a.name == b.name);
        let mut zones: Vec<&str> = members.iter().map(|member| member.zone.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        let zones = zones.len();
        let nodes = members.into_iter().map(|m| Node::new(Key(m.name)).value(m.zone).quantity(POINTS));
        Ring { ring: StaticHashRing::new(FixedHash, nodes), zones }
    }

    pub fn is_empty(&self) -> bool {
        self.ring.len() == 0
    }

    /// Up to `count` members for the thing named `key`, the first choice first: the next of each zone, clockwise from
    /// its point, so that the loss of a zone is the loss of one. Only when there are fewer zones than `count` does a
    /// zone give a second one.
    pub fn replicas(&self, key: &[u8], count: usize) -> Vec<&str> {
        let mut chosen: Vec<(&str, &str)> = Vec::with_capacity(count);
        let key = Key(key);
        for once in [true, false] {
            for node in self.ring.calc_candidates(&key) {
                if chosen.len() == count || (once && chosen.len() == self.zones) {
                    break;
                }
                let (name, zone) = (node.key.0.as_str(), node.value.as_str());
                let taken = chosen.iter().any(|(n, z)| *n == name || (once && *z == zone));
                if !taken {
                    chosen.push((name, zone));
                }
            }
        }
        chosen.into_iter().map(|(name, _)| name).collect()
    }
}

/// Hashes as its bytes alone, unlike `str`, whose `Hash` is the standard library's business.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key<T>(T);

impl<T: AsRef<[u8]>> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_ref());
    }
}

#[derive(Debug)]
struct FixedHash;

impl RingHash for FixedHash {
    fn hash_item<T: Hash>(&self, item: &T) -> u64 {
        let mut bytes = Bytes::default();
        item.hash(&mut bytes);
        bytes.finish()
    }

    fn hash_vnode<K: Hash>(&self, node: &K, point: usize) -> u64 {
        let mut bytes = Bytes::default();
        node.hash(&mut bytes);
        bytes.write(&(point as u64).to_le_bytes());
        bytes.finish()
    }
}

/// Collects what is hashed, so that XXH3 sees the bytes as one.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        xxh3_64(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn ring(members: &[(&str, &str)]) -> Ring {
        Ring::new(members.iter().map(|(name, zone)| Member { name: name.to_string(), zone: zone.to_string() }))
    }

    fn nine() -> Vec<(String, String)> {
        (0..9).map(|n| (format!("ingester-{n}"), format!("zone-{}", n % 3))).collect()
    }

    fn ring_of(members: &[(String, String)]) -> Ring {
        Ring::new(members.iter().map(|(name, zone)| Member { name: name.clone(), zone: zone.clone() }))
    }

    #[test]
    fn replicas_are_the_same_for_ever() {
        let ring = ring_of(&nine());
        let found = ["logs-0", "logs-1", "metrics-0"].map(|key| ring.replicas(key.as_bytes(), 3));
        assert_eq!(found, GOLDEN);
        let mut turned = nine();
        turned.reverse();
        assert_eq!(ring_of(&turned).replicas(b"logs-0", 3), GOLDEN[0], "the order of members does not matter");
    }

    const GOLDEN: [[&str; 3]; 3] = [
        ["ingester-2", "ingester-3", "ingester-4"],
        ["ingester-7", "ingester-6", "ingester-2"],
        ["ingester-0", "ingester-5", "ingester-4"],
    ];

    #[test]
    fn each_zone_has_one() {
        let (members, mut load) = (nine(), BTreeMap::<String, u32>::new());
        let ring = ring_of(&members);
        for shard in 0..1000 {
            let replicas = ring.replicas(format!("logs-{shard}").as_bytes(), 3);
            let zones: BTreeSet<&str> =
                members.iter().filter(|(name, _)| replicas.contains(&name.as_str())).map(|(_, z)| z.as_str()).collect();
            assert_eq!((replicas.len(), zones.len()), (3, 3));
            replicas.iter().for_each(|name| *load.entry(name.to_string()).or_default() += 1);
        }
        assert!(load.values().all(|n| (200..480).contains(n)), "{load:?}");
    }

    #[test]
    fn few_zones_or_members_are_made_do_with() {
        assert_eq!(ring(&[]).replicas(b"x", 3), [""; 0]);
        assert!(ring(&[]).is_empty());
        assert_eq!(ring(&[("a", "z")]).replicas(b"x", 3), ["a"]);
        let found: BTreeSet<String> =
            ring(&[("a", "z"), ("b", "z"), ("c", "y")]).replicas(b"x", 3).iter().map(|n| n.to_string()).collect();
        assert_eq!(found.len(), 3);
        let two = ring(&[("a", "z"), ("b", "z"), ("c", "y")]);
        (0..50u8).for_each(|n| assert!(two.replicas(&[n], 2).contains(&"c"), "both zones"));
    }

    #[test]
    fn a_member_that_leaves_moves_only_its_own() {
        let (before, after) = (ring_of(&nine()), ring_of(&nine()[1..]));
        for shard in 0..500 {
            let key = format!("metrics-{shard}");
            let (old, new) = (before.replicas(key.as_bytes(), 3), after.replicas(key.as_bytes(), 3));
            let lost = usize::from(old.contains(&"ingester-0"));
            assert_eq!(new.iter().filter(|name| !old.contains(name)).count(), lost, "{key}");
        }
    }
}
