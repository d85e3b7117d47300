//! The names of objects. None is ever used twice.

use model::{ShardId, Signal, TenantId};
use std::fmt;

/// The folders that hold segments and blocks.
pub const FOLDERS: [&str; 2] = ["segments", "blocks"];
/// The most bytes that a tenant has in a name: what a name tells apart is its epoch and serial number.
const MAX_TENANT: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// Of a shard's log entries with `after < index <= through`, written by the leader of a term.
    Segment { shard: ShardId, after: u64, through: u64, term: u64 },
    /// The serial number is that of the compactor which has the lease of this epoch. The tenant is as `folder` has it.
    Block { tenant: String, signal: Signal, epoch: u64, serial: u32 },
}

impl Name {
    pub fn block(tenant: &TenantId, signal: Signal, epoch: u64, serial: u32) -> Name {
        Name::Block { tenant: folder(tenant), signal, epoch, serial }
    }

    /// Reads a name back; `None` when it is not one of ours.
    pub fn parse(text: &str) -> Option<Name> {
        let parts: Vec<&str> = text.split('/').collect();
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        match parts[..] {
            ["segments", shard, file] => {
                let (signal, index) = shard.rsplit_once('-')?;
                let shard = ShardId::new(signal_of(signal)?, index.parse().ok()?);
                let mut numbers = file.strip_suffix(".seg")?.splitn(3, '-').map(hex);
                let (after, through, term) = (numbers.next()??, numbers.next()??, numbers.next()??);
                Some(Name::Segment { shard, after, through, term })
            }
            ["blocks", tenant, signal, file] => {
                let (epoch, serial) = file.strip_suffix(".blk")?.split_once('-')?;
                let (epoch, serial) = (hex(epoch)?, u32::from_str_radix(serial, 16).ok()?);
                Some(Name::Block { tenant: tenant.to_owned(), signal: signal_of(signal)?, epoch, serial })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Segment { shard, after, through, term } => {
                write!(f, "segments/{shard}/{after:016x}-{through:016x}-{term:x}.seg")
            }
            Name::Block { tenant, signal, epoch, serial } => {
                write!(f, "blocks/{tenant}/{signal}/{epoch:016x}-{serial:08x}.blk")
            }
        }
    }
}

fn signal_of(text: &str) -> Option<Signal> {
    [Signal::Logs, Signal::Metrics].into_iter().find(|signal| signal.name() == text)
}

/// The tenant as a part of a path: all but letters, digits, `-` and `_` as `=XX`, so that no store and no file system
/// reads anything into it; cut when it is long.
fn folder(tenant: &TenantId) -> String {
    let mut out = String::new();
    for byte in tenant.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            other => out.push_str(&format!("={other:02X}")),
        }
    }
    out.truncate(MAX_TENANT); // all of it is ASCII
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let shard = ShardId::new(Signal::Metrics, 12);
        let segment = Name::Segment { shard, after: 5, through: u64::MAX, term: 31 };
        assert_eq!(segment.to_string(), "segments/metrics-12/0000000000000005-ffffffffffffffff-1f.seg");
        let tenant = TenantId::new("Team_7-a.b*c'(d)!").expect("a name");
        let block = Name::block(&tenant, Signal::Logs, 10, 255);
        let want = "blocks/Team_7-a=2Eb=2Ac=27=28d=29=21/logs/000000000000000a-000000ff.blk";
        assert_eq!(block.to_string(), want);
        let long = Name::block(&TenantId::new(&"(".repeat(150)).expect("a name"), Signal::Logs, 1, 1);
        assert!(long.to_string().len() < 200, "a file name has at most 255 bytes");
        for name in [segment, block, long] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        for foreign in ["", "segments", "segments/logs-0/readme", "segments/traces-0/1-2-3.seg", "blocks/a/logs/1.blk"]
        {
            assert_eq!(Name::parse(foreign), None, "{foreign}");
        }
    }
}
