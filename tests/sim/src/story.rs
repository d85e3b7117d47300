//! One run: a cluster begins, is written and read, meets all kinds of trouble, is left in peace, and must be whole again.

use crate::client;
use crate::trouble;
use crate::world::World;
use model::Role;
use querier::simulated::Reader;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const WRITERS: usize = 3;
/// How long a cluster in peace may take until all is where it should be; and until a write or a read succeeds then.
const RECOVERY: Duration = Duration::from_secs(240);
const ANSWER: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// What came of a run.
pub struct Outcome {
    pub complaints: Vec<String>,
    /// Of all that happened.
    pub hash: u64,
    pub counts: BTreeMap<&'static str, u64>,
}

/// Runs one seed in this folder. `shown`: what happens is printed.
pub fn run(seed: u64, folder: &Path, shown: bool) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let outcome = runtime.block_on(async {
        let world = World::new(folder.to_owned(), seed, shown);
        watch_panics(&world);
        let begun = Instant::now();
        if let Err(error) = play(&world).await {
            world.trace.broken(format!("{error:#}"));
        }
        world.trace.add("virtual seconds", begun.elapsed().as_secs());
        Outcome { complaints: world.trace.complaints(), hash: world.trace.hash(), counts: world.trace.counts() }
    });
    // What still waits for something need not be waited for.
    runtime.shutdown_background();
    Ok(outcome)
}

/// A panic of a task or a machine is caught where it happens; here it is an end.
fn watch_panics(world: &World) {
    let trace = world.trace.clone();
    std::panic::set_hook(Box::new(move |panic| trace.broken(format!("a panic: {panic}"))));
}

async fn play(world: &World) -> anyhow::Result<()> {
    let directory = client::join(world, "d0", Role::Distributor)?;
    let asked = client::join(world, "q0", Role::Querier)?;
    trouble::restart(world).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for writer in 0..WRITERS {
        clients.spawn(client::write(world.clone(), directory.clone(), writer, stop.clone()));
    }
    clients.spawn(client::reads(world.clone(), asked.clone(), stop.clone()));
    if world.chance.happens(700) {
        // Else it begins in the middle of it.
        recover(world).await;
    }
    trouble::make(world, world.chance.pause(15_000..60_000)).await;
    trouble::end(world).await;
    recover(world).await;
    stop.store(true, Relaxed);
    if timeout(ANSWER, async { while clients.join_next().await.is_some() {} }).await.is_err() {
        world.trace.broken(format!("with the cluster whole, a write or a read did not end within {ANSWER:?}"));
    }
    settle(world, &client::reader(world, asked)).await;
    Ok(())
}

/// Waits until all is as it should be, by itself.
async fn recover(world: &World) {
    let begun = Instant::now();
    while let Some(amiss) = world.amiss() {
        if begun.elapsed() > RECOVERY {
            return world.trace.broken(format!("after {RECOVERY:?} in peace: {amiss}"));
        }
        // One may have died of what was left of the trouble.
        trouble::restart(world).await;
        sleep(LOOK).await;
    }
    world.trace.note("all is well");
    world.trace.most("seconds until whole", begun.elapsed().as_secs());
}

/// What was acknowledged is there once: from the heads, and from the bucket when the heads are empty.
async fn settle(world: &World, reader: &Reader) {
    whole_read(world, reader).await;
    for process in world.processes() {
        match timeout(ANSWER, ingester::simulated::flush(&process.ingester)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => world.trace.broken(format!("{} did not flush: {error}", process.name)),
            Err(_) => world.trace.broken(format!("{} did not flush within {ANSWER:?}", process.name)),
        }
    }
    // Until all have heard of the last flush.
    sleep(Duration::from_secs(3)).await;
    whole_read(world, reader).await;
    world.match_logs();
    world.match_catalogs();
    world.trace.add("rows acknowledged", world.ledger.promised().len() as u64);
}

async fn whole_read(world: &World, reader: &Reader) {
    let read = async {
        while !client::read(world, reader).await {
            sleep(LOOK).await;
        }
    };
    if timeout(ANSWER, read).await.is_err() {
        world.trace.broken(format!("with the cluster whole, no read had everything within {ANSWER:?}"));
    }
}

/// The folder of a run: on a disk in memory if there is one.
pub fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::Builder::new().prefix("ouro-sim-").tempdir_in(memory),
        false => tempfile::tempdir(),
    }
}
