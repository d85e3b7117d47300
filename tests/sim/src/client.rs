//! Who writes and who reads: members of the cluster with the distributor's and the querier's own ways to the shards.

use crate::net::End;
use crate::process::{gossip, member};
use crate::world::{self, World};
use anyhow::Result;
use distributor::{Append, Leaders};
use mesh::{Directory, Mesh};
use model::labels::content_id;
use model::{Role, ShardId, Signal, TenantId, TimeRange};
use node::{Gate, Node};
use querier::simulated::Reader;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use wire::batch::{Batch, Format, Header, StreamHeader};
use wire::loki::{Builder, key};
use wire::snappy;

/// The time of the first row, in nanoseconds.
const FIRST: i64 = 1_700_000_000_000_000_000;
/// How long one try of a write takes at most.
const TRY: Duration = Duration::from_secs(10);

/// Joins the cluster under this name, which begins with another letter than those of ingesters.
pub fn join(world: &World, name: &str, role: Role) -> Result<Directory> {
    let (cluster, address) = (world::cluster_settings(name), world::address(name));
    let (net, from) = (world.net.clone(), address.clone());
    let me = member(name, world.chance.draw() >> 1, role);
    let id = me.id;
    let (mesh, membership, driver, outgoing) =
        Mesh::simulated(&cluster, me, (world.now(), world.chance.draw()), move |to| net.link(&from, to))?;
    let node = Node::simulated(Gate::default());
    gossip(world, &node, driver, outgoing, address.clone());
    let directory = Directory::of(mesh);
    node.spawn("placement", directory.clone().follow(std::future::pending()));
    // It lives as long as the run, and so does what says that it is gone.
    let (alive, gone) = watch::channel(false);
    node.spawn("life", async move { alive.closed().await });
    world.net.open(&address, End { id, membership, services: None, gate: Gate::default(), gone });
    Ok(directory)
}

/// Writes one batch after the other, and each until it is acknowledged, until it is told to stop.
pub async fn write(world: World, directory: Directory, writer: usize, stop: Arc<AtomicBool>) {
    let leaders = Leaders::new(directory);
    for number in 0.. {
        sleep(world.chance.pause(20..400)).await;
        if stop.load(Relaxed) {
            return;
        }
        let shards: Vec<ShardId> = leaders.shards().shards(Signal::Logs).collect();
        let Some(shard) = world.chance.pick(&shards).copied() else { continue };
        let rows: Vec<String> = (0..world.chance.within(1..5)).map(|row| format!("w{writer}-{number}-{row}")).collect();
        world.ledger.tried(shard, &rows);
        let batch = batch(&rows, FIRST + number);
        loop {
            match leaders.append(shard, vec![batch.clone()], Instant::now() + TRY).await {
                Ok(done) if done.iter().all(|one| one.refused.is_empty()) => break,
                Ok(done) => return world.trace.broken(format!("batch w{writer}-{number} was refused: {done:?}")),
                Err(_) => {
                    world.trace.count("writes tried again", 0);
                    sleep(world.chance.pause(50..500)).await;
                }
            }
        }
        world.ledger.acked(&rows);
        world.trace.count("batches acknowledged", number as u64);
    }
}

fn batch(rows: &[String], time: i64) -> Batch {
    let labels = "{app=\"sim\"}";
    let mut body = Builder::new();
    body.stream(labels);
    for row in rows {
        body.entry(time, row, []);
    }
    let body = body.finish();
    let (payload, times, count) = (snappy::compress(&body), TimeRange::new(time, time), rows.len() as u32);
    let header = Header {
        id: content_id(tenant().as_str(), &payload),
        tenant: tenant(),
        format: Format::LokiPush,
        rows: count,
        body_len: body.len() as u32,
        times,
        streams: vec![StreamHeader { key: key(labels), rows: count, times }],
    };
    Batch { header, payload: payload.into() }
}

fn tenant() -> TenantId {
    TenantId::anonymous()
}

/// A querier.
pub fn reader(world: &World, directory: Directory) -> Reader {
    Reader::new(directory, world.bucket.store(), &querier::Settings::default())
}

/// Reads everything, and judges it. True if nothing was missing.
pub async fn read(world: &World, reader: &Reader) -> bool {
    let promised = world.ledger.promised();
    let read = match reader.logs(&tenant()).await {
        Ok(read) => read,
        Err(error) => {
            world.trace.note(format!("a read failed: {error}"));
            world.trace.add("reads failed", 1);
            return false;
        }
    };
    let found: Vec<String> =
        read.pages.iter().flat_map(|page| (0..page.len()).map(|row| page.line(row).to_owned())).collect();
    let whole = read.missing.is_empty();
    let complaints = world.ledger.judge(&promised, &found, &read.missing);
    complaints.iter().take(3).for_each(|what| world.trace.broken(what));
    world.trace.count(if whole { "reads" } else { "reads partial" }, found.len() as u64);
    whole
}

/// Reads again and again, until it is told to stop.
pub async fn reads(world: World, directory: Directory, stop: Arc<AtomicBool>) {
    let reader = reader(&world, directory);
    while !stop.load(Relaxed) {
        sleep(world.chance.pause(300..2000)).await;
        read(&world, &reader).await;
    }
}
