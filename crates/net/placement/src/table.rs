//! The table itself: a state machine whose commands and snapshots travel as JSON, like the catalog's.

use model::{GroupId, ShardCounts, ShardId, Signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who may hold replicas of which group, and how many shards there are. Every change gives a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    version: u64,
    /// Shards that readers ask.
    readable: ShardCounts,
    /// Shards that writers use: never more than readers ask, so that no reader misses what was just written.
    writable: ShardCounts,
    groups: BTreeMap<GroupId, Placed>,
    /// The ingesters that were seen, by their ids in Raft.
    nodes: BTreeMap<u64, Known>,
}

/// An ingester that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub name: String,
    pub zone: String,
}

impl Default for Table {
    fn default() -> Table {
        let none = ShardCounts { logs: 0, metrics: 0 };
        Table { version: 0, readable: none, writable: none, groups: BTreeMap::new(), nodes: BTreeMap::new() }
    }
}

/// Where a group may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The voters that it began with: one of them that opens it for the first time begins from them.
    pub first: Vec<u64>,
    /// The nodes that hold a replica, or are to. Sorted.
    pub nodes: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Begins groups, each with these voters. One that exists already stays as it is.
    Place { groups: Vec<(GroupId, Vec<u64>)> },
    /// This node may hold a replica from now on.
    Join { group: GroupId, node: u64 },
    /// It no longer holds one.
    Leave { group: GroupId, node: u64 },
    /// This ingester was seen.
    Meet { node: u64, name: String, zone: String },
    /// It is gone for good, and holds nothing.
    Forget { node: u64 },
    /// Readers ask at least so many shards.
    Read { shards: ShardCounts },
    /// Writers may use at least so many shards, of those that readers ask.
    Write { shards: ShardCounts },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or it was so already; the table has this version now.
    Done { version: u64 },
    /// The text says why not.
    Refused { why: String },
}

