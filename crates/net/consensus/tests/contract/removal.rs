//! Groups that a node keeps no longer, and what it must remember of them.

use crate::world::{
    Cluster, GROUP, ME, PATIENCE, Recorder, Single, deadline, leads, open, open_as, open_with, propose, settings,
    snapshots, until, voters,
};
use bytes::Bytes;
use model::GroupId;
use ouro_consensus::{Error, Follow, Node};
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_missed_its_removal_does_no_harm_and_comes_back() {
    for follow in [Follow::Apply, Follow::Keep] {
        let mut cluster = Cluster::with(settings(), follow);
        let leader = cluster.leader().await;
        let group = cluster.group(leader).clone();
        let gone = cluster.follower(leader);
        propose(&group, "before").await;
        cluster.cut_off(gone);
        group.remove(gone).await.expect("is removed");
        let index = propose(&group, "without it").await;
        group.compact(index, Bytes::from_static(b"cut")).await.expect("is cut");
        until("it calls for an election", || cluster.group(gone).status().leader.is_none()).await;
        let term = group.status().term;

        cluster.heal();
        let host = cluster.host(leader);
        cluster.group(gone).campaign();
        // More than once, as it does by itself.
        let mut heard = 0;
        until("it is heard", || {
            heard += host.foreign().into_iter().filter(|found| *found == (GROUP, gone)).count();
            heard >= 3
        })
        .await;
        assert_eq!((group.status().leader, group.status().term), (Some(leader), term), "nobody listens to it");
        propose(&group, "undisturbed").await;

        let (host, old) = (cluster.host(gone), cluster.group(gone).clone());
        host.remove(GROUP).await.expect("is closed");
        assert!(matches!(old.propose(Bytes::from_static(b"x")).await, Err(Error::Removed { group: GROUP })));
        assert!(matches!(old.read_index(deadline()).await, Err(Error::Removed { .. })));
        assert_eq!(cluster.snapshots(gone), 0);
        until("it is not counted any more", || host.stats().groups == 0).await;
        let refused = cluster.open(gone, &voters());
        assert!(matches!(refused, Err(Error::Removed { .. })), "{refused:?}");

        // As a member to be, it is as blank as any.
        cluster.open(gone, &[]).expect("opens");
        assert_eq!((cluster.group(gone).status().last, cluster.recorder(gone).count()), (0, 0));
        group.add_learner(gone).await.expect("is added");
        let last = propose(&group, "with it").await;
        until("it has all", || cluster.group(gone).status().committed >= last).await;
        group.promote(gone).await.expect("is promoted");
        cluster.hand_over(gone).await;
        assert_eq!(cluster.leader().await, gone);
        assert_eq!(cluster.recorder(gone).entries(), ["undisturbed", "with it"]);
        assert_eq!(cluster.recorder(gone).seen().restored.last(), Some(&(index, Bytes::from_static(b"cut"))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lost_what_it_had_does_not_vote() {
    let mut cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    let stale = cluster.follower(leader);
    let blank = voters().into_iter().find(|node| *node != leader && *node != stale).expect("is there");
    cluster.cut_off(stale);
    // It is committed because `blank` has it.
    propose(cluster.group(leader), "committed").await;
    cluster.host(blank).remove(GROUP).await.expect("is closed");
    cluster.stop(leader);
    for restarts in [false, true] {
        match restarts {
            false => cluster.open(blank, &[]).expect("opens"),
            true => {
                cluster.stop(blank);
                cluster.start(blank, &[]);
            }
        }
        cluster.heal();
        let dropped = cluster.host(blank).stats().messages_dropped;
        until("it was asked a few times", || cluster.host(blank).stats().messages_dropped >= dropped + 3).await;
        assert_eq!(cluster.group(stale).status().leader, None, "nobody leads without what was committed");
    }
    cluster.start(leader, &voters());
    cluster.propose("after it").await;
    let expected = ["committed", "after it"];
    until("all have it", || voters().iter().all(|node| cluster.recorder(*node).entries() == expected)).await;
}

#[tokio::test]
async fn those_who_wait_hear_of_it_and_others_go_on() {
    let node = Single::new(settings());
    let host = node.host();
    let (other, kept) = open(&host, GroupId(8), &[ME]).expect("opens");
    leads(&other).await;
    for round in 0..2 {
        let (group, recorder) = open(&host, GroupId(20 + round), &[ME]).expect("opens");
        leads(&group).await;
        let index = propose(&group, "first").await;
        group.compact(index, Bytes::from_static(b"cut")).await.expect("is cut");
        recorder.held.store(true, Relaxed);
        let waiting = tokio::spawn({
            let group = group.clone();
            async move { group.propose(Bytes::from_static(b"second")).await }
        });
        until("it is committed", || group.status().committed > index).await;
        let removing = tokio::spawn({
            let host = host.clone();
            async move { host.remove(group.id()).await }
        });
        until("it is closed", || host.stats().groups == 1).await;
        let between = host.remove(GroupId(20 + round)).await;
        assert!(matches!(between, Err(Error::Between { .. })), "{between:?}");
        let opened = open(&host, GroupId(20 + round), &[]).map(drop);
        assert!(matches!(opened, Err(Error::Between { .. })), "{opened:?}");
        recorder.held.store(false, Relaxed);
        timeout(PATIENCE, removing).await.expect("ends").expect("runs").expect("is removed");
        let waited = waiting.await.expect("runs");
        // It was applied in that moment.
        assert!(matches!(waited, Ok(_) | Err(Error::Removed { .. })), "{waited:?}");
        host.remove(GroupId(20 + round)).await.expect("there is nothing left to do");
        propose(&other, format!("goes on {round}")).await;
    }
    host.remove(GroupId(99)).await.expect("never was here");
    assert_eq!(kept.count(), 2);
    host.shutdown().await;

    let host = node.host();
    assert_eq!(host.known(), [GroupId(8)], "those that were removed are not named");
    assert_eq!(snapshots(node.dir.path()), 0);
    host.remove(GroupId(8)).await.expect("need not be open");
    assert!(host.known().is_empty());
    drop(host);
    let host = node.host();
    assert!(host.known().is_empty());
    let opened = open(&host, GroupId(8), &[ME]).map(drop);
    assert!(matches!(opened, Err(Error::Removed { .. })), "{opened:?}");
    let (group, recorder) = open(&host, GroupId(8), &[]).expect("opens");
    until("its term is as it was", || group.status().term >= 2).await;
    assert_eq!((group.status().leader, group.status().last, recorder.count()), (None, 0, 0));
}

#[tokio::test]
async fn a_replay_does_not_hold_up_a_removal() {
    let node = Single::new(settings());
    let host = node.host();
    let (group, _) = open_as(&host, GROUP, &[ME], Follow::Keep).expect("opens");
    leads(&group).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..2000 {
        let group = group.clone();
        tasks.spawn(async move { propose(&group, format!("entry {n}")).await });
    }
    tasks.join_all().await;
    drop(host);

    let host = node.host();
    let recorder = Recorder::default();
    recorder.held.store(true, Relaxed);
    let group = open_with(&host, GROUP, &[ME], Follow::Keep, &recorder).expect("opens");
    leads(&group).await;
    let removing = tokio::spawn({
        let host = host.clone();
        async move { host.remove(GROUP).await }
    });
    until("it is closed", || host.stats().groups == 0).await;
    recorder.held.store(false, Relaxed);
    timeout(PATIENCE, removing).await.expect("ends").expect("runs").expect("is removed");
    assert!(recorder.count() < 1000, "{} entries were shown to nobody's use", recorder.count());
    assert!(recorder.seen().led.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_for_groups_that_are_not_here_are_named() {
    let mut cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    let to_be = Node(4);
    cluster.start(to_be, &[]);
    let host = cluster.host(to_be);
    host.remove(GROUP).await.expect("is closed");
    assert!(host.foreign().is_empty());
    cluster.group(leader).add_learner(to_be).await.expect("is added");
    until("somebody feeds it", || host.foreign() == [(GROUP, leader)]).await;
    cluster.open(to_be, &[]).expect("opens");
    let last = cluster.propose("x").await;
    until("it is fed", || cluster.group(to_be).applied() >= last).await;
}
