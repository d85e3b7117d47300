//! One holder a slot, epochs that grow, notes under epochs: by example and by chance.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn beat(
    leases: &mut Leases,
    holder: &str,
    want: &[u32],
    free: &[u32],
    dead: &[(&str, u64)],
) -> Vec<(u32, String, u64)> {
    let dead = dead.iter().map(|(name, beats)| ((*name).to_owned(), *beats)).collect();
    let (holder, want, free) = (holder.to_owned(), want.to_vec(), free.to_vec());
    let reply = leases.apply(&Command::Beat { holder, patience: 1000, want, free, dead }.encode());
    match Reply::decode(&reply.encode()) {
        Reply::Held { slots, .. } => slots.into_iter().map(|(n, slot)| (n, slot.holder, slot.epoch)).collect(),
        other => panic!("{other:?}"),
    }
}

fn is(slots: &[(u32, &str, u64)]) -> Vec<(u32, String, u64)> {
    slots.iter().map(|(n, holder, epoch)| (*n, (*holder).to_owned(), *epoch)).collect()
}

fn save(leases: &mut Leases, slot: u32, epoch: u64, name: &str, text: Option<&str>) -> Reply {
    let notes = vec![(TenantId::anonymous(), name.to_owned(), text.map(Arc::from))];
    leases.apply(&Command::Save { slot, epoch, notes }.encode())
}

#[test]
fn a_slot_has_one_holder_until_that_one_is_lost() {
    let mut leases = Leases::default();
    assert_eq!(beat(&mut leases, "a", &[0, 1, SLOTS], &[], &[]), is(&[(0, "a", 1), (1, "a", 1)]));
    assert_eq!(beat(&mut leases, "b", &[1, 2], &[], &[]), is(&[(0, "a", 1), (1, "a", 1), (2, "b", 1)]), "taken");
    assert_eq!(beat(&mut leases, "a", &[], &[1], &[]), is(&[(0, "a", 1), (1, "", 1), (2, "b", 1)]), "let go of");
    assert_eq!(beat(&mut leases, "b", &[1], &[2, 0], &[]), is(&[(0, "a", 1), (1, "b", 2), (2, "", 1)]));
    // a has beaten again since: one who saw less is too early.
    assert_eq!(beat(&mut leases, "b", &[0], &[], &[("a", 1)])[0], (0, "a".to_owned(), 1));
    assert_eq!(beat(&mut leases, "b", &[0], &[], &[("a", 3)])[0], (0, "b".to_owned(), 2));
    assert_eq!(beat(&mut leases, "a", &[0], &[], &[])[0], (0, "b".to_owned(), 2), "a comes back to nothing");
    leases.apply(&Command::Leave { holder: "b".into() }.encode());
    assert_eq!(beat(&mut leases, "a", &[0], &[], &[])[0], (0, "a".to_owned(), 3));
    // One that slept through all of it knows a from a life before.
    assert_eq!(beat(&mut leases, "c", &[0], &[], &[("a", 1)])[0], (0, "a".to_owned(), 3));
}

#[test]
fn notes_are_taken_under_the_epoch_alone() {
    let mut leases = Leases::default();
    beat(&mut leases, "a", &[7], &[], &[]);
    assert_eq!(save(&mut leases, 7, 1, "group", Some("firing")), Reply::Done);
    beat(&mut leases, "b", &[7], &[], &[("a", 1)]);
    assert_eq!(save(&mut leases, 7, 1, "group", Some("pending")), Reply::Fenced { epoch: 2 });
    let load = |leases: &mut Leases, slot, epoch| leases.apply(&Command::Load { slot, epoch }.encode());
    let notes = vec![(TenantId::anonymous(), "group".to_owned(), Arc::from("firing"))];
    let reply = load(&mut leases, 7, 2);
    assert_eq!(Reply::decode(&reply.encode()), reply);
    assert_eq!(reply, Reply::Notes { notes });
    assert_eq!(load(&mut leases, 7, 1), Reply::Fenced { epoch: 2 });
    assert_eq!(load(&mut leases, 8, 0), Reply::Fenced { epoch: 0 });
    let back: Leases = serde_json::from_slice(&serde_json::to_vec(&leases).expect("writes")).expect("reads");
    assert_eq!(back, leases);
    assert_eq!(save(&mut leases, 7, 2, "group", None), Reply::Done);
    assert_eq!((load(&mut leases, 7, 2), leases.bytes()), (Reply::Notes { notes: Vec::new() }, 0));
}

