//! One ingester: the true one, on a disk that forgets what was not synced, run step by step. It starts, dies, loses its
//! disk, and stands still.

use crate::net::{End, Wire};
use crate::world::{self, World};
use anyhow::Result;
use cluster::{Driver, Member, Outgoing};
use consensus::stepper::Stepper;
use consensus::{Host, Node as Id};
use ingester::{Ingester, simulated};
use journal::faults::Faults;
use mesh::Mesh;
use model::Role;
use node::{Gate, Node};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long a first start may wait for the object store before it is given up.
const FIRST: Duration = Duration::from_secs(20);

/// Cheap to clone.
#[derive(Clone)]
pub struct Process {
    pub name: String,
    pub id: Id,
    pub ingester: Ingester,
    pub mesh: Mesh,
    pub gate: Gate,
    pub faults: Arc<Faults>,
    node: Node,
    gone: watch::Sender<bool>,
    stepper: Arc<Mutex<Option<Stepper>>>,
}

/// Starts an ingester that does not run. `operations`: it dies when its disk has done so many.
pub async fn start(world: &World, name: &str, operations: Option<i64>) {
    match timeout(FIRST, open(world, name, operations)).await {
        Err(_) => world.trace.note(format!("{name} waits for the object store in vain")),
        Ok(Err(error)) if operations.is_some() => {
            world.trace.note(format!("{name} died while it started: {}", world.plain(&error)));
        }
        Ok(Err(error)) => world.trace.broken(format!("{name} does not start: {}", world.plain(&error))),
        Ok(Ok(id)) => world.trace.note(format!("{name} runs as {}", id.0 % 10_000)),
    }
}

fn folder(world: &World, name: &str) -> PathBuf {
    world.root.join(name).join("raft")
}

async fn open(world: &World, name: &str, operations: Option<i64>) -> Result<Id> {
    let (settings, cluster) = (world::ingester_settings(), world::cluster_settings(name));
    let (folder, address) = (folder(world, name), world::address(name));
    let drawn = world.chance.draw();
    let id = simulated::node_id(&folder, world::CLUSTER, name, &settings, &world.bucket.store(), drawn).await?;
    let me = member(name, id.0, Role::Ingester);
    let (net, from) = (world.net.clone(), address.clone());
    let (mesh, membership, driver, outgoing) =
        Mesh::simulated(&cluster, me, (world.now(), world.chance.draw()), move |to| net.link(&from, to))?;
    let faults = Arc::new(Faults::simulated());
    if let Some(operations) = operations {
        faults.operations.store(operations, Relaxed);
    }
    let wire = Arc::new(Wire { net: world.net.clone(), id, address: address.clone() });
    let seed = world.chance.draw();
    let opened = Host::open_stepped(&folder, id, settings.consensus.clone(), wire, faults.clone(), seed);
    let (host, stepper) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            faults.crash(|| world.chance.happens(500))?;
            return Err(error.into());
        }
    };
    let gate = Gate::default();
    let node = Node::simulated(gate.clone());
    let shards = world.lock().shards;
    let seat = (host.clone(), id);
    let (ingester, routes) = simulated::join(seat, &mesh, &settings, shards, world.bucket.store(), &node)?;
    let (gone, watched) = watch::channel(false);
    let process = Process {
        name: name.to_owned(),
        id,
        ingester,
        mesh,
        gate: gate.clone(),
        faults,
        node: node.clone(),
        gone,
        stepper: Arc::new(Mutex::new(Some(stepper))),
    };
    gossip(world, &node, driver, outgoing, address.clone());
    node.spawn("steps", steps(world.clone(), process.clone(), host.clone()));
    world.net.open(&address, End { id: id.0, membership, services: Some((host, routes)), gate, gone: watched });
    world.lock().processes.insert(name.to_owned(), process);
    world.trace.add("starts", 1);
    Ok(id)
}

pub fn member(name: &str, id: u64, role: Role) -> Member {
    Member {
        id,
        name: name.to_owned(),
        role,
        zone: world::zone(name),
        address: world::address(name),
        version: "0.0.0".to_owned(),
        incarnation: 0,
        draining: false,
    }
}

/// Runs a member's gossip, and takes its packets to the network.
pub fn gossip(world: &World, node: &Node, driver: Driver, mut outgoing: Outgoing, address: String) {
    let net = world.net.clone();
    node.spawn("gossip", driver.run());
    node.spawn("gossip out", async move {
        while let Some((to, packet)) = outgoing.recv().await {
            net.tell(&address, &to, packet);
        }
    });
}

/// The life of a host: in every step a few of its units run, in an order that chance decides.
async fn steps(world: World, process: Process, host: Host) {
    let name = process.name.clone();
    loop {
        let slow = world.lock().slow.contains(&name);
        sleep(world.chance.pause(if slow { 20..200 } else { 1..12 })).await;
        let mut held = process.stepper.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stepper) = held.as_mut() else { return };
        let mut run = || {
            for _ in 0..world.chance.within(1..6) {
                match world.chance.within(0..4) {
                    0 => drop(stepper.apply(0)),
                    1 => drop(stepper.apply(1)),
                    2 => drop(stepper.fetch()),
                    _ => drop(stepper.cut()),
                }
            }
            stepper.round()
        };
        world.trace.count("steps", 0);
        let done = run();
        drop(held);
        world.trace.most("snapshots installed", host.stats().snapshots_installed);
        match done {
            Ok(()) => world.watch_leaders(&process),
            Err(error) => {
                world.trace.note(format!("{name} died in a round: {}", world.plain(&error)));
                let (world, name) = (world.clone(), name.clone());
                tokio::spawn(async move { crash(&world, &name).await });
                return;
            }
        }
    }
}

/// Kills an ingester with its machine: what its disk had not synced is there, lost or torn.
pub async fn crash(world: &World, name: &str) {
    let Some(process) = world.lock().processes.remove(name) else { return };
    world.net.close(&world::address(name));
    // Nothing of it is polled any more.
    process.gate.shut();
    process.gone.send_replace(true);
    drop(process.stepper.lock().unwrap_or_else(PoisonError::into_inner).take());
    process.node.drain(Duration::ZERO).await;
    let (lost, chance) = ([0, 300, 1000][world.chance.within(0..3) as usize], world.chance.clone());
    match process.faults.crash(|| chance.happens(lost)) {
        Ok(sectors) => {
            world.trace.add("sectors lost", sectors);
            world.trace.note(format!("{name} crashed and lost {sectors} sectors"));
        }
        Err(error) => world.trace.broken(format!("the disk of {name} cannot be taken back: {error}")),
    }
    world.trace.add("crashes", 1);
}

/// Kills an ingester and takes its disk away.
pub async fn wipe(world: &World, name: &str) {
    crash(world, name).await;
    // There is nothing if it never started.
    let _ = std::fs::remove_dir_all(world.root.join(name));
    world.trace.add("disks wiped", 1);
    world.trace.note(format!("{name} lost its disk"));
}
