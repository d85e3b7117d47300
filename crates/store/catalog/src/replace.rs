//! What must hold for blocks to take the place of segments and blocks.

use crate::entry::{BlockEntry, Place, SegmentEntry};
use crate::state::Catalog;
use model::{ShardId, Signal, TenantId};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// Segments or blocks that are to be replaced, or were.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    pub segments: Vec<Arc<SegmentEntry>>,
    pub blocks: Vec<Arc<BlockEntry>>,
}

impl Inputs {
    /// The named ones, or the first name that is not there.
    pub fn named<'a>(catalog: &Catalog, names: &'a [String]) -> Result<Inputs, &'a str> {
        let mut inputs = Inputs::default();
        for name in names {
            match (catalog.segment(name), catalog.block(name)) {
                (Some(segment), _) => inputs.segments.push(segment.clone()),
                (_, Some(block)) => inputs.blocks.push(block.clone()),
                _ => return Err(name),
            }
        }
        Ok(inputs)
    }

    pub fn signals(&self) -> BTreeSet<Signal> {
        let segments = self.segments.iter().map(|s| s.shard.signal);
        segments.chain(self.blocks.iter().map(|b| b.signal)).collect()
    }

    pub fn tenants(&self) -> BTreeSet<&TenantId> {
        let segments = self.segments.iter().flat_map(|s| &s.tenants).map(|entry| &entry.tenant);
        segments.chain(self.blocks.iter().map(|b| &b.tenant)).collect()
    }

    /// The level of what is made of them.
    pub fn level(&self) -> u8 {
        self.blocks.iter().map(|b| b.level).max().unwrap_or(0).saturating_add(1)
    }

    /// From the oldest place to the newest.
    fn places(&self) -> Option<(Place, Place)> {
        let all = || self.segments.iter().map(|s| s.place()).chain(self.blocks.iter().map(|b| b.place));
        Some((all().min()?, all().max()?))
    }

    /// The place of what is made of them.
    pub fn place(&self) -> Option<Place> {
        self.places().map(|(_, newest)| newest)
    }

    pub fn created(&self) -> i64 {
        let all = self.segments.iter().map(|s| s.created).chain(self.blocks.iter().map(|b| b.created));
        all.max().unwrap_or(0)
    }

    /// The shards whose segments went in, ascending, and the last log index of each.
    pub fn flushed(&self) -> Vec<(ShardId, u64)> {
        let mut all: BTreeMap<ShardId, u64> = BTreeMap::new();
        let segments = self.segments.iter().map(|s| (s.shard, s.through));
        for (shard, through) in segments.chain(self.blocks.iter().flat_map(|b| b.flushed.iter().copied())) {
            let known = all.entry(shard).or_default();
            *known = through.max(*known);
        }
        all.into_iter().collect()
    }
}

/// Says why blocks may not take the place of what is named; what they replace if they may.
pub(crate) fn check(catalog: &Catalog, removed: &[String], added: &[BlockEntry]) -> Result<(), String> {
    let inputs = Inputs::named(catalog, removed).map_err(|name| format!("{name} is not there any more"))?;
    if removed.iter().collect::<HashSet<_>>().len() != removed.len() {
        return Err("a name comes twice".into());
    }
    let Some((oldest, newest)) = inputs.places() else { return Err("nothing is replaced".into()) };
    let (signals, tenants) = (inputs.signals(), inputs.tenants());
    if signals.len() != 1 {
        return Err("logs and metrics are not merged".into());
    }
    between(catalog, &inputs, &tenants, oldest, newest)?;
    let (level, flushed) = (inputs.level(), inputs.flushed());
    let mut names = HashSet::new();
    for block in added {
        let name = &block.name;
        if catalog.segment(name).is_some() || catalog.block(name).is_some() || !names.insert(name) {
            return Err(format!("{name} was there before"));
        }
        if !signals.contains(&block.signal) || !tenants.contains(&block.tenant) {
            return Err(format!("{name} has {} of {}, which nothing that it replaces has", block.signal, block.tenant));
        }
        if block.level != level || block.place != newest || block.flushed != flushed {
            return Err(format!("{name} does not say truly what it is made of"));
        }
    }
    Ok(())
}

/// Nothing that stays may stand between what is merged: its rows would change their place among the merged ones.
fn between(
    catalog: &Catalog,
    inputs: &Inputs,
    tenants: &BTreeSet<&TenantId>,
    oldest: Place,
    newest: Place,
) -> Result<(), String> {
    let is_between = |signal: Signal, place: Place| signal == newest.shard.signal && oldest < place && place < newest;
    let stays = |segment: &&Arc<SegmentEntry>| !inputs.segments.iter().any(|s| s.name == segment.name);
    let segments = catalog.segments().filter(|s| is_between(s.shard.signal, s.place())).filter(stays);
    for segment in segments {
        if segment.tenants.iter().any(|entry| tenants.contains(&entry.tenant)) {
            return Err(format!("{} stands between what is merged", segment.name));
        }
    }
    let stays = |block: &&Arc<BlockEntry>| !inputs.blocks.iter().any(|b| b.name == block.name);
    let mut blocks = catalog.blocks().filter(|b| is_between(b.signal, b.place) && tenants.contains(&b.tenant));
    match blocks.find(stays) {
        Some(block) => Err(format!("{} stands between what is merged", block.name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
