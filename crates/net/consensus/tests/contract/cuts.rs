//! Logs become shorter on every member, whoever leads and whoever follows.

use crate::world::{
    Cluster, GROUP, ME, Single, flush, leads, open, open_as, propose, settings, snapshots, until, voters,
};
use bytes::Bytes;
use model::{ByteSize, GroupId};
use ouro_consensus::{Error, Follow, Node};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const ENTRY: usize = 128 << 10;
const LEARNER: Node = Node(4);

async fn every_member_cuts(follow: Follow) {
    let mut cluster = Cluster::with(settings(), follow);
    let leader = cluster.leader().await;
    let group = cluster.group(leader).clone();
    cluster.start(LEARNER, &[]);
    group.add_learner(LEARNER).await.expect("is added");
    let nodes: Vec<Node> = voters().into_iter().chain([LEARNER]).collect();
    for round in 0..3 {
        let mut last = 0;
        for n in 0..80_u8 {
            last = propose(&group, vec![n; ENTRY]).await;
        }
        for node in &nodes {
            until("all have it", || cluster.group(*node).status().committed >= last).await;
            assert!(cluster.host(*node).stats().journal_segments >= 5);
        }
        let through = flush(&group, format!("round {round}")).await.expect("is logged");
        assert_eq!(through, last);
        for node in &nodes {
            // Nothing has data between what it stands for and the entry, so nothing is left.
            until("it is cut", || {
                let status = cluster.group(*node).status();
                status.first > last && status.first == status.last + 1
            })
            .await;
            until("the journal is small", || cluster.host(*node).stats().journal_segments <= 2).await;
            until("one snapshot is there", || cluster.snapshots(*node) == 1).await;
        }
    }
    let applied = if follow == Follow::Apply { 240 } else { 0 };
    for node in nodes.iter().filter(|node| **node != leader) {
        assert_eq!(cluster.recorder(*node).count(), applied, "node {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_apply_cut_their_logs() {
    every_member_cuts(Follow::Apply).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_keep_cut_their_logs() {
    every_member_cuts(Follow::Keep).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_cuts_too() {
    let mut cluster = Cluster::with(settings(), Follow::Keep);
    let leader = cluster.leader().await;
    let group = cluster.group(leader).clone();
    let away = cluster.follower(leader);
    for from_log in [true, false] {
        propose(&group, "before").await;
        cluster.stop(away);
        propose(&group, "first").await;
        let through = group.applied();
        // While the leader's machine has not come so far, its log stays as it is.
        cluster.recorder(leader).held.store(from_log, Relaxed);
        let second = tokio::spawn({
            let group = group.clone();
            async move { propose(&group, "second").await }
        });
        until("it is logged", || group.status().committed > through).await;
        let cutting = tokio::spawn({
            let group = group.clone();
            async move { group.propose_cut(Bytes::from_static(b"flushed"), through, Bytes::from_static(b"cut")).await }
        });
        if !from_log {
            until("the leader has cut", || group.status().first == through + 1).await;
        }
        cluster.start(away, &voters());
        until("it has cut", || cluster.group(away).status().first == through + 1).await;
        if from_log {
            assert!(group.status().first <= through, "the leader has not");
            cluster.recorder(leader).held.store(false, Relaxed);
        }
        second.await.expect("is logged");
        cutting.await.expect("runs").expect("is logged");
        assert_eq!(cluster.host(away).stats().snapshots_installed, u64::from(!from_log));
        until("the leader has cut", || group.status().first == through + 1).await;
    }
    // Both ways lead to the same.
    cluster.stop(leader);
    let other = voters().into_iter().find(|node| *node != leader && *node != away).expect("is there");
    cluster.leader_among(|id| id != leader.0).await;
    cluster.start(leader, &voters());
    let mut left = Vec::new();
    for node in [away, other] {
        cluster.hand_over(node).await;
        assert_eq!(cluster.leader().await, node);
        let seen = cluster.recorder(node).seen();
        assert_eq!(seen.restored.last().map(|(_, data)| &data[..]), Some(&b"cut"[..]));
        left.push(seen.entries.iter().map(|(_, data)| data.clone()).collect::<Vec<_>>());
    }
    assert_eq!(left, [["second"], ["second"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_cuts_the_last_one_counts() {
    let cluster = Cluster::with(settings(), Follow::Keep);
    let leader = cluster.leader().await;
    let group = cluster.group(leader).clone();
    let (mut tasks, mut last) = (tokio::task::JoinSet::new(), 0);
    for n in 0..40 {
        last = propose(&group, format!("entry {n}")).await;
        let group = group.clone();
        let data = Bytes::from(format!("flushed {n}"));
        tasks.spawn(async move { group.propose_cut(data, last, Bytes::from(format!("cut {last}"))).await });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    let end = propose(&group, "end").await;
    for node in voters() {
        until("it is cut", || cluster.group(node).status().first > last).await;
        assert!(cluster.group(node).status().first <= end, "what no cut stands for stays");
    }
    cluster.hand_over(cluster.follower(leader)).await;
    let leader = cluster.leader().await;
    let restored = cluster.recorder(leader).seen().restored.clone();
    assert_eq!(restored.last().map(|(_, data)| data.clone()), Some(Bytes::from(format!("cut {last}"))));
    assert_eq!(cluster.recorder(leader).entries(), ["end"]);
}

#[tokio::test]
async fn a_cut_that_was_not_begun_is_done_after_a_restart() {
    let mut node = Single::new(settings());
    for follow in [Follow::Apply, Follow::Keep] {
        // Cuts begin at ticks, and the first of these is far off.
        node.settings.tick = Duration::from_secs(20);
        let host = node.host();
        let (group, _) = open_as(&host, GROUP, &[ME], follow).expect("opens");
        leads(&group).await;
        propose(&group, "first").await;
        let through = group.applied();
        propose(&group, "second").await;
        let data = Bytes::from_static(b"flushed");
        group.propose_cut(data, through, Bytes::from_static(b"cut")).await.expect("is logged");
        drop(host);

        node.settings = settings();
        let host = node.host();
        let (group, recorder) = open_as(&host, GROUP, &[ME], follow).expect("opens");
        assert!(group.status().first <= through, "it was not cut before");
        leads(&group).await;
        until("it is cut", || group.status().first == through + 1).await;
        until("one snapshot is there", || snapshots(node.dir.path()) == 1).await;
        propose(&group, "third").await;
        assert_eq!(recorder.entries().last().map(|data| &data[..]), Some(&b"third"[..]));
    }
}

#[tokio::test]
async fn a_cut_that_makes_no_sense_is_refused() {
    let node = Single::new(settings());
    let host = node.host();
    let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;
    let last = propose(&group, "entry").await;
    let beyond = group.propose_cut(Bytes::new(), last + 5, Bytes::new()).await;
    assert!(matches!(beyond, Err(Error::NotApplied { .. })), "{beyond:?}");
    let large = group.propose_cut(Bytes::new(), last, Bytes::from(vec![0; 1 << 20])).await;
    assert!(matches!(large, Err(Error::TooLarge { .. })), "{large:?}");
    // One that stands for what was cut before does nothing.
    group.compact(last, Bytes::from_static(b"newer")).await.expect("is cut");
    let old = group.propose_cut(Bytes::from_static(b"flushed"), last - 1, Bytes::from_static(b"older")).await;
    let index = old.expect("is logged").index;
    let read = group.read(index).expect("its data is there");
    assert_eq!(read, "flushed");
    propose(&group, "goes on").await;
    assert_eq!(group.status().first, last + 1);
}

#[tokio::test]
async fn elections_pin_nothing() {
    let node = Single::new(settings());
    let mut begins = Vec::new();
    for run in 0..30 {
        let follow = if run % 2 == 0 { Follow::Apply } else { Follow::Keep };
        let host = node.host();
        let (group, recorder) = open_as(&host, GROUP, &[ME], follow).expect("opens");
        leads(&group).await;
        match run {
            4 => {
                propose(&group, "data").await;
                flush(&group, recorder.snapshot(group.applied())).await.expect("is logged");
                until("it is cut", || group.status().first == group.status().last + 1).await;
            }
            // There are more than a handful.
            15 | 29 => until("it is cut", || group.status().first == group.status().last + 1).await,
            _ => {}
        }
        begins.push(group.status().first);
        if run == 29 {
            until("it is restored", || recorder.count() == 1).await;
            assert_eq!(recorder.entries(), ["data"], "the snapshot is the same");
        }
        host.shutdown().await;
    }
    assert!(begins.is_sorted() && begins[0] == 2, "{begins:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_leaders_and_members_pin_nothing_on_followers() {
    for follow in [Follow::Apply, Follow::Keep] {
        let mut cluster = Cluster::with(settings(), follow);
        cluster.leader().await;
        cluster.start(LEARNER, &[]);
        for turn in 0..12 {
            cluster.hand_over(voters()[turn % 2]).await;
            let leader = cluster.leader().await;
            let group = cluster.group(leader);
            // An election may come in between.
            let _ = if turn % 2 == 0 { group.add_learner(LEARNER).await } else { group.remove(LEARNER).await };
        }
        for node in voters() {
            until("it is cut", || cluster.group(node).status().first > 10).await;
        }
        let group = cluster.group(cluster.leader().await).clone();
        let _ = group.add_learner(LEARNER).await;
        let last = propose(&group, "goes on").await;
        let all = [1, 2, 3, 4].map(Node);
        until("all have it", || all.iter().all(|node| cluster.group(*node).status().committed >= last)).await;
    }
}

#[tokio::test]
async fn under_pressure_not_even_a_few_entries_without_data_stay() {
    let mut settings = settings();
    settings.journal.segment_size = ByteSize(512 << 10);
    settings.journal.max_size = ByteSize::mib(4);
    let node = Single::new(settings);
    for _ in 0..2 {
        let host = node.host();
        let (idle, _) = open(&host, GroupId(8), &[ME]).expect("opens");
        leads(&idle).await;
        host.shutdown().await;
    }
    let host = node.host();
    let (idle, _) = open(&host, GroupId(8), &[ME]).expect("opens");
    let (busy, _) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&idle).await;
    leads(&busy).await;
    let mut full = false;
    for n in 0..2000_u32 {
        full = matches!(busy.propose(Bytes::from(vec![n as u8; 64 << 10])).await, Err(Error::Full { .. }));
        if full {
            break;
        }
    }
    assert!(full, "it never was full");
    until("the idle one holds nothing", || idle.status().first == idle.status().last + 1).await;
    assert!(flush(&busy, "all of it").await.is_ok(), "there is always room for it");
    until("there is room again", || host.stats().journal_segments <= 2).await;
    until("there is no pressure", || host.journal_pressure().is_none()).await;
    propose(&busy, "goes on").await;
}
