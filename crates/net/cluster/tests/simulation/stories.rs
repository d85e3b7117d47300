//! One thing at a time.

use crate::summary;
use crate::world::{Network, World};
use ouro_cluster::{Member, Settings};
use std::collections::HashSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A cluster that has found itself; the first two are the seeds.
fn settled(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, Settings::default());
    for host in 0..count {
        world.host("ouro", &[0, 1]);
        let member = world.process(&format!("m-{host}"), host);
        world.start(host, member);
    }
    world.settle("ouro", 10 * SECOND).expect("all join");
    world.run(20 * SECOND);
    world
}

/// Tells a story with several seeds, and how long agreement took.
fn tell(name: &str, bound: Duration, story: impl Fn(&mut World)) {
    let times = (0..20).map(|seed| {
        let mut world = settled(seed, 10);
        story(&mut world);
        world.settle("ouro", bound).unwrap_or_else(|text| panic!("{name}, seed {seed}: {text}"))
    });
    summary(name, times.collect());
}

fn me(world: &World, host: usize) -> Member {
    world.hosts[host].gossip.as_ref().expect("it runs").me().clone()
}

#[test]
fn a_lost_member_is_noticed_in_seconds() {
    tell("a lost member", 12 * SECOND, |world| world.stop(5));
}

#[test]
fn a_member_that_leaves_is_gone_at_once() {
    tell("a leaving member", SECOND, |world| {
        world.step(5, |gossip, now, out| gossip.leave(now, out));
        world.stop(5);
    });
}

#[test]
fn a_newcomer_is_known_at_once() {
    tell("a newcomer", SECOND, |world| {
        let host = world.host("ouro", &[0, 1]);
        let member = world.process("new", host);
        world.start(host, member);
    });
}

#[test]
fn draining_is_known_at_once() {
    tell("draining", SECOND, |world| world.step(5, |gossip, now, out| gossip.set_draining(now, true, out)));
}

#[test]
fn a_restart_takes_the_place_of_the_old_self() {
    tell("a restart", SECOND, |world| {
        let member = Member { id: me(world, 5).id, ..world.process("m-5", 5) };
        world.start(5, member);
    });
}

#[test]
fn a_wiped_member_takes_the_place_of_the_old_self() {
    tell("a restart with a new id", SECOND, |world| {
        let member = world.process("m-5", 5);
        world.start(5, member);
    });
}

#[test]
fn another_name_at_an_address_takes_the_place_of_the_old_one() {
    tell("a restart under a new name", SECOND, |world| {
        let member = world.process("other", 5);
        world.start(5, member);
    });
}

#[test]
fn a_name_may_move_to_another_address() {
    tell("a restart at a new address", SECOND, |world| {
        let host = world.host("ouro", &[0, 1]);
        world.stop(5);
        let member = world.process("m-5", host);
        world.start(host, member);
    });
}

#[test]
fn a_clock_that_went_back_does_not_keep_a_member_out() {
    tell("a restart in the past", 2 * SECOND, |world| {
        let member = world.process("m-5", 5);
        world.start(5, Member { incarnation: member.incarnation - 3_600_000, ..member });
    });
    // At another address it has to wait until the old self is found to be lost.
    tell("a restart in the past elsewhere", 30 * SECOND, |world| {
        let host = world.host("ouro", &[0, 1]);
        world.stop(5);
        let member = world.process("m-5", host);
        world.start(host, Member { incarnation: member.incarnation - 3_600_000, ..member });
    });
}

#[test]
fn a_paused_member_comes_back_by_itself() {
    tell("a pause of 30 s", 5 * SECOND, |world| {
        world.pause(5);
        world.run(30 * SECOND);
        assert!(world.members(3).by_name("m-5").is_none());
        world.resume(5);
    });
}

