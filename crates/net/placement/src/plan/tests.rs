//! Plans against a model of groups that do what they are asked, while ingesters come, go, and lose their disks.

use super::*;
use crate::table::{Command, Reply};
use model::{ShardId, Signal};
use proptest::prelude::*;

const REPLICAS: usize = 3;

fn rules() -> Rules {
    Rules { replicas: REPLICAS, moves: 2, lag: 10, control: vec!["i-0".into(), "i-1".into(), "i-2".into()] }
}

fn ingester(id: u64, name: usize) -> Ingester {
    Ingester { id, name: format!("i-{name}"), zone: format!("z-{}", name % 3), alive: true, draining: false }
}

fn group(index: u32) -> GroupId {
    ShardId::new(Signal::Logs, index).group()
}

struct World {
    table: Table,
    ingesters: Vec<Ingester>,
    groups: BTreeMap<GroupId, Found>,
    /// Learners that have not caught up, with the rounds that it still takes.
    catching_up: BTreeMap<(GroupId, u64), u32>,
    most_moving: usize,
}

impl World {
    fn new(ingesters: usize, shards: u32) -> World {
        let ingesters: Vec<Ingester> = (0..ingesters).map(|n| ingester(n as u64 + 1, n)).collect();
        let ids: Vec<GroupId> = (0..shards).map(group).collect();
        let placed = wanted(&ingesters, &ids, REPLICAS);
        let mut table = Table::default();
        table.apply(&Command::Place { groups: placed.clone() }.encode());
        let begin =
            |voters: Vec<u64>| Found { leader: voters[0], term: 1, voters, learners: Vec::new(), progress: Vec::new() };
        let mut groups: BTreeMap<GroupId, Found> = placed.into_iter().map(|(id, v)| (id, begin(v))).collect();
        groups.insert(GroupId::CONTROL, begin(vec![1, 2, 3]));
        World { table, ingesters, groups, catching_up: BTreeMap::new(), most_moving: 0 }
    }

    fn alive(&self, node: u64) -> bool {
        self.ingesters.iter().any(|i| i.id == node && i.alive)
    }

    /// Elections, and what leaders see.
    fn settle(&mut self) {
        let alive: Vec<u64> = self.ingesters.iter().filter(|i| i.alive).map(|i| i.id).collect();
        self.catching_up.values_mut().for_each(|left| *left = left.saturating_sub(1));
        for (id, found) in &mut self.groups {
            if !alive.contains(&found.leader) {
                found.leader = found.voters.iter().find(|v| alive.contains(v)).copied().unwrap_or(found.leader);
                found.term += 1;
            }
            let others = found.voters.iter().chain(&found.learners).filter(|node| **node != found.leader);
            let lag = |node| if self.catching_up.get(&(*id, node)).is_some_and(|left| *left > 0) { 1000 } else { 0 };
            found.progress =
                others.map(|node| Progress { node: *node, lag: lag(*node), active: alive.contains(node) }).collect();
        }
    }

    fn has_quorum(&self, found: &Found) -> bool {
        2 * found.voters.iter().filter(|v| self.alive(**v)).count() > found.voters.len()
    }

    fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.round();
        }
    }

    fn round(&mut self) -> usize {
        self.settle();
        let answering: BTreeMap<GroupId, Found> =
            self.groups.iter().filter(|(_, f)| self.has_quorum(f)).map(|(id, f)| (*id, f.clone())).collect();
        let steps = plan(&self.table, &self.ingesters, &answering, &rules());
        let count = steps.len();
        for step in steps {
            self.take(step);
        }
        let moving = |(id, f): (&GroupId, &Found)| *id != GroupId::CONTROL && !f.learners.is_empty();
        self.most_moving = self.most_moving.max(self.groups.iter().filter(|entry| moving(*entry)).count());
        count
    }

    fn take(&mut self, step: Step) {
        let safe = |world: &World, id: GroupId| {
            let found = &world.groups[&id];
            assert!(world.has_quorum(found), "{step:?} leaves {found:?} without a majority");
        };
        match step.clone() {
            Step::Join { group, node } => self.write(Command::Join { group, node }),
            Step::Leave { group, node } => {
                let found = &self.groups[&group];
                assert!(!found.voters.contains(&node) && !found.learners.contains(&node), "{step:?}: a member leaves");
                self.write(Command::Leave { group, node });
            }
            Step::Learn { group, node, leader } => {
                let placed = self.table.group(group).is_none_or(|placed| placed.nodes.contains(&node));
                assert!(placed, "{step:?}: the node does not know that it may hold the group");
                let found = self.at(group, leader);
                assert!(!found.voters.contains(&node) && !found.learners.contains(&node), "{step:?}");
                found.learners.push(node);
                self.catching_up.insert((group, node), 3);
            }
            Step::Promote { group, node, leader } => {
                assert_eq!(self.catching_up.remove(&(group, node)), Some(0), "{step:?}: it has not caught up");
                let found = self.at(group, leader);
                found.learners.retain(|other| *other != node);
                found.voters.push(node);
                safe(self, group);
            }
            Step::Remove { group, node, leader } => {
                let found = self.at(group, leader);
                assert_ne!(node, leader, "{step:?}: leaders hand over first");
                let before = found.voters.len();
                found.voters.retain(|other| *other != node);
                found.learners.retain(|other| *other != node);
                assert!(found.voters.len() >= before.min(REPLICAS), "{step:?}: too few are left in {found:?}");
                safe(self, group);
            }
            Step::Transfer { group, node, leader } => {
                assert!(self.alive(node), "{step:?}");
                let found = self.at(group, leader);
                assert!(found.voters.contains(&node), "{step:?}");
                found.leader = node;
            }
        }
    }

    fn at(&mut self, group: GroupId, leader: u64) -> &mut Found {
        let found = self.groups.get_mut(&group).expect("a known group");
        assert_eq!(found.leader, leader, "asked the wrong one");
        found
    }

    fn write(&mut self, command: Command) {
        let reply = self.table.apply(&command.encode());
        assert!(matches!(reply, Reply::Done { .. }), "{command:?}: {reply:?}");
    }

    fn until_still(&mut self) {
        for _ in 0..2000 {
            // A learner that catches up needs nothing done meanwhile.
            if self.round() == 0 && self.catching_up.values().all(|left| *left == 0) {
                return;
            }
        }
        panic!("the plan never ends");
    }

    /// Every shard is where the ring wants it, and leads are even.
    fn check_settled(&self) {
        let ids: Vec<GroupId> = self.table.groups().map(|(id, _)| id).collect();
        let mut leads: BTreeMap<u64, usize> =
            self.ingesters.iter().filter(|i| i.alive && !i.draining).map(|i| (i.id, 0)).collect();
        for (id, mut nodes) in wanted(&self.ingesters, &ids, REPLICAS) {
            let (found, placed) = (&self.groups[&id], self.table.group(id).expect("placed"));
            let mut voters = found.voters.clone();
            voters.sort_unstable();
            nodes.sort_unstable();
            assert_eq!((&voters, &placed.nodes, found.learners.len()), (&nodes, &nodes, 0), "{id:?}");
            leads.entry(found.leader).and_modify(|count| *count += 1);
        }
        let control = &self.groups[&GroupId::CONTROL];
        let members = control.voters.len() + control.learners.len();
        assert_eq!(members, self.ingesters.iter().filter(|i| i.alive).count(), "{control:?}");
        for (id, found) in self.groups.iter().filter(|(id, _)| **id != GroupId::CONTROL) {
            let followers = found.voters.iter().filter_map(|node| leads.get(node));
            let least = followers.min().expect("someone is alive");
            assert!(leads[&found.leader] <= least + 1, "{id:?} is led by one that leads much more: {leads:?}");
        }
    }
}

#[test]
fn a_settled_cluster_is_left_alone() {
    let mut world = World::new(3, 8);
    world.until_still();
    world.check_settled();
    assert_eq!(world.round(), 0);
}

