//! What is in an object, and how many bytes each part of it takes.

use crate::error::Error;
use block::{Meta, PartEntry, Sections, Segment, Source};
use model::{Signal, TenantId, TimeRange};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A segment or block.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    pub name: String,
    pub bytes: u64,
    pub signal: &'static str,
    pub origin: Origin,
    /// Unix milliseconds; of a block, those of the newest segment that went in.
    pub created: i64,
    pub rows: u64,
    /// What the rows took before encoding: bytes of lines and metadata, or 16 a sample.
    pub raw_bytes: u64,
    /// By tenant.
    pub parts: Vec<PartInspection>,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The entries of a shard's log with `after < index <= through`, by the leader of a term.
    Segment { shard: String, after: u64, through: u64, term: u64 },
    /// Other objects, under the compactor's lease of an epoch; of each shard, the last log index that went in.
    Block { level: u8, epoch: u64, flushed: Vec<(u32, u64)> },
}

/// One tenant's rows in an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartInspection {
    pub tenant: TenantId,
    pub rows: u64,
    pub raw_bytes: u64,
    pub bytes: u64,
    /// In the signal's unit: nanoseconds of logs, milliseconds of metrics. None without rows.
    pub times: Option<(i64, i64)>,
    /// Streams or series.
    pub series: u64,
    /// What takes its bytes, the largest first.
    pub contents: Vec<Content>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Content {
    pub what: String,
    pub bytes: u64,
}

/// Reads an object's directory, and of each tenant's rows what describes them. Blocks.
///
/// # Errors
/// The object cannot be read, is none of ours, or is damaged where it was looked at.
pub fn inspect(object: impl Source + 'static) -> Result<Inspection, Error> {
    let (name, bytes) = (object.name().to_owned(), object.size().map_err(block::Error::from)?);
    let segment = Segment::open(object)?;
    let directory = segment.directory();
    let (signal, created) = match &directory.meta {
        Meta::Segment(meta) => (meta.shard.signal, meta.created),
        Meta::Block(meta) => (meta.signal, meta.created),
    };
    let mut parts = Vec::with_capacity(directory.parts.len());
    for entry in &directory.parts {
        if let Some(sections) = segment.part(&entry.tenant) {
            parts.push(part(signal, entry, sections)?);
        }
    }
    Ok(Inspection {
        name,
        bytes,
        signal: signal.name(),
        origin: Origin::of(&directory.meta),
        created,
        rows: directory.parts.iter().map(|part| part.rows).sum(),
        raw_bytes: directory.parts.iter().map(|part| part.raw_bytes).sum(),
        parts,
    })
}

fn part(signal: Signal, entry: &PartEntry, sections: Arc<dyn Sections>) -> Result<PartInspection, Error> {
    let tenant = entry.tenant.clone();
    let (series, sizes) = match signal {
        Signal::Logs => {
            let read = || {
                let reader = logs::Reader::open(sections)?;
                Ok((reader.streams().len() as u64, reader.sizes()?))
            };
            read().map_err(|source| Error::Logs { tenant: tenant.clone(), source })?
        }
        Signal::Metrics => {
            let reader = metrics::Reader::open(sections);
            let reader = reader.map_err(|source| Error::Metrics { tenant: tenant.clone(), source })?;
            (reader.series_count(), reader.sizes())
        }
    };
    let TimeRange { min, max } = entry.times;
    Ok(PartInspection {
        tenant,
        rows: entry.rows,
        raw_bytes: entry.raw_bytes,
        bytes: entry.sections.iter().map(|section| section.len).sum(),
        times: (min <= max).then_some((min, max)),
        series,
        contents: added_up(sizes),
    })
}

/// What has one name, together; the largest first.
fn added_up(sizes: Vec<(String, u64)>) -> Vec<Content> {
    let mut by_name: HashMap<String, u64> = HashMap::new();
    for (what, bytes) in sizes {
        *by_name.entry(what).or_default() += bytes;
    }
    let mut contents: Vec<Content> = by_name.into_iter().map(|(what, bytes)| Content { what, bytes }).collect();
    contents.retain(|content| content.bytes > 0);
    contents.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.what.cmp(&b.what)));
    contents
}

impl Origin {
    pub fn of(meta: &Meta) -> Origin {
        match meta {
            Meta::Segment(meta) => Origin::Segment {
                shard: meta.shard.to_string(),
                after: meta.after,
                through: meta.through,
                term: meta.term,
            },
            Meta::Block(meta) => Origin::Block { level: meta.level, epoch: meta.epoch, flushed: meta.flushed.clone() },
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Segment { shard, after, through, term } => {
                write!(f, "a segment of shard {shard}, log entries {}..={through}, term {term}", after + 1)
            }
            Origin::Block { level, epoch, flushed } => {
                let of: Vec<String> =
                    flushed.iter().map(|(shard, through)| format!("shard {shard} up to entry {through}")).collect();
                write!(f, "a block of level {level}, epoch {epoch}, of {}", of.join(", "))
            }
        }
    }
}
