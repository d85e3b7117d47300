//! One node alone.

use crate::world::{GROUP, ME, Single, deadline, leads, open, propose, settings, until, wait};
use bytes::Bytes;
use model::{ByteSize, GroupId};
use ouro_consensus::{Error, Node, Settings};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn texts(range: std::ops::Range<usize>) -> Vec<Bytes> {
    range.map(|n| Bytes::from(format!("entry {n}"))).collect()
}

#[tokio::test]
async fn entries_are_acknowledged_applied_and_there_again_after_a_restart() {
    let node = Single::new(settings());
    for (run, stop_well) in [(0, true), (1, false), (2, true)] {
        let host = node.host();
        let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
        let status = leads(&group).await;
        assert_eq!((&status.voters[..], status.first), (&[ME][..], 2));
        for text in texts(run * 10..run * 10 + 10) {
            let proposed = group.propose(text.clone()).await.expect("is logged");
            assert_eq!(proposed.reply, text);
            assert_eq!(group.read(proposed.index).expect("reads"), text);
            assert!(group.applied() >= proposed.index);
        }
        assert_eq!(recorder.entries(), texts(0..run * 10 + 10));
        let led = { recorder.seen().applied_when_led.clone() };
        assert_eq!(led, [run * 10], "it leads once, after it has replayed");
        if stop_well {
            host.shutdown().await;
        } else {
            drop(host);
        }
        assert!(matches!(group.propose(Bytes::from_static(b"late")).await, Err(Error::Stopping)));
        assert!(matches!(group.read_index(deadline()).await, Err(Error::Stopping)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_groups_share_their_syncs() {
    const GROUPS: u64 = 64;
    const EACH: usize = 20;
    let node = Single::new(settings());
    let host = node.host();
    let mut groups = Vec::new();
    for id in 1..=GROUPS {
        groups.push(open(&host, GroupId(id), &[ME]).expect("opens"));
    }
    for (group, _) in &groups {
        leads(group).await;
    }
    let before = host.stats();
    let mut tasks = tokio::task::JoinSet::new();
    for text in texts(0..EACH) {
        for (group, _) in &groups {
            let (group, text) = (group.clone(), text.clone());
            tasks.spawn(async move { propose(&group, text).await });
        }
    }
    tasks.join_all().await;
    // A round is counted after its answers went out.
    let (all, end) = (GROUPS * EACH as u64, deadline());
    while host.stats().proposals - before.proposals < all && tokio::time::Instant::now() < end {
        tokio::task::yield_now().await;
    }
    let stats = host.stats();
    let (proposals, syncs) = (stats.proposals - before.proposals, stats.syncs - before.syncs);
    assert_eq!((proposals, stats.groups, stats.leading), (GROUPS * EACH as u64, GROUPS, GROUPS));
    assert!(syncs * 8 <= proposals, "{syncs} syncs for {proposals} proposals");
    for (_, recorder) in &groups {
        let mut entries = recorder.entries();
        entries.sort();
        let mut expected = texts(0..EACH);
        expected.sort();
        assert_eq!(entries, expected);
    }
    host.shutdown().await;
}

#[tokio::test]
async fn a_log_that_was_cut_begins_from_its_snapshot() {
    let node = Single::new(settings());
    let host = node.host();
    let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;
    let mut indexes = Vec::new();
    for text in texts(0..10) {
        indexes.push(propose(&group, text).await);
    }
    let slice = group.slice(indexes[2]).expect("is there");
    let beyond = group.compact(indexes[9] + 5, Bytes::new()).await;
    assert!(matches!(beyond, Err(Error::NotApplied { .. })), "{beyond:?}");
    group.compact(indexes[2], Bytes::from_static(b"after three")).await.expect("is cut");
    group.compact(indexes[1], Bytes::from_static(b"older")).await.expect("there is nothing to do");
    assert_eq!(group.status().first, indexes[3]);
    assert!(group.slice(indexes[2]).is_none() && group.slice(indexes[3]).is_some());
    assert!(matches!(group.read(indexes[2]), Err(Error::NoEntry { .. })));
    assert_eq!(slice.read().expect("stays readable while it is held"), "entry 2");
    drop(host);

    for expected in [10, 11] {
        let host = node.host();
        let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
        assert_eq!(recorder.seen().restored, [(indexes[2], Bytes::from_static(b"after three"))]);
        leads(&group).await;
        until("it is replayed", || recorder.count() >= expected - 3).await;
        assert_eq!(recorder.entries(), texts(3..expected));
        assert_eq!(group.status().first, indexes[3]);
        propose(&group, format!("entry {expected}")).await;
        drop(host);
    }
}

#[tokio::test]
async fn a_log_that_was_cut_at_its_end_goes_on() {
    let node = Single::new(settings());
    let mut last = 0;
    for run in 0..3 {
        let host = node.host();
        let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
        leads(&group).await;
        assert_eq!(recorder.seen().restored.first().map(|(index, _)| *index), (run > 0).then_some(last));
        let index = propose(&group, "one more").await;
        assert!(index > last);
        last = index;
        group.compact(last, Bytes::from(format!("run {run}"))).await.expect("is cut");
        host.shutdown().await;
    }
}

#[tokio::test]
async fn reads_wait_for_what_was_committed() {
    let node = Single::new(settings());
    let host = node.host();
    let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
    // Before it leads: answered when it does.
    assert!(group.read_index(deadline()).await.expect("is answered") >= 1);
    recorder.held.store(true, Relaxed);
    let proposing = tokio::spawn({
        let group = group.clone();
        async move { propose(&group, "held").await }
    });
    wait(&group, "is committed", |status| status.committed >= 3).await;
    let soon = tokio::time::Instant::now() + Duration::from_millis(50);
    let early = group.read_index(soon).await;
    assert!(matches!(early, Err(Error::Timeout { .. })), "{early:?}");
    recorder.held.store(false, Relaxed);
    let index = group.read_index(deadline()).await.expect("is answered");
    assert!(index >= 3 && recorder.count() == 1);
    proposing.await.expect("is done");
    host.shutdown().await;
}

#[tokio::test]
async fn what_is_too_much_is_refused_with_its_limit() {
    let limits = Settings { max_uncommitted: ByteSize(100_000), apply_queue: ByteSize(50_000), ..settings() };
    let node = Single::new(limits);
    let host = node.host();
    let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;

    let large = group.propose(Bytes::from(vec![0; (1 << 20) + 1])).await;
    assert!(matches!(large, Err(Error::TooLarge { .. })), "{large:?}");

    recorder.held.store(true, Relaxed);
    let mut tasks = tokio::task::JoinSet::new();
    let mut busy = None;
    for _ in 0..200 {
        let (proposer, data) = (group.clone(), Bytes::from(vec![1; 10_000]));
        tasks.spawn(async move { proposer.propose(data).await.map(|p| p.index) });
        tokio::time::sleep(Duration::from_millis(2)).await;
        if let Some(Ok(Err(error))) = tasks.try_join_next() {
            busy = Some(error);
            break;
        }
    }
    let error = busy.expect("something is refused");
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("consensus.") && text.contains("limit"), "{text}");
    let urgent = tokio::spawn({
        let group = group.clone();
        async move { group.propose_urgent(Bytes::from_static(b"urgent")).await }
    });
    recorder.held.store(false, Relaxed);
    urgent.await.expect("runs").expect("urgent entries are let in");
    // Those that were let in are done, the others were refused.
    let logged = tasks.join_all().await.into_iter().filter(|result| result.is_ok()).count();
    assert_eq!(recorder.count(), logged + 1);
    propose(&group, "there is room again").await;
    host.shutdown().await;
}

#[tokio::test]
async fn a_machine_that_panics_takes_only_its_group() {
    let node = Single::new(settings());
    let host = node.host();
    let (bad, _) = open(&host, GROUP, &[ME]).expect("opens");
    let (good, _) = open(&host, GroupId(8), &[ME]).expect("opens");
    leads(&bad).await;
    leads(&good).await;
    let failed = bad.propose(Bytes::from_static(b"panic")).await;
    assert!(matches!(&failed, Err(Error::Failed(why)) if why.contains("panicked")), "{failed:?}");
    assert!(matches!(bad.propose(Bytes::from_static(b"x")).await, Err(Error::Failed(_))));
    assert!(matches!(bad.read_index(deadline()).await, Err(Error::Failed(_))));
    propose(&good, "goes on").await;
    host.shutdown().await;
}

#[tokio::test]
async fn what_does_not_fit_is_not_opened() {
    let node = Single::new(settings());
    let host = node.host();
    let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
    assert!(matches!(open(&host, GROUP, &[ME]), Err(Error::Open { .. })));
    leads(&group).await;
    assert!(node.try_host().is_err(), "the directory is in use");
    let index = propose(&group, "x").await;
    group.compact(index, Bytes::new()).await.expect("is cut");
    host.shutdown().await;

    let other =
        ouro_consensus::Host::open(node.dir.path(), Node(2), settings(), std::sync::Arc::new(ouro_consensus::NoPeers));
    assert!(matches!(other, Err(Error::Identity { found: ME, .. })), "{:?}", other.map(drop));
    let bad = Settings { heartbeat_ticks: 0, ..settings() };
    let bad = ouro_consensus::Host::open(node.dir.path(), ME, bad, std::sync::Arc::new(ouro_consensus::NoPeers));
    assert!(matches!(bad, Err(Error::Settings { .. })), "{:?}", bad.map(drop));

    // Without its snapshot, a log that was cut says nothing.
    for file in std::fs::read_dir(node.dir.path().join("snapshots")).expect("lists") {
        std::fs::remove_file(file.expect("is there").path()).expect("removes");
    }
    let host = node.host();
    let opened = open(&host, GROUP, &[ME]).map(|(group, _)| group);
    assert!(matches!(opened, Err(Error::Corrupt { .. })), "{opened:?}");
    open(&host, GroupId(9), &[ME]).expect("others open");
}

#[test]
fn settings_are_read_with_their_units() {
    let json = serde_json::to_string(&Settings::default()).expect("writes");
    assert!(json.contains("\"100ms\"") && json.contains("MiB"), "{json}");
    assert_eq!(serde_json::from_str::<Settings>(&json).expect("reads"), Settings::default());
    let some: Settings = serde_json::from_str(r#"{"tick": "50ms", "max_uncommitted": "1GiB"}"#).expect("reads");
    assert_eq!((some.tick, some.max_uncommitted), (Duration::from_millis(50), ByteSize::mib(1024)));
    assert!(serde_json::from_str::<Settings>(r#"{"ticks": "50ms"}"#).is_err());
    assert!(Settings::default().check().is_ok());
}
