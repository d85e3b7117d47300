//! Bytes from outside: whatever comes, gossip goes on.

use bytes::Bytes;
use model::Role;
use ouro_cluster::{Gossip, Member, Out, Settings};
use proptest::prelude::*;
use std::time::Duration;

const BEGIN: Duration = Duration::from_secs(1_800_000_000);

fn gossip(host: u64, cluster: &str) -> Gossip {
    let member = Member {
        id: host,
        name: format!("m-{host}"),
        role: Role::Querier,
        zone: "a".to_owned(),
        address: format!("10.0.0.{host}:4100"),
        version: "0.1.0".to_owned(),
        incarnation: 1,
        draining: false,
    };
    let settings = Settings { name: cluster.to_owned(), ..Settings::default() };
    Gossip::new(member, &settings, host, BEGIN).expect("a member")
}

/// Four members, and packets of every kind that they sent in their first seconds.
fn talk() -> (Vec<Gossip>, Vec<Bytes>) {
    let mut members: Vec<Gossip> = (0..4).map(|host| gossip(host, "ouro")).collect();
    let mut sent = Vec::new();
    for tick in 0..100 {
        let now = BEGIN + Duration::from_millis(100 * tick);
        // The fourth one goes away, so that there are suspicions and lost members.
        let live = if tick < 30 { 4 } else { 3 };
        let mut out = Out::default();
        for member in &mut members[..live] {
            member.tick(now, &mut out);
            if tick < 2 {
                member.announce(&["10.0.0.0:4100".to_owned()], &mut out);
            }
        }
        while let Some((to, packet)) = out.packets.pop() {
            sent.push(packet.clone());
            // The first one gets no answers to its probes, so that it asks others to probe for it.
            if to == "10.0.0.0:4100" && (packet[11], packet[12]) == (1, 2) {
                continue;
            }
            if let Some(member) = members[..live].iter_mut().find(|member| member.me().address == to) {
                member.packet(now, &packet, &mut out);
            }
        }
    }
    let kinds: std::collections::BTreeSet<(u8, u8)> = sent.iter().map(|packet| (packet[11], packet[12])).collect();
    let swim = kinds.iter().filter(|(kind, _)| *kind == 1).count();
    let all: std::collections::BTreeSet<u8> = kinds.iter().map(|(kind, _)| *kind).collect();
    assert!(swim == 7 && all.len() == 3, "only {kinds:?}");
    assert_eq!(members[0].members().len(), 3);
    (members, sent)
}

#[test]
fn foreign_packets_are_refused_unread() {
    let (_, sent) = talk();
    let mut other = gossip(9, "other");
    let mut out = Out::default();
    sent.iter().for_each(|packet| other.packet(BEGIN, packet, &mut out));
    assert_eq!(other.refused().foreign, sent.len() as u64);
    let mut version = sent[0].to_vec();
    version[2] += 1;
    other.packet(BEGIN, &version, &mut out);
    other.packet(BEGIN, b"GET / HTTP/1.1", &mut out);
    other.packet(BEGIN, &[0; 100_000], &mut out);
    assert_eq!((other.refused().version, other.refused().malformed), (1, 2));
    assert!(out.packets.is_empty() && out.changes.is_empty());
    assert_eq!(other.members().len(), 1);
}

#[test]
fn packets_that_are_cut_short_do_nothing() {
    let (mut members, sent) = talk();
    let before = members[0].members();
    let mut out = Out::default();
    let mut cuts = 0;
    for packet in sent.iter().rev().take(40) {
        for cut in 0..packet.len() {
            // A list of members may end after any of them.
            let malformed = members[0].refused().malformed;
            members[0].packet(BEGIN, &packet[..cut], &mut Out::default());
            cuts += members[0].refused().malformed - malformed;
        }
    }
    assert!(cuts > 1_000, "only {cuts}");
    members[0].tick(BEGIN, &mut out);
    assert_eq!(members[0].members().len(), before.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut member = gossip(1, "ouro");
        let mut out = Out::default();
        member.packet(BEGIN, &bytes, &mut out);
        prop_assert_eq!(member.refused().malformed, 1);
    }

    /// Damage may change what a packet says, which TLS prevents; it must not stop a member, and what it leads to must
    /// stay small.
    #[test]
    fn damaged_packets_do_not_stop_a_member(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 12_usize..300, any::<u8>()), 1..200),
    ) {
        let (mut members, sent) = talk();
        let now = BEGIN + Duration::from_secs(10);
        for (packet, at, byte) in damage {
            let mut packet = packet.get(&sent).to_vec();
            let at = at % packet.len();
            packet[at] = if at < 11 { packet[at] } else { byte };
            let mut out = Out::default();
            members[0].packet(now, &packet, &mut out);
            prop_assert!(out.packets.len() < 10, "{} packets for one", out.packets.len());
        }
        let mut out = Out::default();
        let mut now = now;
        for _ in 0..1_000 {
            let deadline = members[0].deadline();
            prop_assert!(deadline.is_some());
            now = deadline.map_or(now, |deadline| deadline.max(now));
            members[0].tick(now, &mut out);
        }
        prop_assert!(members[0].members().by_name("m-0").is_some());
    }
}
