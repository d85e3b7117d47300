//! The next safe steps from where groups are to where they should be.

use crate::table::Table;
use crate::wanted::{Ingester, wanted};
use model::GroupId;
use std::collections::BTreeMap;

/// How replicas may move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Replicas of each shard.
    pub replicas: usize,
    /// Groups that may be on their way to other nodes at a time.
    pub moves: usize,
    /// A learner that lacks no more entries than this has caught up.
    pub lag: u64,
    /// The names of the ingesters that vote in the control group; all others learn from it.
    pub control: Vec<String>,
}

/// A group as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub leader: u64,
    pub term: u64,
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    /// Of each member but the leader.
    pub progress: Vec<Progress>,
}

/// How far a member follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub node: u64,
    /// Entries that it lacks.
    pub lag: u64,
    /// It was heard from lately.
    pub active: bool,
}

/// One thing to do. `leader` is whom to ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write into the table that the node may hold the group.
    Join { group: GroupId, node: u64 },
    /// Make the node a learner.
    Learn { group: GroupId, leader: u64, node: u64 },
    /// Make the learner a voter.
    Promote { group: GroupId, leader: u64, node: u64 },
    /// Hand over the lead.
    Transfer { group: GroupId, leader: u64, node: u64 },
    /// Take the node out of the group.
    Remove { group: GroupId, leader: u64, node: u64 },
    /// Write into the table that the node no longer holds the group.
    Leave { group: GroupId, node: u64 },
}

/// The steps to take now, at most one for each group. `found` has the groups whose leaders answered: without a leader
/// nothing is done to a group.
pub fn plan(table: &Table, ingesters: &[Ingester], found: &BTreeMap<GroupId, Found>, rules: &Rules) -> Vec<Step> {
    let groups: Vec<GroupId> = found.keys().copied().filter(|group| table.group(*group).is_some()).collect();
    let mut steps = Vec::new();
    if let Some(control) = found.get(&GroupId::CONTROL) {
        steps.extend(control_step(control, ingesters, rules));
    }
    let (mut under_way, mut fresh) = (0, Vec::new());
    for (group, voters) in wanted(ingesters, &groups, rules.replicas) {
        let Some(now) = found.get(&group) else { continue };
        let nodes = table.group(group).map(|placed| placed.nodes.as_slice());
        let target = Target { voters: &voters, learners: &[], nodes };
        match step(group, now, target, ingesters, rules) {
            Some(step @ Step::Join { .. }) => fresh.push(step),
            found => {
                // A learner that catches up needs nothing done, and is on its way all the same.
                under_way += usize::from(found.is_some() || !now.learners.is_empty());
                steps.extend(found);
            }
        }
    }
    fresh.truncate(rules.moves.saturating_sub(under_way));
    steps.extend(fresh);
    if steps.is_empty() {
        steps.extend(balance(ingesters, found, rules));
    }
    steps
}

/// Where a group should be, and who may hold it; `None` where everybody may.
#[derive(Clone, Copy)]
struct Target<'a> {
    voters: &'a [u64],
    learners: &'a [u64],
    nodes: Option<&'a [u64]>,
}

fn control_step(found: &Found, ingesters: &[Ingester], rules: &Rules) -> Option<Step> {
    let alive = || ingesters.iter().filter(|ingester| ingester.alive);
    let is_named = |ingester: &&Ingester| rules.control.contains(&ingester.name);
    let mut voters: Vec<u64> = alive().filter(is_named).map(|ingester| ingester.id).collect();
    // A voter that is away for a moment stays one: only another node with its name takes its place.
    let is_borne = |name: &str| alive().any(|ingester| ingester.name == name);
    let away = ingesters.iter().filter(|i| !i.alive && !is_borne(&i.name)).map(|i| i.id);
    voters.extend(away.filter(|id| found.voters.contains(id)));
    // For those that are gone for good others stand in; one that does already goes on.
    let mut others: Vec<&Ingester> = alive().filter(|i| !is_named(i)).collect();
    others.sort_by_key(|i| (!found.voters.contains(&i.id), i.name.as_str()));
    let replicas = rules.control.len().max(1);
    let missing = replicas.saturating_sub(voters.len()).min(others.len());
    let learners: Vec<u64> = others.split_off(missing).iter().map(|i| i.id).collect();
    voters.extend(others.iter().map(|i| i.id));
    let rules = Rules { replicas, ..rules.clone() };
    step(GroupId::CONTROL, found, Target { voters: &voters, learners: &learners, nodes: None }, ingesters, &rules)
}

