//! The frame of every packet, and the two kinds that bring members' whole lists together.
//!
//! A packet begins with a magic number, the version of the format, a hash of the cluster's name and its kind; so one
//! of another cluster or version is refused before anything in it is read.

use crate::codec::{self, Update};
use crate::identity::Identity;
use bytes::{BufMut, Bytes, BytesMut};
use foca::State;
use std::num::NonZeroUsize;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// The largest packet that is sent or read: it fits one frame of an Ethernet network with what is around it.
pub const PACKET_LIMIT: usize = 1_400;
/// What `foca` may put into one.
pub(crate) const BODY_LIMIT: NonZeroUsize =
    NonZeroUsize::new(PACKET_LIMIT - HEADER).expect("a packet is longer than its header");

const MAGIC: [u8; 2] = *b"Og";
const VERSION: u8 = 1;
const HEADER: usize = 12;

const SWIM: u8 = 1;
const PULL: u8 = 2;
const STATE: u8 = 3;

/// Of a list of members, in parts by their names, so that two members who nearly agree exchange little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Digest([u32; Digest::PARTS]);

impl Digest {
    pub(crate) const PARTS: usize = 32;

    /// The order in which members are added does not matter.
    pub(crate) fn add(&mut self, member: &Identity) {
        if let Some(part) = self.0.get_mut(Digest::part(member)) {
            *part = part.wrapping_add(member.digest() as u32);
        }
    }

    /// Whether the lists differ in the part where this member belongs.
    pub(crate) fn differs(&self, other: &Digest, member: &Identity) -> bool {
        let part = Digest::part(member);
        self.0.get(part) != other.0.get(part)
    }

    pub(crate) fn part(member: &Identity) -> usize {
        member.name().part(Digest::PARTS)
    }
}

/// Why a packet was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is no packet of Ouro's gossip, or was damaged.
    Malformed,
    /// It has another version.
    Version,
    /// It belongs to another cluster.
    Foreign,
}

pub(crate) enum Packet<'a> {
    /// Of `foca`: probes and what is told with them.
    Swim(&'a [u8]),
    /// Asks for what the receiver knows, as far as that is not what the sender knows.
    Pull(Pull),
    /// A part of what the sender knows.
    State { from: Identity, entries: Vec<RawEntry<'a>> },
}

pub(crate) struct Pull {
    pub(crate) from: Identity,
    /// Of the members that the sender takes for live.
    pub(crate) digest: Digest,
    /// It comes in answer to a pull, and is not answered by one.
    pub(crate) back: bool,
}

/// An update, and for a member that is down since when it is.
pub(crate) struct Entry {
    pub(crate) update: Update,
    pub(crate) age: Duration,
}

/// An entry as it came: most of them are known, and then need not be decoded.
pub(crate) struct RawEntry<'a> {
    /// See `codec::update`.
    pub(crate) update: &'a [u8],
    pub(crate) age: Duration,
}

/// Writes and reads the packets of one cluster.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    cluster: [u8; 8],
}

impl Frame {
    pub(crate) fn new(cluster: &str) -> Frame {
        Frame { cluster: xxh3_64(cluster.as_bytes()).to_be_bytes() }
    }

    pub(crate) fn swim(self, body: &[u8]) -> Bytes {
        let mut packet = self.begin(SWIM, body.len());
        packet.put_slice(body);
        packet.freeze()
    }

    pub(crate) fn pull(self, pull: &Pull) -> Bytes {
        let mut packet = self.begin(PULL, 2 + pull.from.bytes().len() + 4 * Digest::PARTS + 1);
        codec::put_identity(&mut packet, &pull.from);
        pull.digest.0.iter().for_each(|part| packet.put_u32(*part));
        packet.put_u8(pull.back.into());
        packet.freeze()
    }

    /// As many packets as it takes.
    pub(crate) fn state(self, from: &Identity, entries: &[Entry]) -> Vec<Bytes> {
        let mut packets = Vec::new();
        let mut packet = self.begin_state(from);
        for Entry { update, age } in entries {
            if packet.len() + codec::update_length(update) + 4 > PACKET_LIMIT {
                packets.push(std::mem::replace(&mut packet, self.begin_state(from)).freeze());
            }
            codec::put_update(&mut packet, update);
            if update.state() == State::Down {
                packet.put_u32(u32::try_from(age.as_millis()).unwrap_or(u32::MAX));
            }
        }
        packets.push(packet.freeze());
        packets
    }

    /// Reads a packet. Nothing of it is kept but what is in the answer, and that is no larger than the packet is.
    pub(crate) fn open(self, packet: &[u8]) -> Result<Packet<'_>, Refusal> {
        let Some((header, body)) = packet.split_first_chunk::<HEADER>() else { return Err(Refusal::Malformed) };
        let (magic, version, cluster, kind) = (&header[..2], header[2], &header[3..11], header[11]);
        if magic != MAGIC || packet.len() > PACKET_LIMIT {
            return Err(Refusal::Malformed);
        }
        if version != VERSION {
            return Err(Refusal::Version);
        }
        if cluster != self.cluster {
            return Err(Refusal::Foreign);
        }
        match kind {
            SWIM => Some(Packet::Swim(body)),
            PULL => open_pull(body).map(Packet::Pull),
            STATE => open_state(body),
            _ => None,
        }
        .ok_or(Refusal::Malformed)
    }

    fn begin(self, kind: u8, body: usize) -> BytesMut {
        let mut packet = BytesMut::with_capacity(HEADER + body);
        packet.put_slice(&MAGIC);
        packet.put_u8(VERSION);
        packet.put_slice(&self.cluster);
        packet.put_u8(kind);
        packet
    }

    fn begin_state(self, from: &Identity) -> BytesMut {
        let mut packet = self.begin(STATE, BODY_LIMIT.get());
        codec::put_identity(&mut packet, from);
        packet
    }
}

fn open_pull(mut body: &[u8]) -> Option<Pull> {
    let from = codec::identity(&mut body)?;
    let mut digest = Digest::default();
    for part in &mut digest.0 {
        *part = u32::from_be_bytes(codec::take(&mut body)?);
    }
    let [back] = codec::take(&mut body)?;
    body.is_empty().then_some(Pull { from, digest, back: back != 0 })
}

fn open_state(mut body: &[u8]) -> Option<Packet<'_>> {
    let from = codec::identity(&mut body)?;
    let mut entries = Vec::new();
    while !body.is_empty() {
        let update = codec::raw_update(&mut body)?;
        let age = match codec::is_down(update) {
            true => u32::from_be_bytes(codec::take(&mut body)?),
            false => 0,
        };
        entries.push(RawEntry { update, age: Duration::from_millis(age.into()) });
    }
    Some(Packet::State { from, entries })
}
