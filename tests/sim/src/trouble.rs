//! What goes wrong in a run: one thing after the other, at times and places that chance decides.

use crate::net::Weather;
use crate::process::{self, Process};
use crate::world::{self, World};
use consensus::Group;
use ingester::simulated;
use model::ShardCounts;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::sleep;

/// What may happen at most once or twice in a run.
#[derive(Default)]
pub struct Budget {
    /// Of disks that are lost for ever: a majority of no shard may lose its.
    disks: u64,
    joined: usize,
    raised: bool,
}

/// Makes trouble for so long.
pub async fn make(world: &World, long: Duration) {
    let begun = tokio::time::Instant::now();
    let mut budget = Budget { disks: 1, ..Budget::default() };
    while begun.elapsed() < long {
        sleep(world.chance.pause(100..2500)).await;
        one(world, &mut budget).await;
        if world.chance.happens(100) {
            world.match_logs();
            world.match_catalogs();
        }
    }
}

async fn one(world: &World, budget: &mut Budget) {
    let running = world.running();
    let someone = || world.chance.pick(&running).and_then(|name| world.process(name));
    match world.chance.within(0..24) {
        0..3 => start(world).await,
        3..5 => {
            if let Some(process) = someone() {
                process::crash(world, &process.name).await;
            }
        }
        5 | 6 => {
            if let Some(process) = someone() {
                die_soon(world, &process);
            }
        }
        7 => {
            // The lights go out.
            for name in &running {
                process::crash(world, name).await;
            }
        }
        8..11 => part(world),
        11 | 12 => world.net.heal(),
        13 => {
            if let Some(process) = someone() {
                suspend(world, process);
            }
        }
        14 => slow_down(world, &running),
        15 | 16 => change_weather(world),
        17 => trouble_the_store(world),
        18 => transfer(world, someone()),
        19 => lose_a_disk(world, budget, someone()).await,
        20 => add(world, budget).await,
        21 => {
            if let Some(process) = someone() {
                leave(world, process);
            }
        }
        22 => raise(world, budget),
        _ => {
            let ahead = world.chance.pause(500..8000);
            world.trace.note(format!("the clock jumps by {ahead:?}"));
            world.trace.add("clock jumps", 1);
            tokio::time::advance(ahead).await;
        }
    }
}

async fn start(world: &World) {
    if let Some(name) = world.chance.pick(&world.down()) {
        // Now and then one that does not come far.
        let operations = world.chance.happens(200).then(|| world.chance.within(1..30) as i64);
        process::start(world, name, operations).await;
    }
}

/// It dies in the middle of what its disk is asked to do, soon.
fn die_soon(world: &World, process: &Process) {
    let operations = world.chance.within(1..20) as i64;
    world.trace.note(format!("{} dies after {operations} operations of its disk", process.name));
    process.faults.operations.store(operations, Relaxed);
    world.trace.add("crashes in a write", 1);
}

/// Splits the members in two halves, or keeps one from hearing, or one from being heard.
fn part(world: &World) {
    let all = ["d0", "q0"].map(str::to_owned).into_iter().chain((0..world::MOST).map(world::name));
    let all: Vec<String> = all.collect();
    let kind = world.chance.within(0..4);
    let half: Vec<&String> = match kind {
        0 => all.iter().filter(|_| world.chance.happens(500)).collect(),
        _ => world.chance.pick(&all).into_iter().collect(),
    };
    for one in &half {
        for other in all.iter().filter(|other| !half.contains(other)) {
            let (one, other) = (world::address(one), world::address(other));
            if kind != 2 {
                world.net.cut(&one, &other);
            }
            if kind != 3 {
                world.net.cut(&other, &one);
            }
        }
    }
    let how = ["", "", " and does not hear", " and is not heard"][kind as usize];
    world.trace.note(format!("{half:?} is cut off{how}"));
    world.trace.add("partitions", 1);
}

/// A process stands still, and goes on later as if nothing had been.
fn suspend(world: &World, process: Process) {
    let long = world.chance.pause(1_000..15_000);
    world.trace.note(format!("{} stands still for {long:?}", process.name));
    world.trace.add("pauses", 1);
    process.gate.shut();
    let world = world.clone();
    tokio::spawn(async move {
        sleep(long).await;
        // One that has crashed since stays where it is.
        if world.process(&process.name).is_some_and(|now| now.id == process.id) {
            process.gate.open();
        }
    });
}

