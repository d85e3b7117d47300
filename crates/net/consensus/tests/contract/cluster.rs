//! Three nodes, and a network that loses messages.

use crate::world::{Cluster, PATIENCE, deadline, propose, settings, until, voters};
use bytes::Bytes;
use model::ByteSize;
use ouro_consensus::{Error, Settings};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_elected_and_all_apply_the_same() {
    let cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    for n in 0..50 {
        cluster.propose(format!("entry {n}")).await;
    }
    cluster.agree(50).await;
    let follower = cluster.group(cluster.follower(leader));
    let refused = follower.propose(Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(Error::NotLeader { leader: Some(_), .. })), "{refused:?}");
    assert!(follower.read_index(deadline()).await.expect("is answered") >= 51, "followers read too");
    let stats = cluster.host(leader).stats();
    assert!(stats.batches_sent <= stats.messages_sent && stats.messages_dropped == 0, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_many_entries_travel_together() {
    let cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    let before = cluster.host(leader).stats();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..500 {
        let group = cluster.group(leader).clone();
        tasks.spawn(async move { propose(&group, format!("entry {n}")).await });
    }
    tasks.join_all().await;
    let sent = cluster.host(leader).stats().batches_sent - before.batches_sent;
    assert!(sent < 500, "{sent} batches for 500 entries to two followers");
    until("all have applied all", || voters().iter().all(|node| cluster.recorder(*node).count() == 500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_answers_nothing_and_loses_its_entries() {
    let cluster = Cluster::new(settings());
    let old = cluster.leader().await;
    cluster.propose("before").await;
    cluster.agree(1).await;
    cluster.cut_off(old);
    let group = cluster.group(old).clone();
    let orphans: Vec<_> = (0..3)
        .map(|n| {
            let group = group.clone();
            tokio::spawn(async move { group.propose(Bytes::from(format!("orphan {n}"))).await })
        })
        .collect();
    let stale = group.read_index(Instant::now() + Duration::from_millis(100)).await;
    assert!(matches!(stale, Err(Error::Timeout { .. })), "{stale:?}");

    let new = cluster.leader_among(|id| id != old.0).await;
    assert_ne!(new, old);
    let other = cluster.group(new).clone();
    for n in 0..5 {
        propose(&other, format!("after {n}")).await;
    }
    for orphan in orphans {
        let result = timeout(PATIENCE, orphan).await.expect("ends").expect("runs");
        assert!(matches!(result, Err(Error::Lost { .. } | Error::NotLeader { .. })), "{result:?}");
    }
    until("it was told that it no longer leads", || cluster.recorder(old).seen().led.last() == Some(&None)).await;
    cluster.heal();
    cluster.agree(6).await;
    let entries = cluster.recorder(old).entries();
    assert!(entries.iter().all(|entry| !entry.starts_with(b"orphan")), "{entries:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_that_is_on_disk_is_overwritten_after_a_restart() {
    let mut cluster = Cluster::new(settings());
    let old = cluster.leader().await;
    cluster.propose("before").await;
    cluster.agree(1).await;
    cluster.cut_off(old);
    let last = cluster.group(old).status().last;
    let orphan = tokio::spawn({
        let group = cluster.group(old).clone();
        async move { group.propose(Bytes::from_static(b"orphan")).await }
    });
    // It says so once its round was written.
    until("the orphan is on disk", || cluster.group(old).status().last > last).await;
    cluster.stop(old);
    drop(orphan);
    let new = cluster.leader_among(|id| id != old.0).await;
    propose(cluster.group(new), "after").await;
    cluster.start(old, &voters());
    assert!(cluster.group(old).status().last > last, "the orphan is there after the restart");
    cluster.heal();
    cluster.propose("at last").await;
    cluster.agree(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_messages_only_cost_time() {
    let cluster = Cluster::new(settings());
    cluster.net.loses.store(10, Relaxed);
    let mut logged = 0;
    while logged < 100 {
        let leader = cluster.leader().await;
        let group = cluster.group(leader);
        match timeout(Duration::from_secs(5), group.propose(Bytes::from(format!("entry {logged}")))).await {
            Ok(Ok(_)) => logged += 1,
            Ok(Err(Error::NotLeader { .. } | Error::Lost { .. })) | Err(_) => {}
            Ok(Err(error)) => panic!("{error}"),
        }
    }
    cluster.net.loses.store(0, Relaxed);
    let leader = cluster.leader().await;
    let index = cluster.group(leader).read_index(deadline()).await.expect("is answered");
    until("all have applied it", || voters().iter().all(|node| cluster.group(*node).applied() >= index)).await;
    // A proposal whose answer was lost may be logged twice.
    cluster.agree(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_small_enough_for_any_transport() {
    const ENTRY: usize = 128 << 10;
    let cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    // Many at once, to a follower that is cut off for a moment and then has all of it to catch up with.
    let lags = cluster.follower(leader);
    cluster.cut_off(lags);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200_u8 {
        let group = cluster.group(leader).clone();
        tasks.spawn(async move { propose(&group, vec![n; ENTRY]).await });
    }
    let last = tasks.join_all().await.into_iter().max().expect("some");
    cluster.heal();
    until("it caught up", || cluster.group(lags).applied() >= last).await;
    let largest = cluster.net.largest.load(Relaxed);
    assert!(largest <= 4 << 20, "a batch had {largest} bytes");
}

async fn lagging(settings: Settings, entry: usize, count: usize, cut: bool) {
    let mut cluster = Cluster::new(settings);
    let leader = cluster.leader().await;
    cluster.propose("first").await;
    cluster.agree(1).await;
    let lagging = cluster.follower(leader);
    cluster.stop(lagging);
    let mut through = 0;
    for n in 0..count {
        let index = cluster.propose(vec![n as u8; entry]).await;
        if n == count / 2 {
            through = index;
        }
    }
    if cut {
        for node in voters().into_iter().filter(|node| *node != lagging) {
            let group = cluster.group(node).clone();
            until("it is applied", || group.applied() >= through).await;
            group.compact(through, Bytes::from_static(b"half of it")).await.expect("is cut");
        }
    }
    cluster.start(lagging, &voters());
    let last = cluster.propose("last").await;
    until("it caught up", || cluster.group(lagging).applied() >= last).await;
    let recorder = cluster.recorder(lagging);
    let restored = recorder.seen().restored.last().cloned();
    match cut {
        true => {
            assert_eq!(restored, Some((through, Bytes::from_static(b"half of it"))));
            assert_eq!(recorder.count(), count - count / 2);
            assert_eq!(cluster.host(lagging).stats().snapshots_installed, 1);
        }
        false => {
            assert_eq!(restored, None);
            assert_eq!(recorder.count(), count + 2);
        }
    }
    // What it was fed is on its disk.
    cluster.stop(lagging);
    cluster.start(lagging, &voters());
    until("it applied it again", || cluster.group(lagging).applied() >= last).await;
    assert_eq!(cluster.recorder(lagging).entries().last().map(|data| &data[..]), Some(&b"last"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_lags_is_fed_the_log() {
    lagging(settings(), 100, 40, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_lags_is_fed_from_the_journal_where_memory_does_not_hold_it() {
    let settings = Settings { cache: ByteSize(64 << 10), max_inflight: ByteSize(512 << 10), ..settings() };
    lagging(settings, 100 << 10, 120, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_lags_behind_a_cut_is_fed_the_snapshot_and_the_log() {
    lagging(settings(), 1000, 40, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lead_is_handed_over() {
    let cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    cluster.propose("x").await;
    let to = cluster.follower(leader);
    cluster.group(leader).transfer(to).await.expect("is handed over");
    assert_eq!(cluster.leader().await, to);
    propose(cluster.group(to), "y").await;
    cluster.agree(2).await;
    let refused = cluster.group(leader).transfer(leader).await;
    assert!(matches!(refused, Err(Error::NotLeader { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_message_is_dropped() {
    let cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    let host = cluster.host(leader);
    let from = cluster.follower(leader);
    for bad in [&b""[..], b"\x01", b"\x01garbage that is no message at all", b"\x02", &[0xff; 300]] {
        host.receive(from, Bytes::copy_from_slice(bad));
    }
    until("they were looked at", || host.stats().messages_dropped >= 4).await;
    cluster.propose("goes on").await;
}
