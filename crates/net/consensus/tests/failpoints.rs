//! Crashes between the steps of a round and of a cut: `cargo test -p ouro-consensus --features failpoints`.
#![cfg(feature = "failpoints")]

#[path = "contract/world.rs"]
#[allow(dead_code)]
mod world;

use bytes::Bytes;
use fail::FailScenario;
use ouro_consensus::{Error, Follow};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use world::{Cluster, GROUP, ME, Single, leads, open, open_as, propose, settings, snapshots, until};

/// Crashes at a point while an entry is logged; says what is there afterwards.
async fn crash_while_proposing(point: &str) -> Vec<Bytes> {
    let node = Single::new(settings());
    let host = node.host();
    let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;
    propose(&group, "acknowledged").await;
    fail::cfg(point, "panic").expect("is a point");
    let failed = group.propose(Bytes::from_static(b"in between")).await;
    assert!(matches!(failed, Err(Error::Failed(_))), "{point}: {failed:?}");
    fail::remove(point);
    drop(host);

    let host = node.host();
    let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;
    propose(&group, "goes on").await;
    let entries = recorder.entries();
    host.shutdown().await;
    entries
}

// One test: fail points are global to the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_lose_nothing_that_was_acknowledged() {
    let scenario = FailScenario::setup();
    for (point, there) in
        [("consensus::before_append", false), ("consensus::after_append", true), ("consensus::before_apply", true)]
    {
        let mut expected = vec!["acknowledged", "in between", "goes on"];
        expected.retain(|text| there || *text != "in between");
        assert_eq!(crash_while_proposing(point).await, expected, "{point}");
    }
    crash_while_cutting().await;
    for follow in [Follow::Apply, Follow::Keep] {
        crash_while_cutting_by_itself(follow).await;
    }
    a_cut_waits_for_a_replay().await;
    scenario.teardown();
}

async fn crash_while_cutting() {
    let node = Single::new(settings());
    let host = node.host();
    let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;
    for (snapshot, panics) in [("first", false), ("second", true)] {
        let index = propose(&group, snapshot).await;
        propose(&group, "after it").await;
        if panics {
            fail::cfg("consensus::compact_after_snapshot", "panic").expect("is a point");
        }
        let cutting = group.clone();
        let cut = tokio::spawn(async move { cutting.compact(index, Bytes::from_static(snapshot.as_bytes())).await });
        assert_eq!(cut.await.is_err(), panics);
    }
    fail::remove("consensus::compact_after_snapshot");
    drop(host);

    for _ in 0..2 {
        let host = node.host();
        let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
        let restored = recorder.seen().restored.clone();
        assert_eq!(restored.iter().map(|(_, data)| &data[..]).collect::<Vec<_>>(), [b"second"], "the newest counts");
        assert_eq!(group.status().first, restored[0].0 + 1, "the log is cut there");
        leads(&group).await;
        until("it is replayed", || recorder.count() == 1).await;
        let files = std::fs::read_dir(node.dir.path().join("snapshots")).expect("lists");
        let names = files.map(|file| file.expect("is there").file_name().into_string().expect("is text"));
        assert_eq!(names.filter(|name| name.contains('-')).count(), 1, "older ones are gone");
        drop(host);
    }
}

async fn crash_while_cutting_by_itself(follow: Follow) {
    const POINT: &str = "consensus::cut_after_snapshot";
    let node = Single::new(settings());
    let host = node.host();
    let (group, _) = open_as(&host, GROUP, &[ME], follow).expect("opens");
    leads(&group).await;
    let through = propose(&group, "before").await;
    propose(&group, "after it").await;
    fail::cfg(POINT, "panic").expect("is a point");
    let data = Bytes::from_static(b"flushed");
    group.propose_cut(data, through, Bytes::from_static(b"cut")).await.expect("is logged");
    until("the snapshot is written", || snapshots(node.dir.path()) == 1).await;
    propose(&group, "others do not mind").await;
    assert!(group.status().first <= through, "the log is not cut");
    drop(host);
    fail::remove(POINT);

    for _ in 0..2 {
        let host = node.host();
        let (group, recorder) = open_as(&host, GROUP, &[ME], follow).expect("opens");
        assert_eq!(group.status().first, through + 1, "it is cut now");
        leads(&group).await;
        until("it is replayed", || recorder.count() == 2).await;
        assert_eq!(recorder.entries(), ["after it", "others do not mind"]);
        assert_eq!(recorder.seen().restored, [(through, Bytes::from_static(b"cut"))]);
    }
}

/// A follower has begun to write a snapshot when it comes to lead, and replays from the one before.
async fn a_cut_waits_for_a_replay() {
    const POINT: &str = "consensus::cut_before_snapshot";
    let cluster = Cluster::with(settings(), Follow::Keep);
    let old = cluster.leader().await;
    let group = cluster.group(old).clone();
    for n in 0..5 {
        cluster.propose(format!("entry {n}")).await;
    }
    let through = group.applied();
    cluster.propose("entry 5").await;
    fail::cfg(POINT, "pause").expect("is a point");
    let data = Bytes::from_static(b"flushed");
    let last = group.propose_cut(data, through, Bytes::from_static(b"cut")).await.expect("is logged").index;
    let new = cluster.follower(old);
    until("it is committed there", || cluster.group(new).status().committed >= last).await;
    // A few ticks, at one of which it begins.
    tokio::time::sleep(Duration::from_millis(100)).await;

    cluster.recorder(new).held.store(true, Relaxed);
    group.transfer(new).await.expect("is handed over");
    until("the replay began", || cluster.recorder(new).seen().restored.len() == 1).await;
    fail::remove(POINT);
    until("the snapshot is written", || cluster.snapshots(new) == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(cluster.group(new).status().first <= through, "the replay needs what is before");
    cluster.recorder(new).held.store(false, Relaxed);
    until("it leads", || cluster.recorder(new).count() == 6).await;
    until("it is cut", || cluster.group(new).status().first == through + 1).await;
    propose(cluster.group(new), "goes on").await;
}
