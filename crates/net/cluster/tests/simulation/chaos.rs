//! Random stories: for two minutes everything goes wrong, then the network heals, and all must agree.

use crate::summary;
use crate::world::{Network, World};
use ouro_cluster::Settings;
use rand::RngExt;
use rand::seq::SliceRandom;
use std::collections::HashSet;
use std::time::Duration;

const SEEDS: u64 = 300;
/// After the network is whole again. A torn cluster finds itself by its seeds, every 30 s, or by the lost members.
const BOUND: Duration = Duration::from_secs(60);
/// How long agreement must last.
const QUIET: Duration = Duration::from_secs(15);

fn run(seed: u64) -> Result<Duration, String> {
    let mut settings = Settings::default();
    if seed.is_multiple_of(3) {
        // Partitions then outlast the memory of the lost.
        settings.gossip.remember_down = Duration::from_secs(30);
    }
    let mut world = World::new(seed, settings);
    let count = world.rng.random_range(5..=12);
    let spare = 3;
    let all: Vec<usize> = (0..count + spare).collect();
    // Three addresses, or a name that stands for all.
    let seeds = if seed.is_multiple_of(2) { &all[..3] } else { &all };
    for host in 0..count + spare {
        world.host("ouro", seeds);
        if host < count {
            let member = world.process(&format!("m-{host}"), host);
            world.start(host, member);
        }
    }
    world.network = Network::bad(&mut world.rng);
    let end = world.now + Duration::from_secs(120);
    let mut named = count;
    while world.now < end {
        act(&mut world, count + spare, &mut named);
        let wait = world.rng.random_range(100..6_000);
        world.run(Duration::from_millis(wait));
    }
    world.network = Network { loss: 0.01, ..Network::calm() };
    for host in 0..world.hosts.len() {
        world.resume(host);
    }
    if seeds.iter().all(|seed| world.hosts[*seed].gossip.is_none()) {
        // Whoever has never met a member cannot find one without any seed.
        let member = world.process("seed", 0);
        world.start(0, member);
    }
    // A suspicion from before may still come true after that, so the last time without agreement counts.
    let (healed, mut time) = (world.now, Ok(Duration::ZERO));
    while world.now < healed + BOUND + QUIET {
        world.run(Duration::from_millis(500));
        if world.now > healed + BOUND / 2 {
            world.network = Network::calm();
        }
        match world.agree("ouro") {
            Ok(()) if time.is_err() => time = Ok(world.now - healed),
            Ok(()) => {}
            Err(text) => time = Err(text),
        }
        if time.as_ref().map_or(world.now > healed + BOUND, |time| *time > BOUND) {
            return time.and_then(|time| Err(format!("agreement took {time:?}")));
        }
    }
    time
}

/// Something bad, or its end.
fn act(world: &mut World, hosts: usize, named: &mut usize) {
    let live = world.live();
    let host = world.rng.random_range(0..hosts);
    let running = world.hosts[host].gossip.as_ref().map(|gossip| gossip.me().clone());
    match (world.rng.random_range(0..12), running) {
        (0, Some(_)) if live.len() > 3 => world.stop(host),
        // Back under its name, with its id or, after the loss of its disk, with another; sometimes the clock went back.
        (1 | 2, Some(old)) => {
            let mut member = world.process(&old.name, host);
            if world.rng.random_bool(0.5) {
                member.id = old.id;
            }
            if world.rng.random_bool(0.3) {
                member.incarnation -= 100_000;
            }
            world.start(host, member);
        }
        // Another process at an address that was used before.
        (3, _) => {
            let member = world.process(&format!("m-{named}"), host);
            *named += 1;
            world.start(host, member);
        }
        // The same name at another address.
        (4, Some(old)) => {
            let free = (0..hosts).find(|host| world.hosts[*host].gossip.is_none());
            if let Some(free) = free {
                let member = world.process(&old.name, free);
                world.stop(host);
                world.start(free, member);
            }
        }
        (5, Some(_)) => world.pause(host),
        (6, Some(_)) => world.resume(host),
        (7, Some(old)) => world.step(host, |gossip, now, out| gossip.set_draining(now, !old.draining, out)),
        (8, _) => {
            let mut all: Vec<usize> = (0..hosts).collect();
            all.shuffle(&mut world.rng);
            let cut = world.rng.random_range(1..hosts);
            let (left, right): (HashSet<usize>, HashSet<usize>) =
                (all[..cut].iter().copied().collect(), all[cut..].iter().copied().collect());
            if world.rng.random_bool(0.6) {
                world.network.cuts.push((right.clone(), left.clone()));
            }
            world.network.cuts.push((left, right));
        }
        (9, _) => world.network.cuts.clear(),
        (10, Some(_)) if live.len() > 3 => {
            world.step(host, |gossip, now, out| gossip.leave(now, out));
            world.stop(host);
        }
        _ => {
            let cuts = std::mem::take(&mut world.network.cuts);
            world.network = Network { cuts, ..Network::bad(&mut world.rng) };
        }
    }
}

#[test]
fn all_agree_after_chaos() {
    let one = std::env::var("OURO_SEED").ok().map(|seed| seed.parse().expect("OURO_SEED is a number"));
    let seeds = one.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let mut times = Vec::new();
    for seed in seeds {
        match run(seed) {
            Ok(time) => times.push(time),
            Err(text) => panic!("seed {seed}: {text}\nrepeat it: OURO_SEED={seed} cargo test -p ouro-cluster chaos"),
        }
    }
    summary("agreement after chaos", times);
}