/// The bytes are not a table.
#[derive(Debug, thiserror::Error)]
#[error("the placement cannot be read: {0}")]
pub struct Unreadable(#[from] serde_json::Error);

impl Command {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Reply {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Reply {
        serde_json::from_slice(bytes)
            .unwrap_or_else(|e| Reply::Refused { why: format!("the reply cannot be read: {e}") })
    }
}

impl Table {
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The shards that readers ask.
    pub fn readable(&self) -> ShardCounts {
        self.readable
    }

    /// The shards that writers use.
    pub fn writable(&self) -> ShardCounts {
        self.writable
    }

    pub fn group(&self, group: GroupId) -> Option<&Placed> {
        self.groups.get(&group)
    }

    pub fn shard(&self, shard: ShardId) -> Option<&Placed> {
        self.group(shard.group())
    }

    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &Placed)> {
        self.groups.iter().map(|(group, placed)| (*group, placed))
    }

    pub fn node(&self, id: u64) -> Option<&Known> {
        self.nodes.get(&id)
    }

    pub fn nodes(&self) -> impl Iterator<Item = (u64, &Known)> {
        self.nodes.iter().map(|(id, known)| (*id, known))
    }

    /// Applies a committed command, written as `Command::encode` does.
    pub fn apply(&mut self, command: &[u8]) -> Reply {
        let command: Command = match serde_json::from_slice(command) {
            Ok(command) => command,
            Err(error) => return Reply::Refused { why: error.to_string() },
        };
        let changed = match command {
            Command::Place { groups } => self.place(groups),
            Command::Join { group, node } => self.change(group, |placed| match placed.nodes.binary_search(&node) {
                Ok(_) => false,
                Err(at) => {
                    placed.nodes.insert(at, node);
                    true
                }
            }),
            Command::Leave { group, node } => self.change(group, |placed| {
                let before = placed.nodes.len();
                placed.nodes.retain(|other| *other != node);
                placed.nodes.len() < before
            }),
            Command::Meet { node, name, zone } => {
                let known = Known { name, zone };
                Ok(self.nodes.insert(node, known.clone()).as_ref() != Some(&known))
            }
            Command::Forget { node } => Ok(self.nodes.remove(&node).is_some()),
            Command::Read { shards } => Ok(raise(&mut self.readable, shards)),
            Command::Write { shards } => match shards.most(self.readable) == self.readable {
                true => Ok(raise(&mut self.writable, shards)),
                false => Err(format!("writers cannot use {shards:?} while readers ask {:?}", self.readable)),
            },
        };
        match changed {
            Ok(changed) => {
                self.version += u64::from(changed);
                Reply::Done { version: self.version }
            }
            Err(why) => Reply::Refused { why },
        }
    }

    fn place(&mut self, groups: Vec<(GroupId, Vec<u64>)>) -> Result<bool, String> {
        if let Some((group, _)) = groups.iter().find(|(_, voters)| voters.is_empty()) {
            return Err(format!("group {} cannot begin without voters", group.0));
        }
        let before = self.groups.len();
        for (group, first) in groups {
            let mut nodes = first.clone();
            nodes.sort_unstable();
            nodes.dedup();
            self.groups.entry(group).or_insert(Placed { first, nodes });
        }
        Ok(self.groups.len() > before)
    }

    fn change(&mut self, group: GroupId, change: impl FnOnce(&mut Placed) -> bool) -> Result<bool, String> {
        let placed = self.groups.get_mut(&group).ok_or_else(|| format!("there is no group {}", group.0))?;
        Ok(change(placed))
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Result<Table, Unreadable> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Of so many shards, those that no group keeps yet.
    pub fn unplaced(&self, shards: ShardCounts) -> Vec<ShardId> {
        let shards = Signal::ALL.into_iter().flat_map(|signal| shards.shards(signal));
        shards.filter(|shard| self.shard(*shard).is_none()).collect()
    }
}

/// Counts never shrink.
fn raise(counts: &mut ShardCounts, least: ShardCounts) -> bool {
    let before = *counts;
    *counts = before.most(least);
    *counts != before
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(77);

    fn apply(table: &mut Table, command: Command) -> Reply {
        table.apply(&command.encode())
    }

    #[test]
    fn nodes_join_and_leave() {
        let mut table = Table::default();
        let place = Command::Place { groups: vec![(GROUP, vec![3, 1, 2])] };
        assert_eq!(apply(&mut table, place.clone()), Reply::Done { version: 1 });
        assert_eq!(apply(&mut table, place), Reply::Done { version: 1 }, "again changes nothing");
        assert_eq!(apply(&mut table, Command::Join { group: GROUP, node: 9 }), Reply::Done { version: 2 });
        assert_eq!(apply(&mut table, Command::Join { group: GROUP, node: 9 }), Reply::Done { version: 2 });
        assert_eq!(apply(&mut table, Command::Leave { group: GROUP, node: 1 }), Reply::Done { version: 3 });
        let meet = |zone: &str| Command::Meet { node: 9, name: "i".into(), zone: zone.into() };
        assert_eq!(apply(&mut table, meet("a")), Reply::Done { version: 4 });
        assert_eq!(apply(&mut table, meet("a")), Reply::Done { version: 4 });
        assert_eq!(apply(&mut table, meet("b")), Reply::Done { version: 5 });
        assert_eq!(apply(&mut table, Command::Forget { node: 8 }), Reply::Done { version: 5 });
        assert_eq!(table.node(9).map(|known| known.zone.as_str()), Some("b"));
        let placed = table.group(GROUP).expect("placed");
        assert_eq!((placed.first.as_slice(), placed.nodes.as_slice()), (&[3, 1, 2][..], &[2, 3, 9][..]));
        assert_eq!(Table::decode(&table.encode()).expect("reads"), table);
    }

    #[test]
    fn writers_never_use_what_readers_do_not_ask() {
        let mut table = Table::default();
        let counts = |logs, metrics| ShardCounts { logs, metrics };
        let refused = apply(&mut table, Command::Write { shards: counts(1, 0) });
        assert!(matches!(refused, Reply::Refused { .. }), "{refused:?}");
        apply(&mut table, Command::Read { shards: counts(4, 2) });
        apply(&mut table, Command::Write { shards: counts(4, 1) });
        apply(&mut table, Command::Read { shards: counts(1, 3) });
        assert_eq!((table.readable(), table.writable(), table.version()), (counts(4, 3), counts(4, 1), 3));
        assert_eq!(table.unplaced(table.readable()).len(), 7);
    }

    #[test]
    fn nonsense_is_refused_and_changes_nothing() {
        let mut table = Table::default();
        let unknown = Command::Join { group: GroupId(5), node: 1 }.encode();
        let empty = Command::Place { groups: vec![(GROUP, vec![])] }.encode();
        for command in [&b""[..], b"{}", b"{\"do\":\"explode\"}", &unknown, &empty] {
            assert!(matches!(table.apply(command), Reply::Refused { .. }));
        }
        assert_eq!(table.version(), 0);
        assert!(Table::decode(b"[").is_err());
    }
}
