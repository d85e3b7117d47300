//! Makes one part of a tenant out of several: rows by stream, then time; ties in the order of the inputs.
//!
//! Every row group of every input is a sorted source. In memory are one page of each source that has begun and not
//! ended, one row group that is being gathered, and the encoded part.

use crate::error::Error;
use crate::index::Group;
use crate::part::{Building, Encoder};
use crate::reader::{Pages, Reader};
use crate::selection::Selection;
use crate::settings::Settings;
use block::Part;
use model::{Labels, LogPage, Packed, TenantId, TimeRange};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A part ends when it takes so many bytes, however well or badly its lines compress.
const MAX_ENCODED: u64 = 128 << 20;

/// Takes rows out of a page that are not to be kept.
pub type Keep = Box<dyn Fn(LogPage) -> LogPage + Send>;

/// The parts that a merge makes, each encoded when it is asked for. After an error there are no more.
pub struct Merge {
    tenant: TenantId,
    settings: Settings,
    part_bytes: u64,
    range: TimeRange,
    keep: Option<Keep>,
    sources: Vec<Source>,
    /// Sources by the stream that comes next in them, the least first; and those in the stream that is being merged, by time.
    by_stream: BinaryHeap<Reverse<(Labels, usize)>>,
    by_time: BinaryHeap<Reverse<(i64, usize)>>,
    stream: Option<Labels>,
    encoder: Option<Encoder>,
}

/// A row group of an input.
struct Source {
    reader: Reader,
    group: usize,
    pages: Option<Pages>,
    page: LogPage,
    at: usize,
}

impl Merge {
    /// `inputs` come oldest first; rows outside of the range are dropped. A part has about `part_bytes` of raw rows at most.
    pub fn new(
        tenant: TenantId,
        inputs: &[Reader],
        range: TimeRange,
        part_bytes: u64,
        settings: &Settings,
    ) -> Result<Merge, Error> {
        let (mut sources, mut by_stream) = (Vec::new(), BinaryHeap::new());
        for reader in inputs {
            for (number, group) in reader.index().groups.iter().enumerate() {
                if let Some(first) = first_stream(reader, group, range) {
                    by_stream.push(Reverse((first, sources.len())));
                    sources.push(Source::new(reader.clone(), number));
                }
            }
        }
        Ok(Merge {
            tenant,
            settings: settings.clone(),
            part_bytes,
            range,
            keep: None,
            sources,
            by_stream,
            by_time: BinaryHeap::new(),
            stream: None,
            encoder: Some(Encoder::take()?),
        })
    }

    /// Every page goes through `keep` before it is merged.
    pub fn keeping(mut self, keep: Keep) -> Merge {
        self.keep = Some(keep);
        self
    }

    fn part(&mut self, encoder: &mut Encoder) -> Result<Option<Part>, Error> {
        let mut building = Building::new(&self.settings);
        let mut goes_on = true;
        while goes_on && building.raw_bytes() < self.part_bytes && building.bytes() < MAX_ENCODED {
            encoder.rows.clear();
            goes_on = self.gather(encoder, &mut building)?;
            building.add(encoder)?;
        }
        let part = building.finish(&self.tenant, encoder)?;
        Ok((part.rows > 0).then_some(part))
    }

    /// Gathers a row group; false when there are no more rows after it.
    fn gather(&mut self, encoder: &mut Encoder, building: &mut Building) -> Result<bool, Error> {
        let (max_bytes, max_rows) = (self.settings.row_group.as_usize(), self.settings.group_rows as usize);
        while !encoder.rows.is_full(max_bytes, max_rows) {
            let Some(Reverse((_, number))) = self.by_time.pop() else {
                if self.next_stream()? {
                    continue;
                }
                return Ok(false);
            };
            let Some(labels) = &self.stream else { return Ok(false) };
            let source = &mut self.sources[number];
            let end = source.end_before(number, self.by_time.peek().map(|Reverse(next)| *next));
            let stream = building.stream(labels)?;
            source.at += encoder.rows.append(stream, &source.page, source.at..end, max_bytes, max_rows);
            self.put_back(number)?;
        }
        Ok(true)
    }

    /// Begins the next stream; false when there is none.
    fn next_stream(&mut self) -> Result<bool, Error> {
        let Some(Reverse((labels, _))) = self.by_stream.peek() else { return Ok(false) };
        let labels = labels.clone();
        if self.stream.as_ref().is_some_and(|last| *last >= labels) {
            return Err(Error::corrupt("streams are not in order"));
        }
        self.stream = Some(labels.clone());
        while self.by_stream.peek().is_some_and(|Reverse((next, _))| *next == labels) {
            let Some(Reverse((_, number))) = self.by_stream.pop() else { break };
            self.put_back(number)?;
        }
        Ok(true)
    }

    /// Puts a source where its next row belongs.
    fn put_back(&mut self, number: usize) -> Result<(), Error> {
        let source = &mut self.sources[number];
        if !source.load(self.range, self.keep.as_ref())? {
            source.page = LogPage::new(Labels::empty());
            source.pages = None;
        } else if self.stream.as_ref() == Some(&source.page.labels) {
            self.by_time.push(Reverse((source.page.times[source.at], number)));
        } else {
            self.by_stream.push(Reverse((source.page.labels.clone(), number)));
        }
        Ok(())
    }
}

/// The first stream of a row group that has rows within the range.
fn first_stream(reader: &Reader, group: &Group, range: TimeRange) -> Option<Labels> {
    let run = group.runs.iter().find(|run| run.times.overlaps(range))?;
    reader.streams().get(run.stream as usize).map(Packed::to_labels)
}

impl Source {
    fn new(reader: Reader, group: usize) -> Source {
        Source { reader, group, pages: None, page: LogPage::new(Labels::empty()), at: 0 }
    }

    /// Makes sure that there is a next row; false when there is none.
    fn load(&mut self, range: TimeRange, keep: Option<&Keep>) -> Result<bool, Error> {
        let pages =
            self.pages.get_or_insert_with(|| self.reader.group(self.group, &Selection { range, ..Selection::all() }));
        while self.at >= self.page.len() {
            match pages.next() {
                Some(page) => {
                    self.page = match keep {
                        Some(keep) => keep(page?),
                        None => page?,
                    };
                    self.at = 0;
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Up to where the rows of the page come before the next row of the other sources; past at least one.
    fn end_before(&self, number: usize, other: Option<(i64, usize)>) -> usize {
        let Some(other) = other else { return self.page.len() };
        let before = self.page.times[self.at..].partition_point(|time| (*time, number) < other);
        self.at + before.max(1)
    }
}

impl Iterator for Merge {
    type Item = Result<Part, Error>;

    fn next(&mut self) -> Option<Result<Part, Error>> {
        let mut encoder = self.encoder.take()?;
        match self.part(&mut encoder) {
            Ok(part) => {
                self.encoder = Some(encoder);
                part.map(Ok)
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl Drop for Merge {
    fn drop(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            encoder.leave();
        }
    }
}
