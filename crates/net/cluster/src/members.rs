//! The list of live members, as everybody in a process sees it at one moment.

use crate::identity::Identity;
use crate::member::Member;
use model::Role;
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Immutable; a change makes a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Members {
    /// With oneself, by name.
    live: Vec<Arc<Member>>,
    down: Vec<Lost>,
    conflicts: Vec<Conflict>,
    /// Positions in `live`, by id.
    #[serde(skip)]
    ids: Vec<(u64, usize)>,
}

/// A member that was lost, or that left, in the last minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    pub member: Arc<Member>,
    /// Unix time in milliseconds when this process learned of it.
    pub since: u64,
}

/// Two members that seem live and claim one name, address or id. This is normal for seconds after a member came back
/// under another name or id; otherwise one of them is set up wrongly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The one with the higher incarnation, which counts.
    pub kept: Arc<Member>,
    /// The other one, which is not listed.
    pub hidden: Arc<Member>,
}

impl Lost {
    /// Whether it had said that it goes.
    pub fn has_left(&self) -> bool {
        self.member.draining
    }
}

impl Members {
    /// The live members, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Member>> {
        self.live.iter()
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub fn by_name(&self, name: &str) -> Option<&Arc<Member>> {
        let at = self.live.binary_search_by(|member| member.name.as_str().cmp(name)).ok()?;
        self.live.get(at)
    }

    pub fn by_id(&self, id: u64) -> Option<&Arc<Member>> {
        let at = self.ids.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.live.get(self.ids.get(at)?.1)
    }

    /// The live members that do this, by name.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Arc<Member>> {
        self.live.iter().filter(move |member| member.role == role)
    }

    /// The members lost in the last minutes, by name.
    pub fn down(&self) -> &[Lost] {
        &self.down
    }

    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// The process that is taken for `member` in its place, because it claims the same name, address or id and was
    /// started later.
    pub fn rival_of(&self, member: &Member) -> Option<&Arc<Member>> {
        let is =
            |hidden: &Member| (hidden.id, &hidden.name, &hidden.address) == (member.id, &member.name, &member.address);
        self.conflicts.iter().find(|conflict| is(&conflict.hidden)).map(|conflict| &conflict.kept)
    }

    /// Of those that share an address or an id, the one that wins is listed. So a member that came back under another
    /// name takes the place of its old self before that one is found to be lost.
    ///
    /// `down`: since when, as time since the Unix epoch.
    pub(crate) fn new(
        live: Vec<Identity>,
        down: impl Iterator<Item = (Identity, Duration)>,
        rival: Option<Conflict>,
    ) -> Members {
        let mut conflicts: Vec<Conflict> = rival.into_iter().collect();
        let live = one_each(live, |member| member.address.clone(), &mut conflicts);
        let mut live = one_each(live, |member| member.id, &mut conflicts);
        live.sort_unstable_by(|a, b| a.member().name.cmp(&b.member().name));
        let live: Vec<Arc<Member>> = live.iter().map(|identity| identity.member().clone()).collect();
        let mut ids: Vec<(u64, usize)> = live.iter().enumerate().map(|(at, member)| (member.id, at)).collect();
        ids.sort_unstable();
        let mut down: Vec<Lost> = down
            .map(|(identity, since)| {
                let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
                Lost { member: identity.member().clone(), since }
            })
            .collect();
        down.sort_unstable_by(|a, b| a.member.name.cmp(&b.member.name));
        Members { live, down, conflicts, ids }
    }
}

fn one_each<K: std::hash::Hash + Eq>(
    identities: Vec<Identity>,
    key: impl Fn(&Member) -> K,
    conflicts: &mut Vec<Conflict>,
) -> Vec<Identity> {
    let mut kept: HashMap<K, Identity> = HashMap::with_capacity(identities.len());
    let mut hidden = Vec::new();
    for identity in identities {
        let key = key(identity.member());
        match kept.get_mut(&key) {
            Some(held) if identity.wins(held) => hidden.push((key, std::mem::replace(held, identity))),
            Some(_) => hidden.push((key, identity)),
            None => _ = kept.insert(key, identity),
        }
    }
    for (key, identity) in hidden {
        if let Some(winner) = kept.get(&key) {
            conflicts.push(Conflict { kept: winner.member().clone(), hidden: identity.member().clone() });
        }
    }
    kept.into_values().collect()
}

impl Conflict {
    /// What both claim, for people.
    pub fn claim(&self) -> &'static str {
        match (self.kept.name.cmp(&self.hidden.name), self.kept.address.cmp(&self.hidden.address)) {
            (Ordering::Equal, _) => "name",
            (_, Ordering::Equal) => "address",
            _ => "id",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(id: u64, name: &str, address: &str, role: Role, incarnation: u64) -> Identity {
        Identity::new(Member {
            id,
            name: name.to_owned(),
            role,
            zone: "a".to_owned(),
            address: address.to_owned(),
            version: "1".to_owned(),
            incarnation,
            draining: false,
        })
    }

    fn names<'a>(members: impl Iterator<Item = &'a Arc<Member>>) -> Vec<&'a str> {
        members.map(|member| member.name.as_str()).collect()
    }

    #[test]
    fn members_are_found_by_name_id_and_role() {
        let members = Members::new(
            vec![
                identity(3, "q", "h:1", Role::Querier, 1),
                identity(9, "b", "h:2", Role::Ingester, 1),
                identity(1, "a", "h:3", Role::Ingester, 1),
            ],
            [(identity(4, "gone", "h:4", Role::Ruler, 1), Duration::from_millis(5))].into_iter(),
            None,
        );
        assert_eq!(names(members.iter()), ["a", "b", "q"]);
        assert_eq!(names(members.of_role(Role::Ingester)), ["a", "b"]);
        assert_eq!(members.by_name("q").map(|member| member.id), Some(3));
        assert_eq!(members.by_id(9).map(|member| member.name.as_str()), Some("b"));
        assert_eq!((members.by_name("gone"), members.by_id(4)), (None, None));
        assert_eq!(members.down()[0].since, 5);
        let json = serde_json::to_value(&members).expect("JSON");
        assert_eq!(json["live"][0]["name"], "a");
        assert_eq!(json["down"][0]["member"]["name"], "gone");
        assert_eq!(json["ids"], serde_json::Value::Null);
    }

    #[test]
    fn the_later_of_two_at_one_address_or_with_one_id_counts() {
        let live = vec![
            identity(1, "old", "h:1", Role::Ingester, 1),
            identity(2, "new", "h:1", Role::Ingester, 2),
            identity(3, "copied", "h:3", Role::Ingester, 7),
            identity(3, "original", "h:4", Role::Ingester, 6),
        ];
        let members = Members::new(live, std::iter::empty(), None);
        assert_eq!(names(members.iter()), ["copied", "new"]);
        let mut claims: Vec<_> = members.conflicts().iter().map(|c| (c.claim(), c.hidden.name.as_str())).collect();
        claims.sort_unstable();
        assert_eq!(claims, [("address", "old"), ("id", "original")]);
        for conflict in members.conflicts() {
            assert_eq!(members.rival_of(&conflict.hidden), Some(&conflict.kept));
            assert_eq!(members.rival_of(&conflict.kept), None);
        }
    }
}
