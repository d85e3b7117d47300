//! Nodes that stop, are cut off and lose messages, for a while: what was acknowledged is everywhere, once, in order.

use crate::world::{Cluster, FLUSHED, deadline, settings, until, voters};
use bytes::Bytes;
use ouro_consensus::{Follow, Group, Node};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

/// Groups that run now, by node.
type Running = Arc<Mutex<Vec<Group>>>;

async fn write(writer: usize, running: Running, stop: Arc<AtomicBool>) -> Vec<Bytes> {
    let (mut acknowledged, mut serial) = (Vec::new(), 0);
    while !stop.load(Relaxed) {
        let groups = running.lock().expect("sound").clone();
        for group in groups {
            let data = Bytes::from(format!("{writer}-{serial}"));
            serial += 1;
            // The entry's name is never used again, so an unknown outcome does no harm.
            if let Ok(Ok(_)) = timeout(Duration::from_millis(500), group.propose(data.clone())).await {
                acknowledged.push(data);
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    acknowledged
}

/// A read that is answered has seen all that was acknowledged before it was asked.
async fn read(running: Running, stop: Arc<AtomicBool>) {
    while !stop.load(Relaxed) {
        let groups = running.lock().expect("sound").clone();
        let known = groups.iter().map(Group::applied).max().unwrap_or(0);
        for group in groups {
            let soon = tokio::time::Instant::now() + Duration::from_millis(200);
            if let Ok(index) = group.read_index(soon).await {
                assert!(index >= known, "a read at {index} missed {known}");
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The others cut their logs.
async fn cut(cluster: &Cluster, follow: Follow, node: Node) {
    if follow == Follow::Keep {
        let leader = timeout(Duration::from_secs(2), cluster.leader_among(|id| id != node.0)).await;
        let Ok(leader) = leader else { return };
        let group = cluster.group(leader);
        let (through, snapshot) = cluster.recorder(leader).whole();
        let data = Bytes::from_static(FLUSHED);
        let cutting = async {
            if group.propose_cut(data, through, snapshot).await.is_ok() {
                until("it is cut", || group.status().first > through).await;
            }
        };
        // The lead may go meanwhile.
        let _ = timeout(Duration::from_secs(2), cutting).await;
        return;
    }
    for other in voters().into_iter().filter(|other| *other != node) {
        let through = cluster.group(other).applied();
        let snapshot = cluster.recorder(other).snapshot(through);
        cluster.group(other).compact(through, snapshot).await.expect("is cut");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_loses_nothing_that_was_acknowledged() {
    trouble(Follow::Apply, 42).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_loses_nothing_where_followers_keep_the_log() {
    trouble(Follow::Keep, 43).await;
}

async fn trouble(follow: Follow, seed: u8) {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut cluster = Cluster::with(settings(), follow);
    cluster.leader().await;
    let (running, stop) = (Running::default(), Arc::new(AtomicBool::new(false)));
    let renew = |cluster: &Cluster| {
        let groups = cluster.nodes.values().map(|member| member.group.clone()).collect();
        *running.lock().expect("sound") = groups;
    };
    renew(&cluster);
    let writers: Vec<_> = (0..4).map(|n| tokio::spawn(write(n, running.clone(), stop.clone()))).collect();
    let reader = tokio::spawn(read(running.clone(), stop.clone()));
    let mut installed = 0;
    for _ in 0..16 {
        let node = Node(1 + u64::from(rng.next_u32() % 3));
        match rng.next_u32() % 5 {
            0 => {
                installed += cluster.host(node).stats().snapshots_installed;
                cluster.stop(node);
                renew(&cluster);
                tokio::time::sleep(Duration::from_millis(300)).await;
                cluster.start(node, &voters());
                renew(&cluster);
            }
            1 => {
                cluster.cut_off(node);
                tokio::time::sleep(Duration::from_millis(600)).await;
                cluster.heal();
            }
            2 => {
                cluster.net.loses.store(4, Relaxed);
                tokio::time::sleep(Duration::from_millis(400)).await;
                cluster.net.loses.store(0, Relaxed);
            }
            3 => {
                // Cut off long enough to need the snapshot of the others, which cut their logs meanwhile.
                cluster.cut_off(node);
                tokio::time::sleep(Duration::from_millis(500)).await;
                cut(&cluster, follow, node).await;
                cluster.heal();
            }
            _ => {
                let to = cluster.follower(node);
                let _ = timeout(Duration::from_millis(300), cluster.group(node).transfer(to)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.store(true, Relaxed);
    reader.await.expect("reads are never stale");
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("runs"));
    }
    assert!(acknowledged.len() > 50, "only {} were acknowledged", acknowledged.len());

    // Whatever is behind nobody's answer is settled when this is.
    while cluster.try_propose("end").await.is_err() {}
    let leader = cluster.leader().await;
    let index = cluster.group(leader).read_index(deadline()).await.expect("is answered");
    installed += voters().iter().map(|node| cluster.host(*node).stats().snapshots_installed).sum::<u64>();
    assert!(installed > 0, "no snapshot was ever needed");
    let entries = cluster.recorder(leader).entries();
    match follow {
        Follow::Apply => {
            until("all have applied all", || voters().iter().all(|node| cluster.group(*node).applied() >= index)).await;
            cluster.agree(acknowledged.len()).await;
        }
        // Each is shown the same once it leads, and nothing before.
        Follow::Keep => {
            for node in voters() {
                cluster.hand_over(node).await;
                assert_eq!(cluster.leader().await, node);
                assert_eq!(cluster.recorder(node).entries(), entries, "node {node}");
            }
        }
    }
    let there: HashSet<_> = entries.iter().cloned().collect();
    let ends = entries.iter().filter(|entry| *entry == "end").count();
    assert_eq!(there.len() + ends, entries.len() + 1, "an entry is there twice");
    for entry in &acknowledged {
        assert!(there.contains(entry), "{entry:?} was acknowledged and is lost");
    }
}
