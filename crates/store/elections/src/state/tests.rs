//! Elections, signs and followers.

use super::*;
use proptest::prelude::*;

fn elect(elections: &mut Elections, cluster: &str, replica: &str, seen: u64) -> Reply {
    let (tenant, cluster, replica) = (TenantId::anonymous(), cluster.into(), replica.into());
    elections.apply(&Command::Elect { tenant, cluster, replica, seen, most: 2 }.encode())
}

fn elected(replica: &str, sign: u64) -> Reply {
    Reply::Elected { elected: Elected { replica: replica.into(), sign } }
}

fn hear(elections: &mut Elections, cluster: &str, replica: &str) {
    let heard = vec![(TenantId::anonymous(), cluster.into(), replica.into())];
    assert_eq!(elections.apply(&Command::Hear { heard }.encode()), Reply::Done);
}

#[test]
fn one_is_elected_until_nobody_has_heard_it_since() {
    let mut elections = Elections::default();
    assert_eq!(elect(&mut elections, "c", "a", 0), elected("a", 1));
    assert_eq!(elect(&mut elections, "c", "b", 0), elected("a", 1), "the first one stays");
    hear(&mut elections, "c", "b");
    hear(&mut elections, "other", "a");
    assert_eq!(elect(&mut elections, "c", "b", 7), elected("a", 1), "of no sign that ever was");
    hear(&mut elections, "c", "a");
    assert_eq!(elect(&mut elections, "c", "b", 1), elected("a", 2), "it was heard since");
    assert_eq!(elect(&mut elections, "c", "b", 2), elected("b", 3));
    assert_eq!(elect(&mut elections, "c", "a", 2), elected("b", 3));
}

#[test]
fn clusters_are_bounded_and_the_silent_ones_are_forgotten() {
    let mut elections = Elections::default();
    elect(&mut elections, "c", "a", 0);
    elect(&mut elections, "d", "a", 0);
    assert_eq!(elect(&mut elections, "e", "a", 0), Reply::Full { clusters: 2, limit: 2 });
    let silent = |sign| Command::Forget { silent: vec![(TenantId::anonymous(), "c".into(), sign)] }.encode();
    hear(&mut elections, "c", "a");
    assert_eq!(elections.apply(&silent(1)), Reply::Done);
    assert_eq!(elections.clusters(), 2, "it was heard since");
    elections.apply(&silent(3));
    assert_eq!(elections.clusters(), 1);
    assert_eq!(elect(&mut elections, "e", "a", 0), elected("a", 5));
    assert!(matches!(elect(&mut elections, &"x".repeat(513), "a", 0), Reply::Refused { .. }));
    assert!(matches!(elections.apply(b"{"), Reply::Refused { .. }));
}

proptest! {
    /// Whoever follows by changes has what there is, however seldom it asks.
    #[test]
    fn followers_see_what_there_is(
        steps in prop::collection::vec((0u8..4, 0u8..4, 0u8..3, any::<bool>()), 1..60)
    ) {
        let (mut elections, mut followed, mut known) = (Elections::default(), BTreeMap::new(), 0);
        for (what, cluster, replica, look) in steps {
            let (tenant, cluster) = (TenantId::anonymous(), format!("c{cluster}"));
            let own = elections.tenants.get(&tenant).and_then(|own| own.get(&cluster));
            let sign = own.map_or(0, |elected| elected.sign);
            let replica = format!("r{replica}");
            let command = match what {
                0 | 1 => Command::Elect { tenant, cluster, replica, seen: sign, most: 3 },
                2 => Command::Hear { heard: vec![(tenant, cluster, replica)] },
                _ => Command::Forget { silent: vec![(tenant, cluster, sign)] },
            };
            elections.apply(&command.encode());
            if look {
                let changes = elections.since(known);
                if changes.whole {
                    followed.clear();
                }
                known = changes.version;
                followed.extend(changes.elected.into_iter().map(|(_, cluster, elected)| (cluster, elected)));
                let now = elections.tenants.get(&TenantId::anonymous()).cloned().unwrap_or_default();
                prop_assert_eq!(&followed, &now);
            }
        }
        let text = serde_json::to_vec(&elections).expect("writes");
        prop_assert_eq!(serde_json::from_slice::<Elections>(&text).expect("reads"), elections);
    }

    #[test]
    fn any_command_is_answered(bytes: Vec<u8>) {
        let mut elections = Elections::default();
        let is_refused = matches!(elections.apply(&bytes), Reply::Refused { .. });
        prop_assert!(is_refused);
    }
}
