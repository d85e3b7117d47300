//! Entries of all kinds, good, damaged and arbitrary.

use super::*;
use model::{GroupId, ShardCounts, ShardId, Signal, TenantId};
use placement::{Command, Reply};
use proptest::prelude::*;

#[test]
fn each_command_reaches_its_own() {
    let mut state = State::default();
    let shards = ShardCounts { logs: 3, metrics: 1 };
    let reply = Reply::decode(&state.apply(&for_placement(&Command::Read { shards })));
    assert_eq!(reply, Reply::Done { version: 1 });
    let remove = catalog::Command::Remove { names: vec!["none".into()], epoch: None };
    let reply = catalog::Reply::decode(&state.apply(&for_catalog(&remove.encode())));
    assert_eq!(reply, catalog::Reply::Done { version: 1 });
    assert_eq!(state.table.readable(), shards);
    let back = State::decode(&state.encode()).expect("reads");
    assert_eq!((back.catalog, back.table), (state.catalog.clone(), state.table.clone()));
    for nonsense in [&b""[..], b"\x09", b"\x01{", b"\x02"] {
        assert!(matches!(catalog::Reply::decode(&state.apply(nonsense)), catalog::Reply::Refused { .. }));
    }
    let place = Command::Place { groups: vec![(GroupId(5), vec![1])] };
    assert_eq!(Reply::decode(&state.apply(&for_placement(&place))), Reply::Done { version: 2 });
    let leave = leases::Command::Leave { holder: "a".into() }.encode();
    assert_eq!(leases::Reply::decode(&state.apply(&for_leases(&leave))), leases::Reply::Done);
    let forget = elections::Command::Forget { silent: Vec::new() }.encode();
    assert_eq!(elections::Reply::decode(&state.apply(&for_elections(&forget))), elections::Reply::Done);
    let before = serde_json::json!({"catalog": &*state.catalog, "table": &*state.table}).to_string();
    let back = State::decode(before.as_bytes()).expect("reads");
    assert_eq!((back.leases, back.elections), Default::default(), "from before there were any");
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]", ".{0,4}"]
}

fn any_catalog_command() -> impl Strategy<Value = Vec<u8>> {
    use catalog::{BlockEntry, Command, Place, SegmentEntry, TenantEntry};
    let shard = || {
        (any::<bool>(), 0..3u32)
            .prop_map(|(logs, index)| ShardId::new(if logs { Signal::Logs } else { Signal::Metrics }, index))
    };
    let names = || prop::collection::vec(any_name(), 0..3);
    let segment =
        (any_name(), shard(), 0..6u64, 0..6u64, any::<i64>()).prop_map(|(name, shard, after, through, min)| {
            let tenants = vec![TenantEntry { tenant: TenantId::anonymous(), rows: 1, min, max: 9 }];
            let (level, term, created, order, rows, raw_bytes, bytes) = (0, 1, min, 7, 1, 1, 1);
            SegmentEntry { name, shard, level, after, through, term, created, order, rows, raw_bytes, bytes, tenants }
        });
    let block = (any_name(), shard(), 0..4u64, 0..6u64).prop_map(|(name, shard, order, through)| BlockEntry {
        name,
        signal: shard.signal,
        tenant: TenantId::anonymous(),
        level: 1,
        place: Place { order, after: 0, shard },
        created: 0,
        rows: 1,
        raw_bytes: 1,
        bytes: 1,
        min: 0,
        max: 9,
        flushed: vec![(shard, through)],
        without: Vec::new(),
        shortened: Vec::new(),
    });
    let tenant = TenantId::anonymous();
    let delete = prop_oneof![
        (any_name(), any::<i64>(), any::<i64>()).prop_map(move |(query, start, end)| {
            let (tenant, signal) = (TenantId::anonymous(), Signal::Logs);
            deletes::Command::Ask { tenant, signal, query, start, end, created: 0 }
        }),
        (0..9u64, any::<bool>()).prop_map(|(request, force)| {
            let (tenant, signal) = (TenantId::anonymous(), Signal::Logs);
            deletes::Command::Cancel { tenant, signal, request, force }
        }),
        (0..9u64).prop_map(move |request| deletes::Command::Finish { done: vec![(tenant.clone(), request)] }),
    ];
    let command = prop_oneof![
        2 => (delete, prop::option::of(0..3u64)).prop_map(|(command, epoch)| Command::Delete { command, epoch }),
        4 => segment.prop_map(|segment| Command::Add { segment }),
        1 => (names(), prop::option::of(0..3u64)).prop_map(|(names, epoch)| Command::Remove { names, epoch }),
        1 => (any_name(), 0..3u64, 0..3u64).prop_map(|(holder, epoch, renewal)| Command::Lease { holder, epoch, renewal }),
        2 => (0..3u64, names(), prop::collection::vec(block, 0..3))
            .prop_map(|(epoch, removed, added)| Command::Replace { epoch, removed, added, without: Vec::new() }),
    ];
    command.prop_map(|command| command.encode())
}

