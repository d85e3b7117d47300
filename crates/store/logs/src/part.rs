//! Encodes one tenant's rows as its part of a segment, row group by row group.

use crate::error::Error;
use crate::frame::Compressor;
use crate::group::{self, Buffers, Workshop};
use crate::head::{BatchIndex, Names, Streams};
use crate::index::{DATA, FILTERS, INDEX, Index, TIMES};
use crate::reader::Reader;
use crate::rows::Rows;
use crate::settings::Settings;
use block::{MemorySections, Part};
use model::{LabelSets, Labels, Packed, TenantId, TimeRange};
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers and learned templates, used again for every row group and tenant of a flush or merge.
pub struct Encoder {
    pub rows: Rows,
    workshop: Workshop,
    compressor: Compressor,
}

/// Bodies over DATA, when logs compress well but not very well.
const USUAL_RATIO: u64 = 12;

/// An encoder that waits for the next flush or merge, with the templates that it learned.
static IDLE: Mutex<Option<Encoder>> = Mutex::new(None);

impl Encoder {
    fn new() -> Result<Encoder, Error> {
        Ok(Encoder { rows: Rows::default(), workshop: Workshop::new(), compressor: Compressor::new()? })
    }

    /// The idle encoder, or a new one.
    pub fn take() -> Result<Encoder, Error> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).take();
        idle.map_or_else(Encoder::new, Ok)
    }

    /// Leaves the encoder to whoever needs one next. Its buffers, as large as the largest row group, would outlive their use
    /// by minutes.
    pub fn leave(mut self) {
        self.rows = Rows::default();
        self.workshop.rest();
        *IDLE.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }

    /// Encodes the rows of these batches, which come in the order of the log.
    pub fn encode<'a>(
        &mut self,
        tenant: &TenantId,
        streams: &Streams,
        batches: impl Iterator<Item = &'a BatchIndex> + Clone,
        settings: &Settings,
    ) -> Result<Part, Error> {
        let bytes: u64 = batches.clone().map(|batch| u64::from(batch.body_len)).sum();
        let (labels, ranks) = sort(&streams.names())?;
        let mut building = Building::new(settings);
        building.index.streams = Arc::new(labels);
        let mut batches = batches.peekable();
        // Rooms that grow by doubling would be copied, and for a moment held twice. What is not used is never touched.
        building.buffers.data.reserve((bytes / USUAL_RATIO) as usize);
        while batches.peek().is_some() {
            let (mut bytes, mut rows) = (0u64, 0u64);
            let group: Vec<&BatchIndex> = std::iter::from_fn(|| {
                // At least one batch; then as long as the group stays within its size.
                let fits = |next: &&BatchIndex| {
                    bytes == 0 && rows == 0
                        || bytes + u64::from(next.body_len) <= settings.row_group.0
                            && rows + u64::from(next.rows) <= u64::from(settings.group_rows)
                };
                let next = batches.next_if(fits)?;
                bytes += u64::from(next.body_len);
                rows += u64::from(next.rows);
                Some(next)
            })
            .collect();
            self.rows.gather(group.into_iter(), streams, &ranks)?;
            building.add(self)?;
        }
        building.finish(tenant, self)
    }
}

/// A part as far as it is encoded.
pub struct Building {
    index: Index,
    buffers: Buffers,
    verify: bool,
}

impl Building {
    pub fn new(settings: &Settings) -> Building {
        let index = Index { page_rows: settings.page_rows.max(1), ..Index::default() };
        Building { index, buffers: Buffers::default(), verify: settings.verify }
    }

    /// The number of a stream, which comes after all that were named before, or is the last of them.
    pub fn stream(&mut self, labels: &Labels) -> Result<u32, Error> {
        let labels = labels.as_packed();
        if self.index.streams.last() != Some(labels) && !Arc::make_mut(&mut self.index.streams).push(labels) {
            return Err(too_many());
        }
        Ok(self.index.streams.len() as u32 - 1)
    }

    /// Adds the encoder's rows as a row group, if there are any.
    pub fn add(&mut self, encoder: &mut Encoder) -> Result<(), Error> {
        let Encoder { rows, workshop, compressor } = encoder;
        if rows.rows.is_empty() {
            return Ok(());
        }
        let before = self.buffers.lengths();
        let group = group::encode(rows, self.index.page_rows, workshop, compressor, &mut self.buffers)?;
        if self.verify {
            let (page_rows, streams) = (self.index.page_rows, self.index.streams.clone());
            let alone = Index { page_rows, streams, groups: vec![group.clone()] };
            Reader::from_index(alone, Arc::new(self.buffers.since(before)), before).compare(rows)?;
        }
        self.index.groups.push(group);
        Ok(())
    }

    /// Bytes of lines and metadata so far.
    pub fn raw_bytes(&self) -> u64 {
        self.index.groups.iter().map(|group| group.raw_bytes).sum()
    }

    /// Encoded bytes so far.
    pub fn bytes(&self) -> u64 {
        self.buffers.lengths().iter().sum()
    }

    pub fn finish(self, tenant: &TenantId, encoder: &mut Encoder) -> Result<Part, Error> {
        let Building { index, buffers, .. } = self;
        let raw_bytes = index.groups.iter().map(|group| group.raw_bytes).sum();
        let rows = index.groups.iter().map(|group| u64::from(group.rows)).sum();
        let times = index.groups.iter().fold(TimeRange::EMPTY, |all, group| all.union(group.times()));
        let encoded = index.encode(&mut encoder.compressor)?;
        let sections = [(INDEX, encoded), (TIMES, buffers.times), (DATA, buffers.data), (FILTERS, buffers.filters)];
        let sections = sections.into_iter().filter(|(_, data)| !data.is_empty());
        let sections = sections.map(|(kind, data)| (kind, data.into())).collect();
        Ok(Part { tenant: tenant.clone(), rows, raw_bytes, times, sections })
    }
}

impl Buffers {
    /// What was appended since the lengths were taken.
    fn since(&self, [data, times, filters]: [u64; 3]) -> MemorySections {
        let tail = |buffer: &[u8], start: u64| buffer[start as usize..].to_vec().into();
        MemorySections(vec![
            (DATA, tail(&self.data, data)),
            (TIMES, tail(&self.times, times)),
            (FILTERS, tail(&self.filters, filters)),
        ])
    }
}

/// The label sets in order, and for each stream number its place among them.
fn sort(names: &Names) -> Result<(LabelSets, Vec<u32>), Error> {
    let all: Vec<Packed<'_>> = names.iter().collect();
    let mut order: Vec<u32> = (0..all.len() as u32).collect();
    order.sort_unstable_by_key(|number| all[*number as usize]);
    let (mut sorted, mut ranks) = (LabelSets::default(), vec![0; all.len()]);
    for (rank, number) in order.into_iter().enumerate() {
        ranks[number as usize] = rank as u32;
        if !sorted.push(all[number as usize]) {
            return Err(too_many());
        }
    }
    Ok((sorted, ranks))
}

fn too_many() -> Error {
    Error::Encode { what: "the label sets of a part", why: "they have more than 4 GiB".to_owned() }
}
