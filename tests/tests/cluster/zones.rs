//! A whole zone is killed or cut off from the others, while clients still reach it: two zones of three are enough.

use crate::long::Heavy;
use crate::{FOLDER, PROGRAM, cluster};
use model::Role;
use ouro_tests::client::until;
use ouro_tests::doors::Doors;
use ouro_tests::hosts::{self, Zones};
use ouro_tests::members::{Members, Seat, Shape};
use ouro_tests::story::{PACE, Story};
use std::time::Duration;

/// One of each in each of three zones.
pub const SEATS: &[(Role, usize)] = &[(Role::Ingester, 3), (Role::Distributor, 3), (Role::Querier, 3)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_dies_and_comes_back() {
    let members = cluster(Shape { seats: SEATS, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let mut story = Story::begin(FOLDER, "zone-dies", &members).await;
    story.fault("all of zone b is killed");
    let names = members.in_zone("b");
    assert_eq!(names.len(), 3, "{names:?}");
    let dead: Vec<_> = names.iter().map(|name| running.remove(name).expect("it runs")).collect();
    dead.into_iter().for_each(|process| drop(process.kill()));
    story.recovered().await;
    story.fault("zone b comes back");
    names.iter().for_each(|name| members.start(&mut running, name));
    members.settled(3).await;
    story.recovered().await;
    story.end().await;
}

/// Which packets of a zone are lost.
#[derive(Debug, Clone, Copy)]
enum Lost {
    Both,
    /// What it says is not heard, and it hears the others.
    From,
    /// It does not hear the others, and they hear it.
    To,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_is_cut_off() {
    hosts::inside("zones::a_zone_is_cut_off", cut_off("zone-cut-off", Duration::from_secs(1), |_| Heavy::none())).await;
}

/// Each time it is the zone of a leader. Clients of the other zones go on. Those of this one are told that nothing can be
/// done for them, and nothing else: neither a row that was written elsewhere is missing in what they read, nor is one lost
/// that they wrote.
pub async fn cut_off(name: &str, length: Duration, heavy: impl FnOnce(&Members) -> Heavy) {
    // One shard of each signal, so that one who leads it alone could answer a whole query, if it did not ask the others.
    let first = &[(Role::Ingester, "shards = {logs = 1, metrics = 1}\n")];
    let members = Members::new(PROGRAM, Shape { seats: SEATS, first, zones: Some(Zones::new(3)), ..Shape::default() });
    let _running = members.start_all().await;
    members.settled(3).await;
    let heavy = heavy(&members);
    let mut outside = Story::begin(FOLDER, name, &members).await;
    let zones = members.zones();
    for (lost, what) in [
        (Lost::Both, "a leader's zone is cut off"),
        (Lost::From, "a leader's zone is not heard"),
        (Lost::To, "a leader's zone hears nothing"),
    ] {
        let zone = &members.seat(&leader(&members).await).zone;
        for door in members.in_zone(zone) {
            outside.distributors.withdraw(&door).await;
            outside.queriers.withdraw(&door).await;
        }
        let doors = |role| Doors::new(members.of(role).filter(|seat| seat.zone == *zone).map(Seat::named).collect());
        outside.witness(doors(Role::Querier));
        let inner = format!("{name}-inside-{lost:?}").to_lowercase();
        let mut inside = Story::begin_at(FOLDER, &inner, PACE, doors(Role::Distributor), doors(Role::Querier)).await;
        outside.fault(what);
        inside.fault(&format!("{what} for {} s, and no more", length.as_secs()));
        if matches!(lost, Lost::Both | Lost::From) {
            zones.cut_from(zone);
        }
        if matches!(lost, Lost::Both | Lost::To) {
            zones.cut_to(zone);
        }
        outside.recovered().await;
        tokio::time::sleep(length).await;
        outside.fault(&format!("{what} no more"));
        zones.heal();
        inside.recovered().await;
        inside.end().await;
        members.settled(3).await;
        outside.recovered().await;
        for door in members.in_zone(zone) {
            outside.distributors.restore(&door).await;
            outside.queriers.restore(&door).await;
        }
    }
    heavy.end().await;
    outside.end().await;
}

/// Who leads the shard of logs.
async fn leader(members: &Members) -> String {
    let mut found = None;
    until("the shard of logs is led", async || {
        let ring = members.ring().await;
        let groups = ring["groups"].as_array().expect("groups");
        let group = groups.iter().find(|group| group["name"] == "logs-0");
        found = group.and_then(|group| group["leader"].as_str()).map(str::to_owned);
        found.is_some()
    })
    .await;
    found.expect("a leader")
}
