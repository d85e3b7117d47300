//! A member as `foca` knows it: its encoded bytes, and what it shares with its former and later selves.

use crate::member::Member;
use model::Role;
use std::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of an encoded member, with room for what later versions append.
pub(crate) const LIMIT: usize = 360;
/// Above any clock, and far below where adding to it could wrap.
const INCARNATION_LIMIT: u64 = 1 << 62;
const DRAINING: u8 = 1;

/// A hash of a member's name: of ten thousand names two share one with a chance of 1 in 10^11. It is what `foca` calls
/// the address: one name is one member, whatever its id, host or port were before.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name(u64);

impl Name {
    /// One of `count` parts in which all names are.
    pub(crate) fn part(self, count: usize) -> usize {
        self.0 as usize % count
    }
}

/// Cheap to clone and to compare. Two are equal if their bytes are.
#[derive(Clone)]
pub(crate) struct Identity {
    name: Name,
    inner: Arc<Inner>,
}

struct Inner {
    member: Arc<Member>,
    /// As they came. A later version of Ouro may append fields: they stay, and are passed on.
    bytes: Box<[u8]>,
    digest: u64,
}

impl Identity {
    /// The member's texts must have been checked.
    pub(crate) fn new(member: Member) -> Identity {
        let bytes = encode(&member);
        Identity::of(member, bytes.into_boxed_slice())
    }

    /// None if the bytes are no member.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Identity> {
        Some(Identity::of(decode(bytes)?, bytes.into()))
    }

    fn of(member: Member, bytes: Box<[u8]>) -> Identity {
        let (name, digest) = (Name(xxh3_64(member.name.as_bytes())), xxh3_64(&bytes));
        Identity { name, inner: Arc::new(Inner { member: Arc::new(member), bytes, digest }) }
    }

    /// The same process with something new to say of itself, which wins over all that it said before, and over
    /// `floor`.
    pub(crate) fn renewed(&self, floor: u64, draining: bool) -> Identity {
        let incarnation = self.incarnation().max(floor).saturating_add(1).min(INCARNATION_LIMIT);
        Identity::new(Member { incarnation, draining, ..Member::clone(self.member()) })
    }

    pub(crate) fn name(&self) -> Name {
        self.name
    }

    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.inner.member
    }

    pub(crate) fn address(&self) -> &str {
        &self.inner.member.address
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.inner.member.incarnation
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.inner.bytes
    }

    /// Of the bytes.
    pub(crate) fn digest(&self) -> u64 {
        self.inner.digest
    }

    /// Which of two that claim one name, address or id counts: the same answer everywhere.
    pub(crate) fn wins(&self, other: &Identity) -> bool {
        let key = |identity: &Identity| (identity.incarnation(), identity.inner.member.id);
        key(self).cmp(&key(other)).then_with(|| self.bytes().cmp(other.bytes())).is_gt()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        self.name == other.name && (Arc::ptr_eq(&self.inner, &other.inner) || self.bytes() == other.bytes())
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Member { name, incarnation, .. } = &*self.inner.member;
        write!(f, "{name}@{incarnation}")
    }
}

impl foca::Identity for Identity {
    type Addr = Name;

    /// A new self is made by `Gossip` alone, after it has seen who holds the name.
    fn renew(&self) -> Option<Identity> {
        None
    }

    fn addr(&self) -> Name {
        self.name
    }

    fn win_addr_conflict(&self, adversary: &Identity) -> bool {
        self.wins(adversary)
    }
}