#[test]
fn growth_moves_a_few_at_a_time() {
    let mut world = World::new(3, 24);
    world.ingesters.extend([ingester(4, 3), ingester(5, 4)]);
    world.until_still();
    world.check_settled();
    assert!((1..=rules().moves).contains(&world.most_moving), "{} moved at once", world.most_moving);
    // And back, one by one: two at once could be the majority of a group.
    for left in [4, 3] {
        world.ingesters.truncate(left);
        world.until_still();
        world.check_settled();
    }
}

#[test]
fn a_lost_disk_is_filled_again() {
    let mut world = World::new(3, 8);
    world.ingesters[1].alive = false;
    world.ingesters.push(ingester(77, 1));
    world.until_still();
    world.ingesters.remove(1);
    world.until_still();
    world.check_settled();
    assert!(world.groups.values().all(|found| found.voters.contains(&77) && !found.voters.contains(&2)));
}

#[test]
fn who_is_away_for_a_moment_keeps_its_place() {
    let mut world = World::new(3, 8);
    world.until_still();
    world.ingesters[2].alive = false;
    let before: Vec<_> = world.groups.values().map(|found| found.voters.clone()).collect();
    world.until_still();
    assert_eq!(world.groups.values().map(|found| found.voters.clone()).collect::<Vec<_>>(), before);
}

#[test]
fn nothing_is_taken_from_a_group_that_would_lose_its_majority() {
    let mut world = World::new(3, 4);
    world.ingesters.remove(2);
    world.until_still();
    assert!(world.groups.values().all(|found| found.voters.len() == REPLICAS), "none replaces the one that is gone");
    world.ingesters[1].alive = false;
    assert_eq!(world.round(), 0, "no group answers");
}

#[derive(Debug, Clone)]
enum Event {
    Grow,
    /// It is away, and comes back after so many rounds, with or without its disk.
    Away(usize, u32, bool),
    /// It goes for good.
    Shrink(usize),
    Drain(usize),
    Rounds(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Grow),
        3 => (0usize..16, 1u32..20, any::<bool>()).prop_map(|(at, rounds, wiped)| Event::Away(at, rounds, wiped)),
        1 => (0usize..16).prop_map(Event::Shrink),
        1 => (0usize..16).prop_map(Event::Drain),
        4 => (1u32..30).prop_map(Event::Rounds),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_no_majority_is_lost_and_all_settles(
        start in 3usize..7, shards in 1u32..20, events in prop::collection::vec(event(), 0..25),
    ) {
        let mut world = World::new(start, shards);
        let (mut next_id, mut next_name) = (100, start);
        for event in events {
            // One misfortune at a time: the next comes when the last one is mended.
            match event {
                Event::Grow => {
                    world.ingesters.push(ingester(next_id, next_name));
                    (next_id, next_name) = (next_id + 1, next_name + 1);
                }
                Event::Away(at, rounds, wiped) => {
                    world.until_still();
                    let at = at % world.ingesters.len();
                    world.ingesters[at].alive = false;
                    world.rounds(rounds);
                    if wiped {
                        let name = world.ingesters[at].name[2..].parse().expect("a number");
                        world.ingesters.push(ingester(next_id, name));
                        next_id += 1;
                        world.until_still();
                        world.ingesters.remove(at);
                    } else {
                        world.ingesters[at].alive = true;
                    }
                }
                Event::Shrink(at) if world.ingesters.len() > 3 => {
                    world.until_still();
                    let at = 3 + at % (world.ingesters.len() - 3);
                    world.ingesters.remove(at);
                    world.until_still();
                }
                Event::Shrink(_) => {}
                Event::Drain(at) => {
                    let at = at % world.ingesters.len();
                    world.ingesters[at].draining = true;
                    world.rounds(5);
                    world.ingesters[at].draining = false;
                }
                Event::Rounds(rounds) => world.rounds(rounds),
            }
        }
        world.until_still();
        world.check_settled();
    }
}