fn step(group: GroupId, found: &Found, target: Target<'_>, ingesters: &[Ingester], rules: &Rules) -> Option<Step> {
    let Found { leader, voters, learners, .. } = found;
    let (leader, alive) = (*leader, |node: u64| ingesters.iter().any(|i| i.id == node && i.alive));
    let is_member = |node: &u64| voters.contains(node) || learners.contains(node);
    let is_wanted = |node: &u64| target.voters.contains(node) || target.learners.contains(node);
    // Someone whose place is still to be taken.
    let missing =
        || target.voters.iter().chain(target.learners).find(|node| !is_member(node) && alive(**node)).copied();

    // What has been removed from the group leaves the table.
    let gone = |node: &&u64| !is_member(node) && !is_wanted(node);
    if let Some(node) = target.nodes.and_then(|nodes| nodes.iter().find(gone)) {
        return Some(Step::Leave { group, node: *node });
    }
    if let Some(node) = learners.iter().find(|node| !is_wanted(node)) {
        return Some(Step::Remove { group, leader, node: *node });
    }
    let caught_up = |node: &u64| found.progress.iter().any(|p| p.node == *node && p.active && p.lag <= rules.lag);
    let ready = |node: &&u64| target.voters.contains(node) && caught_up(node);
    if let Some(node) = learners.iter().find(ready) {
        return Some(Step::Promote { group, leader, node: *node });
    }
    if let Some(node) = missing() {
        return Some(match target.nodes {
            Some(nodes) if !nodes.contains(&node) => Step::Join { group, node },
            _ => Step::Learn { group, leader, node },
        });
    }
    // One too many: the others must be a majority that answers.
    let surplus = voters.iter().find(|node| !target.voters.contains(node))?;
    let left = || voters.iter().filter(|node| *node != surplus);
    let answering = left().filter(|node| **node == leader || caught_up(node)).count();
    if voters.len() <= rules.replicas || 2 * answering <= left().count() {
        return None;
    }
    if *surplus != leader {
        return Some(Step::Remove { group, leader, node: *surplus });
    }
    let heir = left().find(|node| caught_up(node) && takes_lead(ingesters, **node))?;
    Some(Step::Transfer { group, leader, node: *heir })
}

fn takes_lead(ingesters: &[Ingester], node: u64) -> bool {
    ingesters.iter().any(|i| i.id == node && i.alive && !i.draining)
}

/// Hands over the lead of one group to a follower of it that leads at least two fewer than its leader.
fn balance(ingesters: &[Ingester], found: &BTreeMap<GroupId, Found>, rules: &Rules) -> Option<Step> {
    let shards = || found.iter().filter(|(group, _)| **group != GroupId::CONTROL);
    let mut leads: BTreeMap<u64, usize> = BTreeMap::new();
    shards().for_each(|(_, found)| *leads.entry(found.leader).or_default() += 1);
    let led = |node: u64| leads.get(&node).copied().unwrap_or(0);
    let heirs = shards().flat_map(|(group, found)| {
        let ready = |p: &&Progress| {
            p.active && p.lag <= rules.lag && found.voters.contains(&p.node) && takes_lead(ingesters, p.node)
        };
        let gain = |p: &Progress| led(found.leader).saturating_sub(led(p.node));
        found.progress.iter().filter(ready).map(move |p| (gain(p), *group, found.leader, p.node))
    });
    let (_, group, leader, node) = heirs.filter(|(gain, ..)| *gain >= 2).max_by_key(|(gain, ..)| *gain)?;
    Some(Step::Transfer { group, leader, node })
}

#[cfg(test)]
mod tests;
