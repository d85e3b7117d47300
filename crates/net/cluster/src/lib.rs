//! Who the live members of a cluster are, by gossip.
//!
//! `Membership` is what a process uses: a handle, a task and a stream of packets to send. Inside it is `Gossip`, a state
//! machine without clock, socket or randomness of its own, which a simulation runs by the thousand. It is SWIM (Das et
//! al., 2002) with suspicion, as `foca` has it, and beside it an exchange of whole lists that `foca` lacks.
//!
//! # What it costs
//!
//! A member sends a probe and about one answer in each `probe_interval`, and a comparison in each `compare`: with 100
//! members and default settings about 210 small packets a second in the whole cluster, 2.1 from each member, however
//! many there are. While there are news a member also sends up to 15 packets a second with them, for about a second.
//! A packet has at most 1,400 bytes; one with a list of members has room for about 20 of them.

mod codec;
mod error;
mod gossip;
mod identity;
mod member;
mod members;
mod membership;
mod packet;
mod settings;
mod stats;

pub use error::Error;
pub use gossip::{Change, Gossip, Out};
pub use member::{ADDRESS_LIMIT, Member, NAME_LIMIT, VERSION_LIMIT, ZONE_LIMIT};
pub use members::{Conflict, Lost, Members};
pub use membership::{Driver, Membership, Outgoing};
pub use packet::PACKET_LIMIT;
pub use settings::{GossipSettings, Settings};
pub use stats::{Refused, Stats};
