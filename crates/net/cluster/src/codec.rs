//! How `foca`'s headers and updates are written: numbers big-endian, members with their length before them.
//!
//! Messages that this crate does not use (joining, feeds, custom broadcasts: see `gossip`) are not read either.

use crate::identity::{self, Identity};
use bytes::{Buf, BufMut};
use foca::{Header, Incarnation, Message, State};

/// What one member says of another: alive, suspect or down.
pub(crate) type Update = foca::Member<Identity>;

const ALIVE: u8 = 0;
const SUSPECT: u8 = 1;
const DOWN: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("malformed gossip")]
    Malformed,
    #[error("the packet has no room")]
    NoRoom,
    #[error("a message that is not used here")]
    Unused,
}

pub(crate) struct Codec;

impl foca::Codec<Identity> for Codec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Identity>, mut buf: impl BufMut) -> Result<(), CodecError> {
        let (kind, third, probe) = match &header.message {
            Message::Ping(probe) => (1, None, *probe),
            Message::Ack(probe) => (2, None, *probe),
            Message::PingReq { target, probe_number } => (3, Some(target), *probe_number),
            Message::IndirectPing { origin, probe_number } => (4, Some(origin), *probe_number),
            Message::IndirectAck { target, probe_number } => (5, Some(target), *probe_number),
            Message::ForwardedAck { origin, probe_number } => (6, Some(origin), *probe_number),
            Message::Gossip => (7, None, 0),
            Message::Announce | Message::Feed | Message::Broadcast | Message::TurnUndead => {
                return Err(CodecError::Unused);
            }
        };
        let members = [Some(&header.src), Some(&header.dst), third];
        let length: usize = members.iter().flatten().map(|member| 2 + member.bytes().len()).sum();
        room(&buf, length + 4)?;
        buf.put_u8(kind);
        buf.put_u8(probe);
        buf.put_u16(header.src_incarnation);
        members.into_iter().flatten().for_each(|member| put_identity(&mut buf, member));
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        let mut bytes = buf.chunk();
        let header = header(&mut bytes).ok_or(CodecError::Malformed)?;
        let read = buf.chunk().len() - bytes.len();
        buf.advance(read);
        Ok(header)
    }

    fn encode_member(&mut self, update: &Update, mut buf: impl BufMut) -> Result<(), CodecError> {
        room(&buf, update_length(update))?;
        put_update(&mut buf, update);
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Update, CodecError> {
        let mut bytes = buf.chunk();
        let update = raw_update(&mut bytes).and_then(update).ok_or(CodecError::Malformed)?;
        let read = buf.chunk().len() - bytes.len();
        buf.advance(read);
        Ok(update)
    }
}

fn room(buf: &impl BufMut, length: usize) -> Result<(), CodecError> {
    if buf.remaining_mut() < length { Err(CodecError::NoRoom) } else { Ok(()) }
}

pub(crate) fn put_identity(buf: &mut impl BufMut, identity: &Identity) {
    // `identity::LIMIT` is far below what two bytes hold.
    buf.put_u16(identity.bytes().len() as u16);
    buf.put_slice(identity.bytes());
}

/// Bytes of an update.
pub(crate) fn update_length(update: &Update) -> usize {
    2 + update.id().bytes().len() + 3
}

pub(crate) fn put_update(buf: &mut impl BufMut, update: &Update) {
    put_identity(buf, update.id());
    buf.put_u16(update.incarnation());
    buf.put_u8(match update.state() {
        State::Alive => ALIVE,
        State::Suspect => SUSPECT,
        State::Down => DOWN,
    });
}

/// The header that `bytes` begin with; they are left at what is after it.
pub(crate) fn header(bytes: &mut &[u8]) -> Option<Header<Identity>> {
    let [kind, probe_number] = take(bytes)?;
    let src_incarnation: Incarnation = u16::from_be_bytes(take(bytes)?);
    let (src, dst) = (identity(bytes)?, identity(bytes)?);
    let mut third = || identity(bytes);
    let message = match kind {
        1 => Message::Ping(probe_number),
        2 => Message::Ack(probe_number),
        3 => Message::PingReq { target: third()?, probe_number },
        4 => Message::IndirectPing { origin: third()?, probe_number },
        5 => Message::IndirectAck { target: third()?, probe_number },
        6 => Message::ForwardedAck { origin: third()?, probe_number },
        7 => Message::Gossip,
        _ => return None,
    };
    Some(Header { src, src_incarnation, dst, message })
}

pub(crate) fn identity(bytes: &mut &[u8]) -> Option<Identity> {
    let length = usize::from(u16::from_be_bytes(take(bytes)?));
    let (identity, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Identity::decode(identity)
}

/// The bytes of the update that `bytes` begin with, not looked at; `bytes` are left at what is after it.
pub(crate) fn raw_update<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
    if length > identity::LIMIT {
        return None;
    }
    let (update, rest) = bytes.split_at_checked(2 + length + 3)?;
    *bytes = rest;
    Some(update)
}

/// Whether an update that `raw_update` found is about a member that is down.
pub(crate) fn is_down(raw: &[u8]) -> bool {
    raw.last() == Some(&DOWN)
}

/// Reads what `raw_update` found.
pub(crate) fn update(mut raw: &[u8]) -> Option<Update> {
    let identity = identity(&mut raw)?;
    let incarnation = u16::from_be_bytes(take(&mut raw)?);
    let state = match take(&mut raw)? {
        [ALIVE] => State::Alive,
        [SUSPECT] => State::Suspect,
        [DOWN] => State::Down,
        _ => return None,
    };
    raw.is_empty().then(|| Update::new(identity, incarnation, state))
}

pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