#[test]
fn a_tenants_notes_are_bounded() {
    let mut leases = Leases::default();
    beat(&mut leases, "a", &[0], &[], &[]);
    let half = "x".repeat(MAX_TENANT_BYTES as usize / 2);
    assert_eq!(save(&mut leases, 0, 1, "a", Some(&half)), Reply::Done);
    let Reply::Full { limit, .. } = save(&mut leases, 0, 1, "b", Some(&half)) else { panic!("it is full") };
    assert_eq!(limit, MAX_TENANT_BYTES);
    assert_eq!(save(&mut leases, 0, 1, "a", Some(&half)), Reply::Done, "as large as it was");
    assert_eq!(save(&mut leases, 0, 1, "a", Some("x")), Reply::Done);
    assert_eq!(save(&mut leases, 0, 1, "b", Some(&half)), Reply::Done);
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let mut leases = Leases::default();
    for command in [&b""[..], b"{}", b"{\"do\":\"explode\"}", b"{\"do\":\"beat\"}"] {
        assert!(matches!(leases.apply(command), Reply::Refused { .. }));
    }
    let nameless = Command::Beat { holder: String::new(), patience: 1, want: vec![0], free: vec![], dead: vec![] };
    assert!(matches!(leases.apply(&nameless.encode()), Reply::Refused { .. }));
    assert_eq!(leases, Leases::default());
}

/// What one of a few holders does next, by what it saw last.
#[derive(Debug, Clone)]
enum Step {
    Beat { who: usize, want: Vec<u32>, free: Vec<u32>, bury: bool },
    Leave { who: usize },
    Save { who: usize, slot: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let slots = || proptest::collection::vec(0..6u32, 0..4);
    prop_oneof![
        5 => (0..3usize, slots(), slots(), any::<bool>())
            .prop_map(|(who, want, free, bury)| Step::Beat { who, want, free, bury }),
        1 => (0..3usize).prop_map(|who| Step::Leave { who }),
        4 => (0..3usize, 0..6u32).prop_map(|(who, slot)| Step::Save { who, slot }),
    ]
}

proptest! {
    #[test]
    fn nobody_writes_under_anothers_lease(steps in proptest::collection::vec(step(), 1..80)) {
        let mut leases = Leases::default();
        // What each holder believes: its slots by epoch, and the beats of others.
        let mut views: [(BTreeMap<u32, Slot>, BTreeMap<String, Holder>); 3] = Default::default();
        let mut epochs: BTreeMap<u32, u64> = BTreeMap::new();
        let mut granted: BTreeSet<(u32, u64, String)> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Beat { who, want, free, bury } => {
                    let dead = views[who].1.iter().filter(|_| bury).map(|(name, h)| (name.clone(), h.beat)).collect();
                    let command = Command::Beat { holder: format!("h{who}"), patience: 1, want, free, dead };
                    let Reply::Held { holders, slots } = leases.apply(&command.encode()) else { panic!("it beats") };
                    let me = format!("h{who}");
                    prop_assert!(holders.contains_key(&me));
                    for (number, slot) in &slots {
                        let known = epochs.insert(*number, slot.epoch).unwrap_or(0);
                        prop_assert!(slot.epoch >= known, "epochs grow");
                        if !slot.holder.is_empty() {
                            granted.insert((*number, slot.epoch, slot.holder.clone()));
                            prop_assert!(holders.contains_key(&slot.holder), "who holds lives");
                        }
                    }
                    views[who] = (slots.into_iter().collect(), holders);
                }
                Step::Leave { who } => drop(leases.apply(&Command::Leave { holder: format!("h{who}") }.encode())),
                Step::Save { who, slot } => {
                    let me = format!("h{who}");
                    let Some(seen) = views[who].0.get(&slot).filter(|slot| slot.holder == me) else { continue };
                    let done = save(&mut leases, slot, seen.epoch, "n", Some(&me)) == Reply::Done;
                    let now = &leases.slots[&slot];
                    prop_assert_eq!(done, now.epoch == seen.epoch && now.holder == me);
                }
            }
            let mut holders = BTreeSet::new();
            prop_assert!(granted.iter().all(|(slot, epoch, _)| holders.insert((*slot, *epoch))), "one holder an epoch");
        }
    }
}