fn slow_down(world: &World, running: &[String]) {
    let mut state = world.lock();
    state.slow.clear();
    drop(state);
    if let Some(name) = world.chance.pick(running) {
        world.trace.note(format!("the disk of {name} is slow"));
        world.trace.add("slow disks", 1);
        world.lock().slow.insert(name.clone());
    }
}

fn change_weather(world: &World) {
    let draw = |most| if world.chance.happens(500) { world.chance.within(0..most) } else { 0 };
    let weather = Weather { lost: draw(200), twice: draw(100), late: draw(100), delay: 1 + draw(60) };
    world.trace.note(format!("the network: {weather:?}"));
    world.net.set_weather(weather);
}

fn trouble_the_store(world: &World) {
    let (away, shaky) = (world.chance.happens(400), world.chance.happens(600));
    world.trace.note(format!("the object store: away {away}, shaky {shaky}"));
    world.bucket.away.store(away, Relaxed);
    world.bucket.shaky.store(shaky, Relaxed);
}

/// Hands the lead of some group to some voter of it.
fn transfer(world: &World, process: Option<Process>) {
    let Some(process) = process else { return };
    let groups: Vec<Group> = simulated::groups(&process.ingester).into_iter().map(|(group, _)| group).collect();
    let Some(group) = world.chance.pick(&groups).cloned() else { return };
    let voters = group.status().voters;
    let Some(to) = world.chance.pick(&voters).copied() else { return };
    world.trace.add("transfers", 1);
    // It may not lead, or the other may not answer.
    tokio::spawn(async move { drop(group.transfer(to).await) });
}

async fn lose_a_disk(world: &World, budget: &mut Budget, process: Option<Process>) {
    // A shard that began while only two were there has no majority without one of them.
    let can = |process: &Process| {
        simulated::groups(&process.ingester).iter().all(|(group, _)| group.status().voters.len() != 2)
    };
    let Some(process) = process.filter(|process| budget.disks > 0 && can(process)) else { return };
    budget.disks -= 1;
    process::wipe(world, &process.name).await;
    if world.chance.happens(300) && !world::ingester_settings().placement.control.contains(&process.name) {
        world.trace.note(format!("{} never comes back", process.name));
        world.lock().wanted.remove(&process.name);
    }
}

async fn add(world: &World, budget: &mut Budget) {
    if world::INGESTERS + budget.joined < world::MOST {
        let name = world::name(world::INGESTERS + budget.joined);
        budget.joined += 1;
        world.trace.note(format!("{name} joins"));
        world.trace.add("joins", 1);
        world.lock().wanted.insert(name.clone());
        process::start(world, &name, None).await;
    }
}

/// A planned restart: it hands over what it leads and says that it goes.
fn leave(world: &World, process: Process) {
    world.trace.note(format!("{} leaves", process.name));
    world.trace.add("leaves", 1);
    let (world, gate) = (world.clone(), process.gate.clone());
    tokio::spawn(gate.through(async move {
        process.ingester.leave(&process.mesh).await;
        if world.process(&process.name).is_some_and(|now| now.id == process.id) {
            // What comes then is the end of the process.
            tokio::spawn(async move { process::crash(&world, &process.name).await });
        }
    }));
}

/// Processes that start from now on are told that there are more shards.
fn raise(world: &World, budget: &mut Budget) {
    if !std::mem::replace(&mut budget.raised, true) {
        world.trace.note("there are to be more shards");
        world.trace.add("raised shards", 1);
        world.lock().shards = ShardCounts { logs: 4, metrics: 1 };
    }
}

/// All trouble ends.
pub async fn end(world: &World) {
    world.trace.note("all trouble ends");
    world.net.heal();
    world.net.set_weather(Weather::default());
    world.bucket.away.store(false, Relaxed);
    world.bucket.shaky.store(false, Relaxed);
    world.lock().slow.clear();
    for process in world.processes() {
        process.gate.open();
        process.faults.operations.store(i64::MAX / 2, Relaxed);
    }
    restart(world).await;
}

/// Starts all that should run and do not.
pub async fn restart(world: &World) {
    for name in world.down() {
        process::start(world, &name, None).await;
    }
}
