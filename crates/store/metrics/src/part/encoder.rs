//! Writes one tenant's samples as a part of a segment.

use super::columns::ColumnsWriter;
use super::directory::Directory;
use super::extras::Extras;
use super::frame::Frames;
use super::numbers::Numbers;
use super::page::{PageEntry, PageWriter};
use super::section;
use super::times::TimesWriter;
use crate::error::Error;
use crate::order::order;
use crate::settings::Settings;
use block::Part;
use bytes::Bytes;
use model::{Exemplar, Labels, Metadata, Series, TenantId, TimeRange};
use std::cmp::Ordering;

/// What a sample takes before it is encoded: a time and a value.
const RAW_SAMPLE: u64 = 16;
/// A page that is this full ends with its metric.
const FULL_ENOUGH: usize = 2;

/// Takes series in the order of [`order`] and writes them page by page; in memory are the pages as they are written,
/// and what each series' labels are.
pub struct Encoder {
    settings: Settings,
    tools: Tools,
    page: PageWriter,
    times: TimesWriter,
    columns: ColumnsWriter,
    extras: Extras,
    pages: Vec<PageEntry>,
    bytes: Vec<u8>,
    last: Option<Labels>,
    series: u32,
    rows: u64,
    covered: TimeRange,
}

/// Compressors, which one part leaves to the next.
pub struct Tools {
    frames: Frames,
    numbers: Numbers,
}

impl Tools {
    pub fn new(settings: &Settings) -> Result<Tools, Error> {
        Ok(Tools { frames: Frames::new(settings.zstd_level)?, numbers: Numbers::new(settings.number_level) })
    }
}

impl Encoder {
    pub fn new(settings: &Settings) -> Result<Encoder, Error> {
        Ok(Encoder::with(Tools::new(settings)?, settings))
    }

    pub(crate) fn with(tools: Tools, settings: &Settings) -> Encoder {
        Encoder {
            settings: *settings,
            tools,
            page: PageWriter::default(),
            times: TimesWriter::default(),
            columns: ColumnsWriter::default(),
            extras: Extras::default(),
            pages: Vec::new(),
            bytes: Vec::new(),
            last: None,
            series: 0,
            rows: 0,
            covered: TimeRange::EMPTY,
        }
    }

    /// Adds a series and its exemplars. Series come in the order of [`order`], each once; samples are sorted.
    pub fn push(&mut self, series: &Series, exemplars: &[Exemplar]) -> Result<(), Error> {
        let labels = series.labels();
        if let Some(last) = &self.last {
            if order(last, &labels) != Ordering::Less {
                return Err(Error::Order { labels, before: last.clone() });
            }
            let ends = self.page.samples() >= self.settings.page_samples
                || (self.page.samples() >= self.settings.page_samples / FULL_ENOUGH
                    && last.metric_name() != labels.metric_name());
            if ends {
                self.flush()?;
            }
        }
        let Tools { frames, numbers } = &mut self.tools;
        let times = match &series.times[..] {
            [] => None,
            times => Some(self.times.number(times, frames, numbers)?),
        };
        let histogram_times = if series.histograms.is_empty() {
            None
        } else {
            let times: Vec<i64> = series.histograms.iter().map(|h| h.time).collect();
            Some(self.times.number(&times, frames, numbers)?)
        };
        self.page.push(series, times, histogram_times);
        for time in [series.times.first(), series.times.last()].into_iter().flatten() {
            self.covered.include(*time);
        }
        for sample in [series.histograms.first(), series.histograms.last()].into_iter().flatten() {
            self.covered.include(sample.time);
        }
        if !exemplars.is_empty() {
            let mut exemplars = exemplars.to_vec();
            exemplars.sort_by_key(|exemplar| exemplar.time);
            self.extras.exemplars.push((self.series, exemplars));
        }
        self.columns.push(&labels);
        self.last = Some(labels);
        self.series += 1;
        self.rows += (series.times.len() + series.histograms.len()) as u64;
        Ok(())
    }

    /// Adds what is known of a metric family.
    pub fn push_metadata(&mut self, metadata: Metadata) {
        self.extras.metadata.push(metadata);
    }

    /// What the samples so far take before they are encoded.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.rows * RAW_SAMPLE
    }

    /// Encoded bytes so far, without labels and the pages at hand.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.times.bytes.len()
    }

    fn flush(&mut self) -> Result<(), Error> {
        let Tools { frames, numbers } = &mut self.tools;
        self.pages.extend(self.page.flush(frames, numbers, &mut self.bytes)?);
        Ok(())
    }

    /// The part with everything that was pushed.
    pub fn finish(self, tenant: TenantId) -> Result<Part, Error> {
        self.finish_and_keep(tenant).map(|(part, _)| part)
    }

    pub(crate) fn finish_and_keep(mut self, tenant: TenantId) -> Result<(Part, Tools), Error> {
        self.flush()?;
        let Tools { frames, numbers } = &mut self.tools;
        self.times.flush(frames, numbers)?;
        let columns = self.columns.finish(frames)?;
        let directory = Directory {
            series: self.series,
            rows: self.rows,
            columns: columns.entries,
            frames: columns.frames,
            times: self.times.pages,
            pages: self.pages,
        };
        let mut sections = vec![(section::DIRECTORY, Bytes::from(directory.encode(frames)?))];
        let extras = if self.extras.is_empty() { Vec::new() } else { self.extras.encode(frames)? };
        let others = [
            (section::LABELS, columns.bytes),
            (section::TIMES, self.times.bytes),
            (section::PAGES, self.bytes),
            (section::EXTRAS, extras),
        ];
        sections
            .extend(others.into_iter().filter(|(_, data)| !data.is_empty()).map(|(kind, data)| (kind, data.into())));
        let part = Part { tenant, rows: self.rows, raw_bytes: self.rows * RAW_SAMPLE, times: self.covered, sections };
        Ok((part, self.tools))
    }
}