/// `id`, `incarnation` (8 bytes each, little-endian), role, flags (a byte each), then name, zone, address and version
/// (a byte with the length, and the text), then whatever a later version appends.
fn encode(member: &Member) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(96);
    bytes.extend(member.id.to_le_bytes());
    bytes.extend(member.incarnation.to_le_bytes());
    bytes.extend([role_byte(member.role), if member.draining { DRAINING } else { 0 }]);
    for text in [&member.name, &member.zone, &member.address, &member.version] {
        bytes.push(text.len() as u8);
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Member> {
    if bytes.len() > LIMIT {
        return None;
    }
    let (id, rest) = bytes.split_first_chunk()?;
    let (incarnation, rest) = rest.split_first_chunk()?;
    let ([role, flags], mut rest) = rest.split_first_chunk()?;
    let mut text = || {
        let (length, after) = rest.split_first()?;
        let (text, after) = after.split_at_checked(usize::from(*length))?;
        rest = after;
        std::str::from_utf8(text).ok().map(str::to_owned)
    };
    let member = Member {
        id: u64::from_le_bytes(*id),
        incarnation: u64::from_le_bytes(*incarnation),
        role: role_of(*role)?,
        draining: flags & DRAINING != 0,
        name: text()?,
        zone: text()?,
        address: text()?,
        version: text()?,
    };
    (member.incarnation <= INCARNATION_LIMIT && member.check().is_ok()).then_some(member)
}

fn role_byte(role: Role) -> u8 {
    match role {
        Role::Distributor => 1,
        Role::Ingester => 2,
        Role::Querier => 3,
        Role::Compactor => 4,
        Role::Ruler => 5,
    }
}

fn role_of(byte: u8) -> Option<Role> {
    Role::ALL.into_iter().find(|role| role_byte(*role) == byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{ADDRESS_LIMIT, NAME_LIMIT, VERSION_LIMIT, ZONE_LIMIT};

    fn member(name: &str, incarnation: u64) -> Member {
        Member {
            id: 7,
            name: name.to_owned(),
            role: Role::Ingester,
            zone: "a".to_owned(),
            address: "10.0.0.1:4100".to_owned(),
            version: "0.1.0".to_owned(),
            incarnation,
            draining: true,
        }
    }

    #[test]
    fn members_are_read_as_they_were_written() {
        for role in Role::ALL {
            let member = Member { role, ..member("ingester-0", 1_800_000_000_000) };
            let identity = Identity::new(member.clone());
            assert_eq!(Identity::decode(identity.bytes()).map(|read| read.member().clone()), Some(Arc::new(member)));
        }
        let address = format!("{}:4100", "h".repeat(ADDRESS_LIMIT - 5));
        let (zone, version) = ("z".repeat(ZONE_LIMIT), "v".repeat(VERSION_LIMIT));
        let longest = Identity::new(Member { address, zone, version, ..member(&"n".repeat(NAME_LIMIT), 1) });
        assert_eq!(longest.bytes().len(), 274);
        assert!(Identity::decode(longest.bytes()).is_some());
    }

    #[test]
    fn fields_of_a_later_version_are_kept() {
        let bytes = [encode(&member("a", 1)), b"more".to_vec()].concat();
        let identity = Identity::decode(&bytes).expect("a member");
        assert_eq!(identity.bytes(), bytes);
        assert_ne!(identity, Identity::new(member("a", 1)));
    }

    #[test]
    fn what_is_cut_short_or_out_of_bounds_is_no_member() {
        let bytes = encode(&member("a", 1));
        for cut in 0..bytes.len() {
            assert!(Identity::decode(&bytes[..cut]).is_none(), "{cut} bytes");
        }
        assert!(Identity::decode(&encode(&member("", 1))).is_none());
        assert!(Identity::decode(&encode(&member("a", u64::MAX))).is_none());
        assert!(Identity::decode(&[encode(&member("a", 1)), vec![0; LIMIT]].concat()).is_none());
        let mut role = bytes;
        role[16] = 9;
        assert!(Identity::decode(&role).is_none());
    }

    #[test]
    fn the_later_self_wins() {
        let (old, new) = (Identity::new(member("a", 1)), Identity::new(member("a", 2)));
        assert!(new.wins(&old) && !old.wins(&new) && !old.wins(&old.clone()));
        let renewed = old.renewed(5, false);
        assert_eq!((renewed.incarnation(), renewed.member().draining), (6, false));
        assert!(renewed.wins(&new));
        let twin = Identity::new(Member { id: 8, ..member("a", 1) });
        assert!(twin.wins(&old) && !old.wins(&twin));
    }
}