#[test]
fn halves_find_each_other() {
    let cut = |world: &mut World, time: Duration| {
        let (left, right): (HashSet<usize>, HashSet<usize>) = ((0..5).collect(), (5..10).collect());
        world.network.cuts = vec![(left.clone(), right.clone()), (right, left)];
        world.run(time);
        assert_eq!((world.members(0).len(), world.members(9).len()), (5, 5));
        world.network.cuts.clear();
    };
    tell("halves after a minute", 40 * SECOND, |world| cut(world, 60 * SECOND));
    tell("halves that have forgotten each other", 40 * SECOND, |world| {
        cut(world, 400 * SECOND);
    });
}

#[test]
fn of_two_with_one_name_the_later_one_counts_until_it_goes() {
    for seed in 0..20 {
        let mut world = settled(seed, 6);
        let host = world.host("ouro", &[0, 1]);
        let rival = world.process("m-4", host);
        world.start(host, rival.clone());
        world.run(5 * SECOND);
        for other in 0..=6 {
            let members = world.members(other);
            let listed = members.by_name("m-4").map(|member| member.id);
            assert_eq!((members.len(), listed), (6, Some(rival.id)), "seed {seed}, host {other}");
            let conflicts: Vec<_> = members.conflicts().iter().map(|conflict| conflict.claim()).collect();
            assert_eq!(conflicts.is_empty(), other != 4, "seed {seed}, host {other}: {conflicts:?}");
        }
        assert_eq!(world.conflicts, 1, "seed {seed}");
        world.run(60 * SECOND);
        assert_eq!((world.conflicts, world.renewals), (1, 0), "seed {seed}");
        world.step(4, |gossip, now, out| gossip.set_draining(now, true, out));
        world.stop(host);
        world.settle("ouro", 30 * SECOND).unwrap_or_else(|text| panic!("seed {seed}: {text}"));
        assert!(me(&world, 4).draining, "seed {seed}");
    }
}

#[test]
fn a_conflict_of_two_alone_is_found_too() {
    let mut world = World::new(1, Settings::default());
    for host in 0..2 {
        world.host("ouro", &[0, 1]);
        let member = world.process("same", host);
        world.start(host, member);
        world.run(SECOND);
    }
    world.run(10 * SECOND);
    assert_eq!((world.members(0).len(), world.members(1).len(), world.conflicts), (1, 1, 1));
    assert_eq!(world.members(0).by_name("same").map(|member| member.id), Some(me(&world, 1).id));
}

#[test]
fn clusters_with_different_names_never_merge() {
    let mut world = World::new(1, Settings::default());
    for host in 0..10 {
        // Each one's seeds are the other's members, and its own.
        world.host(["left", "right"][host % 2], &[0, 1, 2, 3]);
        let member = world.process(&format!("m-{host}"), host);
        world.start(host, member);
    }
    for turn in 0..5 {
        world.run(30 * SECOND);
        for cluster in ["left", "right"] {
            world.agree(cluster).unwrap_or_else(|text| panic!("{cluster}: {text}"));
        }
        // A member of each takes the address of one of the other.
        let (a, b) = (4 + turn % 3 * 2, 5 + turn % 2 * 2);
        let (at_a, at_b) = (world.process(&format!("m-{b}"), a), world.process(&format!("m-{a}"), b));
        world.swap(a, b);
        world.start(a, at_a);
        world.start(b, at_b);
    }
    let foreign: u64 = world.hosts.iter().flat_map(|host| &host.gossip).map(|gossip| gossip.refused().foreign).sum();
    assert!(foreign > 100, "only {foreign} foreign packets came");
}

#[test]
fn a_lossy_network_makes_nobody_a_dead_man() {
    for seed in 0..5 {
        let mut world = settled(seed, 10);
        world.network = Network { loss: 0.05, doubles: 0.05, ..Network::calm() };
        for _ in 0..600 {
            world.run(SECOND);
            world.agree("ouro").unwrap_or_else(|text| panic!("seed {seed}: {text}"));
        }
        assert_eq!(world.renewals, 0, "seed {seed}");
    }
}
