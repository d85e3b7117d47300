//! Whether a catalog and the bucket belong together: every object is there, and no row of a log is in two of them.

use model::ShardId;
use objects::Listed;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// An object, as a catalog names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub name: String,
    pub bytes: u64,
    pub rows: u64,
    /// Of a segment: its shard, and the entries of its log with `after < index <= through`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<(ShardId, u64, u64)>,
}

/// What a catalog and a listing of the bucket say of each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Named and not there, or of another size; or two segments with one log entry.
    pub faults: Vec<String>,
    /// There and not named: what a crash or a merge has left, which the compactor sweeps.
    pub unnamed: Vec<Listed>,
}

impl Audit {
    pub fn of(named: &[Named], listed: &[Listed]) -> Audit {
        let there: HashMap<&str, u64> = listed.iter().map(|object| (object.name.as_str(), object.bytes)).collect();
        let mut faults = Vec::new();
        for object in named {
            match there.get(object.name.as_str()) {
                None => faults.push(format!("{}: the catalog names it, the bucket does not have it", object.name)),
                Some(bytes) if *bytes != object.bytes => {
                    faults.push(format!("{}: it has {bytes} bytes, the catalog says {}", object.name, object.bytes));
                }
                Some(_) => {}
            }
        }
        let mut by_shard: BTreeMap<ShardId, Vec<(u64, u64, &str)>> = BTreeMap::new();
        for object in named {
            if let Some((shard, after, through)) = object.entries {
                by_shard.entry(shard).or_default().push((after, through, &object.name));
            }
        }
        for (shard, mut all) in by_shard {
            all.sort_unstable();
            for two in all.windows(2).filter(|two| two[1].0 < two[0].1) {
                faults.push(format!(
                    "{} and {}: both have entry {} of shard {shard}",
                    two[0].2,
                    two[1].2,
                    two[1].0 + 1
                ));
            }
        }
        let names: BTreeSet<&str> = named.iter().map(|object| object.name.as_str()).collect();
        let unnamed = listed.iter().filter(|object| !names.contains(object.name.as_str())).cloned().collect();
        Audit { faults, unnamed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Signal;
    use std::time::SystemTime;

    #[test]
    fn what_does_not_belong_together_is_told() {
        let shard = ShardId::new(Signal::Logs, 1);
        let named = |name: &str, bytes, entries: Option<(u64, u64)>| Named {
            name: name.into(),
            bytes,
            rows: 1,
            entries: entries.map(|(after, through)| (shard, after, through)),
        };
        let listed = |name: &str, bytes| Listed { name: name.into(), bytes, modified: SystemTime::UNIX_EPOCH };
        let check = |all: &[Named], there: &[Listed], want: &[&str], unnamed: usize| {
            let audit = Audit::of(all, there);
            assert_eq!((audit.faults, audit.unnamed.len()), (want.iter().map(|s| (*s).to_owned()).collect(), unnamed));
        };
        check(&[], &[], &[], 0);
        check(&[named("a", 1, Some((0, 5))), named("b", 2, Some((5, 6)))], &[listed("a", 1), listed("b", 2)], &[], 0);
        check(&[named("c", 1, None)], &[listed("d", 1)], &["c: the catalog names it, the bucket does not have it"], 1);
        check(&[named("a", 1, None)], &[listed("a", 2)], &["a: it has 2 bytes, the catalog says 1"], 0);
        let overlap = [named("b", 2, Some((4, 6))), named("a", 1, Some((0, 5)))];
        let want = ["a and b: both have entry 5 of shard logs-1"];
        check(&overlap, &[listed("a", 1), listed("b", 2)], &want, 0);
    }
}
