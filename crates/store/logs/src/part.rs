//! Encodes one tenant's rows as its part of a segment, row group by row group.

use crate::error::Error;
use crate::frame::Compressor;
use crate::group::{self, Buffers, Workshop};
use crate::head::{BatchIndex, Streams};
use crate::index::{DATA, FILTERS, INDEX, Index, TIMES};
use crate::reader::Reader;
use crate::rows::Rows;
use crate::settings::Settings;
use block::{MemorySections, Part};
use model::{Labels, TenantId, TimeRange};
use std::sync::Arc;

/// Buffers and learned templates, used again for every row group and tenant.
pub struct Encoder {
    rows: Rows,
    workshop: Workshop,
    compressor: Compressor,
}

/// Bodies over DATA, when logs compress well but not very well.
const USUAL_RATIO: u64 = 12;

impl Encoder {
    pub fn new() -> Result<Encoder, Error> {
        Ok(Encoder { rows: Rows::default(), workshop: Workshop::new(), compressor: Compressor::new()? })
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
        let (labels, ranks) = sort(streams.labels());
        let mut index = Index { page_rows: settings.page_rows.max(1), streams: labels, groups: Vec::new() };
        let mut buffers = Buffers::default();
        let mut batches = batches.peekable();
        // Rooms that grow by doubling would be copied, and for a moment held twice. What is not used is never touched.
        buffers.data.reserve((bytes / USUAL_RATIO) as usize);
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
            if self.rows.rows.is_empty() {
                continue;
            }
            let before = buffers.lengths();
            let group =
                group::encode(&self.rows, index.page_rows, &mut self.workshop, &mut self.compressor, &mut buffers)?;
            if settings.verify {
                let alone =
                    Index { page_rows: index.page_rows, streams: index.streams.clone(), groups: vec![group.clone()] };
                Reader::from_index(alone, Arc::new(buffers.since(before)), before).compare(&self.rows)?;
            }
            index.groups.push(group);
        }
        let raw_bytes = index.groups.iter().map(|group| group.raw_bytes).sum();
        let rows = index.groups.iter().map(|group| u64::from(group.rows)).sum();
        let times = index.groups.iter().fold(TimeRange::EMPTY, |all, group| all.union(group.times()));
        let encoded = index.encode(&mut self.compressor)?;
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
fn sort(labels: &[Labels]) -> (Vec<Labels>, Vec<u32>) {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|a, b| labels[*a].cmp(&labels[*b]));
    let mut ranks = vec![0; labels.len()];
    for (rank, number) in order.iter().enumerate() {
        ranks[*number] = rank as u32;
    }
    (order.into_iter().map(|number| labels[number].clone()).collect(), ranks)
}
