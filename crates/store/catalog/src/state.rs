//! The catalog itself.

use crate::command::{Command, Reply};
use crate::entry::{BlockEntry, SegmentEntry, ShardEntry};
use crate::lease::Lease;
use crate::replace;
use deletes::Deletes;
use model::ShardId;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// All segments and blocks, how far each shard was flushed, who may merge, and what is to be deleted. Clones share the entries.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Catalog {
    version: u64,
    shards: Vec<(ShardId, ShardEntry)>,
    segments: BTreeMap<String, Arc<SegmentEntry>>,
    #[serde(default)]
    blocks: BTreeMap<String, Arc<BlockEntry>>,
    #[serde(default)]
    lease: Lease,
    #[serde(default)]
    deletes: Deletes,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the catalog cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Catalog {
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How far a shard was flushed; zero when never.
    pub fn shard(&self, shard: ShardId) -> ShardEntry {
        self.shards.iter().find(|(id, _)| *id == shard).map_or(ShardEntry::default(), |(_, entry)| *entry)
    }

    pub fn segments(&self) -> impl Iterator<Item = &Arc<SegmentEntry>> {
        self.segments.values()
    }

    pub fn segment(&self, name: &str) -> Option<&Arc<SegmentEntry>> {
        self.segments.get(name)
    }

    pub fn blocks(&self) -> impl Iterator<Item = &Arc<BlockEntry>> {
        self.blocks.values()
    }

    pub fn block(&self, name: &str) -> Option<&Arc<BlockEntry>> {
        self.blocks.get(name)
    }

    /// Whether it has an object of this name.
    pub fn names(&self, name: &str) -> bool {
        self.segments.contains_key(name) || self.blocks.contains_key(name)
    }

    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    pub fn deletes(&self) -> &Deletes {
        &self.deletes
    }

    /// Every shard that was ever flushed.
    pub fn shards(&self) -> impl Iterator<Item = (ShardId, ShardEntry)> {
        self.shards.iter().copied()
    }

    /// Applies a committed command, written as `Command::encode` does.
    pub fn apply(&mut self, command: &[u8]) -> Reply {
        match serde_json::from_slice(command) {
            Ok(Command::Add { segment }) => self.add(segment),
            Ok(
                Command::Remove { epoch: Some(epoch), .. }
                | Command::Replace { epoch, .. }
                | Command::Delete { epoch: Some(epoch), .. },
            ) if !self.lease.is_under(epoch) => Reply::Fenced { epoch: self.lease.epoch },
            Ok(Command::Remove { names, .. }) => {
                self.remove(&names);
                self.changed()
            }
            Ok(Command::Replace { without, .. }) if !self.deletes.are_open(&without) => Reply::Withdrawn,
            Ok(Command::Replace { removed, added, without, .. }) => match replace::check(self, &removed, &added) {
                Ok(()) => {
                    self.remove(&removed);
                    self.blocks.extend(added.into_iter().map(|block| (block.name.clone(), Arc::new(block))));
                    self.deletes.begin(&without, self.version + 1);
                    self.changed()
                }
                Err(why) => Reply::Refused { why },
            },
            Ok(Command::Delete { command, .. }) => {
                let before = self.deletes.changed();
                let reply = self.deletes.apply(command, self.version + 1);
                self.version = if self.deletes.changed() == before { self.version } else { self.version + 1 };
                Reply::Delete { reply, version: self.version }
            }
            Ok(Command::Lease { holder, epoch, renewal }) => {
                // No reader cares, so the version stays.
                self.lease.ask(holder, epoch, renewal);
                Reply::Lease { lease: self.lease.clone(), version: self.version }
            }
            Err(error) => Reply::Refused { why: error.to_string() },
        }
    }

    fn changed(&mut self) -> Reply {
        self.version += 1;
        Reply::Done { version: self.version }
    }

    fn remove(&mut self, names: &[String]) {
        for name in names {
            self.segments.remove(name);
            self.blocks.remove(name);
        }
    }

    fn add(&mut self, mut segment: SegmentEntry) -> Reply {
        let entry = self.shard(segment.shard);
        if segment.after != entry.through || segment.through <= segment.after {
            return Reply::Taken { through: entry.through, version: entry.version };
        }
        self.version += 1;
        segment.order = self.version;
        let next = ShardEntry { through: segment.through, version: self.version };
        match self.shards.iter_mut().find(|(id, _)| *id == segment.shard) {
            Some((_, entry)) => *entry = next,
            None => self.shards.push((segment.shard, next)),
        }
        self.segments.insert(segment.name.clone(), Arc::new(segment));
        Reply::Done { version: self.version }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Result<Catalog, Error> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::TenantEntry;
    use model::{Signal, TenantId, TimeRange};

    fn segment(shard: u32, after: u64, through: u64) -> SegmentEntry {
        let tenant = TenantEntry { tenant: TenantId::anonymous(), rows: 1, min: 10, max: 20 };
        SegmentEntry {
            name: format!("{shard}-{after}-{through}"),
            shard: ShardId::new(Signal::Logs, shard),
            level: 0,
            after,
            through,
            term: 1,
            created: 0,
            order: 0,
            rows: 1,
            raw_bytes: 1,
            bytes: 1,
            tenants: vec![tenant],
        }
    }

    fn add(catalog: &mut Catalog, shard: u32, after: u64, through: u64) -> Reply {
        catalog.apply(&Command::Add { segment: segment(shard, after, through) }.encode())
    }

    #[test]
    fn a_shards_segments_follow_one_another() {
        let mut catalog = Catalog::default();
        assert_eq!(add(&mut catalog, 0, 0, 5), Reply::Done { version: 1 });
        assert_eq!(add(&mut catalog, 1, 0, 9), Reply::Done { version: 2 });
        for (after, through) in [(0, 5), (0, 7), (6, 8), (4, 9), (5, 5)] {
            assert_eq!(add(&mut catalog, 0, after, through), Reply::Taken { through: 5, version: 1 }, "{after}");
        }
        assert_eq!(add(&mut catalog, 0, 5, 8), Reply::Done { version: 3 });
        assert_eq!(catalog.segments().count(), 3);
        assert_eq!(Catalog::decode(&catalog.encode()).expect("reads"), catalog);
    }

    #[test]
    fn a_removed_segment_leaves_no_gap_to_fill() {
        let mut catalog = Catalog::default();
        add(&mut catalog, 0, 0, 5);
        let names = vec!["0-0-5".into(), "unknown".into()];
        catalog.apply(&Command::Remove { names, epoch: None }.encode());
        assert_eq!(catalog.segments().count(), 0);
        assert_eq!(add(&mut catalog, 0, 0, 5), Reply::Taken { through: 5, version: 1 });
    }

    #[test]
    fn segments_know_whose_rows_they_have() {
        let segment = segment(0, 0, 1);
        let other = TenantId::new("other").expect("a name");
        assert!(segment.holds(&TenantId::anonymous(), TimeRange::new(20, 30)));
        assert!(!segment.holds(&TenantId::anonymous(), TimeRange::new(21, 30)));
        assert!(!segment.holds(&other, TimeRange::ALL));
    }

    #[test]
    fn nonsense_is_refused_and_changes_nothing() {
        let mut catalog = Catalog::default();
        for command in [&b""[..], b"{}", b"{\"do\":\"explode\"}", b"{\"do\":\"replace\"}"] {
            assert!(matches!(catalog.apply(command), Reply::Refused { .. }));
        }
        assert_eq!(catalog.version(), 0);
    }

    #[test]
    fn catalogs_and_commands_from_before_blocks_are_read() {
        let old = r#"{"version":7,"shards":[[{"signal":"logs","index":0},{"through":5,"version":7}]],"segments":{"s":
            {"name":"s","shard":{"signal":"logs","index":0},"level":0,"after":0,"through":5,"term":1,"created":0,
             "rows":1,"raw_bytes":1,"bytes":1,"tenants":[{"tenant":"anonymous","rows":1,"min":10,"max":20}]}}}"#;
        let mut catalog = Catalog::decode(old.as_bytes()).expect("reads");
        assert_eq!((catalog.version(), catalog.segments().count(), catalog.blocks().count()), (7, 1, 0));
        let done = catalog.apply(br#"{"do":"remove","names":["s"]}"#);
        assert_eq!((done, catalog.segments().count()), (Reply::Done { version: 8 }, 0));
    }
}
