//! Whether an object is whole: all of it is read, decoded and compared with its checksums.

use crate::error::Error;
use crate::inspect::Origin;
use block::{Meta, PartEntry, Segment, Source};
use catalog::Name;
use model::Signal;

/// An object that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub bytes: u64,
    pub rows: u64,
    pub tenants: usize,
}

/// Reads an object as a whole. `name` is that within the bucket, if it is known. Blocks.
///
/// # Errors
/// What is wrong first: it cannot be read, does not decode, has other rows than it says, or another name than it should.
pub fn verify(object: impl Source + 'static, name: Option<&str>) -> Result<Verified, Error> {
    let bytes = object.size().map_err(block::Error::from)?;
    let segment = Segment::open(object)?;
    let directory = segment.directory();
    if let Some(name) = name {
        check_name(name, &directory.meta)?;
    }
    let signal = match &directory.meta {
        Meta::Segment(meta) => meta.shard.signal,
        Meta::Block(meta) => meta.signal,
    };
    for entry in &directory.parts {
        check_part(&segment, signal, entry)?;
    }
    let rows = directory.parts.iter().map(|part| part.rows).sum();
    Ok(Verified { bytes, rows, tenants: directory.parts.len() })
}

fn check_part(segment: &Segment, signal: Signal, entry: &PartEntry) -> Result<(), Error> {
    let tenant = &entry.tenant;
    let Some(sections) = segment.part(tenant) else { return Ok(()) };
    let found = match signal {
        Signal::Logs => {
            let check = || {
                let reader = logs::Reader::open(sections)?;
                reader.verify()?;
                Ok(reader.rows())
            };
            check().map_err(|source| Error::Logs { tenant: tenant.clone(), source })?
        }
        Signal::Metrics => {
            let check = || {
                let reader = metrics::Reader::open(sections)?;
                reader.verify()?;
                Ok(reader.rows())
            };
            check().map_err(|source| Error::Metrics { tenant: tenant.clone(), source })?
        }
    };
    if found == entry.rows { Ok(()) } else { Err(Error::Rows { tenant: tenant.clone(), rows: entry.rows, found }) }
}

/// Whether an object has the name that its contents should have.
fn check_name(name: &str, meta: &Meta) -> Result<(), Error> {
    let fits = match (Name::parse(name), meta) {
        (Some(Name::Segment { shard, after, through, term }), Meta::Segment(own)) => {
            (shard, after, through, term) == (own.shard, own.after, own.through, own.term)
        }
        (Some(Name::Block { signal, epoch, .. }), Meta::Block(own)) => (signal, epoch) == (own.signal, own.epoch),
        _ => false,
    };
    if fits { Ok(()) } else { Err(Error::Name { name: name.to_owned(), is: Origin::of(meta).to_string() }) }
}
