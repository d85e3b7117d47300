//! What must hold: of every moment, and of a cluster that was left in peace.

use crate::process::Process;
use crate::world::{self, World};
use catalog::{Catalog, Name};
use ingester::simulated;
use model::{GroupId, ShardId};
use placement::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where an entry was seen, and its bytes.
type Entries = BTreeMap<(GroupId, u64), (String, bytes::Bytes)>;

impl World {
    /// No two lead a group in one term.
    pub fn watch_leaders(&self, process: &Process) {
        for (group, _) in simulated::groups(&process.ingester) {
            let status = group.status();
            if status.leader != Some(process.id) {
                continue;
            }
            let known = self.lock().leaders.insert((group.id().0, status.term), process.id.0);
            match known {
                None => {
                    self.trace.note(format!("{} leads group {:x} in term {}", process.name, group.id().0, status.term));
                    self.trace.add("elections", 1);
                }
                Some(other) if other != process.id.0 => {
                    let (group, term) = (group.id().0, status.term);
                    self.trace
                        .broken(format!("group {group:x} has two leaders in term {term}: {} and {other}", process.id));
                }
                Some(_) => {}
            }
        }
    }

    /// Where two have a committed entry, it is the same.
    pub fn match_logs(&self) {
        let mut seen = Entries::new();
        for process in self.processes() {
            for (group, _) in simulated::groups(&process.ingester) {
                let status = group.status();
                for index in status.first..=status.committed {
                    // The log may be cut meanwhile.
                    let Ok(data) = group.read(index) else { continue };
                    self.trace.add("entries compared", 1);
                    let (name, first) =
                        seen.entry((group.id(), index)).or_insert_with(|| (process.name.clone(), data.clone()));
                    if *first != data {
                        let what = format!("entry {index} of group {:x} differs", group.id().0);
                        self.trace.broken(format!("{what} between {name} and {}", process.name));
                    }
                }
            }
        }
    }

    /// Whether every group is where it should be, led, and followed; else what is amiss.
    pub fn amiss(&self) -> Option<String> {
        if let Some(name) = self.down().first() {
            return Some(format!("{name} does not run"));
        }
        let processes = self.processes();
        let leads = |group: GroupId| {
            processes.iter().find_map(|process| {
                let groups = simulated::groups(&process.ingester);
                let found = groups.into_iter().find(|(found, serves)| found.id() == group && *serves);
                found.map(|(found, _)| found).filter(|found| found.status().leader == Some(process.id))
            })
        };
        let Some(control) = processes.iter().find(|process| process.ingester.control().led().is_some()) else {
            return Some("nobody leads the control group".to_owned());
        };
        let table: Arc<Table> = control.ingester.control().table().borrow().clone();
        if table.writable() != table.readable() || table.writable().logs == 0 {
            return Some("not all shards are open for writes".to_owned());
        }
        let zones: BTreeMap<u64, String> = processes.iter().map(|p| (p.id.0, world::zone(&p.name))).collect();
        for (id, placed) in table.groups().map(|(id, placed)| (id, placed.nodes.clone())) {
            let Some(group) = leads(id) else { return Some(format!("nobody serves group {:x}", id.0)) };
            let status = group.status();
            let voters: Vec<u64> = status.voters.iter().map(|node| node.0).collect();
            let spread: BTreeSet<&String> = voters.iter().filter_map(|node| zones.get(node)).collect();
            if !status.learners.is_empty() || voters != placed || voters.len() != 3 || spread.len() != 3 {
                let places = voters.iter().map(|node| zones.get(node).map_or("?", String::as_str));
                let places: Vec<&str> = places.collect();
                return Some(format!("group {:x} has voters in {places:?} and learners {:?}", id.0, status.learners));
            }
        }
        None
    }

    /// The catalog's segments of each shard follow each other without a gap, all nodes have the same catalog, and the
    /// bucket has what it names.
    pub fn match_catalogs(&self) {
        let catalogs: Vec<(String, Arc<Catalog>)> =
            self.processes().iter().map(|p| (p.name.clone(), p.ingester.control().catalog())).collect();
        let mut by_version: BTreeMap<u64, (&String, &Arc<Catalog>)> = BTreeMap::new();
        for (name, catalog) in &catalogs {
            let (other, first) = *by_version.entry(catalog.version()).or_insert((name, catalog));
            if first.encode() != catalog.encode() {
                let version = catalog.version();
                self.trace.broken(format!("the catalogs of {other} and {name} differ at version {version}"));
            }
        }
        let Some((_, (_, catalog))) = by_version.last_key_value() else { return };
        let mut ends: BTreeMap<ShardId, u64> = BTreeMap::new();
        let mut segments: Vec<_> = catalog.segments().collect();
        segments.sort_by_key(|segment| (segment.shard, segment.after));
        for segment in segments {
            let end = ends.insert(segment.shard, segment.through).unwrap_or(0);
            if segment.after != end {
                self.trace.broken(format!("{} follows a segment that ends at {end}", segment.name));
            }
            let parsed = Name::parse(&segment.name);
            let told = Name::Segment {
                shard: segment.shard,
                after: segment.after,
                through: segment.through,
                term: segment.term,
            };
            if parsed != Some(told) {
                self.trace.broken(format!("{} is named like another segment", segment.name));
            }
            if !self.root.join("bucket").join(&segment.name).exists() {
                self.trace.broken(format!("{} is not in the bucket", segment.name));
            }
        }
        for (shard, end) in &ends {
            let known = catalog.shard(*shard).through;
            if known != *end {
                self.trace.broken(format!("shard {shard} is flushed up to {known}, and its segments end at {end}"));
            }
        }
        self.trace.most("segments", catalog.segments().count() as u64);
    }
}