fn any_placement_command() -> impl Strategy<Value = Vec<u8>> {
    let group = || prop_oneof![0..9u64, any::<u64>()].prop_map(GroupId);
    let counts = (0..5u32, 0..5u32).prop_map(|(logs, metrics)| ShardCounts { logs, metrics });
    let command = prop_oneof![
        prop::collection::vec((group(), prop::collection::vec(0..4u64, 0..4)), 0..3)
            .prop_map(|groups| Command::Place { groups }),
        (group(), 0..4u64).prop_map(|(group, node)| Command::Join { group, node }),
        (group(), 0..4u64).prop_map(|(group, node)| Command::Leave { group, node }),
        (0..4u64, any_name(), any_name()).prop_map(|(node, name, zone)| Command::Meet { node, name, zone }),
        (0..4u64).prop_map(|node| Command::Forget { node }),
        counts.clone().prop_map(|shards| Command::Read { shards }),
        counts.prop_map(|shards| Command::Write { shards }),
    ];
    command.prop_map(|command| command.encode())
}

fn any_leases_command() -> impl Strategy<Value = Vec<u8>> {
    use leases::Command;
    let slots = || prop::collection::vec(prop_oneof![0..4u32, any::<u32>()], 0..4);
    let dead = prop::collection::vec((any_name(), 0..4u64), 0..3);
    let note = (any_name(), prop::option::of(any_name()));
    let note = note.prop_map(|(name, text)| (TenantId::anonymous(), name, text.map(std::sync::Arc::from)));
    let command = prop_oneof![
        3 => (any_name(), any::<u64>(), slots(), slots(), dead)
            .prop_map(|(holder, patience, want, free, dead)| Command::Beat { holder, patience, want, free, dead }),
        1 => any_name().prop_map(|holder| Command::Leave { holder }),
        1 => (0..4u32, 0..4u64).prop_map(|(slot, epoch)| Command::Load { slot, epoch }),
        2 => (0..4u32, 0..4u64, prop::collection::vec(note, 0..4))
            .prop_map(|(slot, epoch, notes)| Command::Save { slot, epoch, notes }),
    ];
    command.prop_map(|command| command.encode())
}

fn any_elections_command() -> impl Strategy<Value = Vec<u8>> {
    use elections::Command;
    let who = || (any_name(), any_name()).prop_map(|(cluster, replica)| (TenantId::anonymous(), cluster, replica));
    let command = prop_oneof![
        3 => (who(), 0..6u64, 0..3u32).prop_map(|((tenant, cluster, replica), seen, most)| {
            Command::Elect { tenant, cluster, replica, seen, most }
        }),
        2 => prop::collection::vec(who(), 0..3).prop_map(|heard| Command::Hear { heard }),
        1 => prop::collection::vec((who(), 0..6u64), 0..3).prop_map(|silent| Command::Forget {
            silent: silent.into_iter().map(|((tenant, cluster, _), seen)| (tenant, cluster, seen)).collect(),
        }),
    ];
    command.prop_map(|command| command.encode())
}

/// Entries of all kinds, and some with a byte changed, or of bytes only.
fn any_entry() -> impl Strategy<Value = Vec<u8>> {
    let good = prop_oneof![
        any_catalog_command().prop_map(|command| entry(CATALOG, &command).to_vec()),
        any_placement_command().prop_map(|command| entry(PLACEMENT, &command).to_vec()),
        any_leases_command().prop_map(|command| entry(LEASES, &command).to_vec()),
        any_elections_command().prop_map(|command| entry(ELECTIONS, &command).to_vec()),
    ];
    let damaged = (good.clone(), any::<prop::sample::Index>(), any::<u8>());
    let damaged = damaged.prop_map(|(mut entry, at, byte)| {
        let at = at.index(entry.len());
        entry[at] = byte;
        entry
    });
    prop_oneof![6 => good, 2 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    /// A node that begins from a snapshot goes on as one that has applied all entries.
    #[test]
    fn any_entries_leave_a_state_that_can_be_carried(entries in prop::collection::vec(any_entry(), 0..30), at: prop::sample::Index) {
        let (mut state, mut carried, snapshot) = (State::default(), State::default(), at.index(entries.len() + 1));
        for (number, entry) in entries.iter().enumerate() {
            if number == snapshot {
                carried = State::decode(&state.encode()).expect("reads");
            }
            let (reply, again) = (state.apply(entry), carried.apply(entry));
            prop_assert!(number < snapshot || reply == again, "entry {number} is answered otherwise after a snapshot");
        }
        let encoded = state.encode();
        prop_assert!(snapshot >= entries.len() || carried.encode() == encoded);
        prop_assert_eq!(State::decode(&encoded).expect("reads").encode(), encoded);
    }

    #[test]
    fn any_bytes_are_a_state_or_none(bytes: Vec<u8>) {
        let _ = State::decode(&bytes);
    }
}
