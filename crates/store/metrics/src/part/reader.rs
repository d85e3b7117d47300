//! Reads one tenant's part of a segment.

use super::columns::{self, Column, Walk};
use super::directory::Directory;
use super::extras::Extras;
use super::frame;
use super::opened::{Buffers, Page, Vectors};
use super::section;
use super::times;
use crate::error::{Error, corrupt};
use crate::order::order;
use block::Sections;
use bytes::Bytes;
use hashbrown::HashMap;
use model::{Exemplar, Labels, Matcher, Metadata, Series, TimeRange};
use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::vec;

/// Rather than as two reads, pages with so many bytes between them are read as one.
const GAP: u64 = 16 << 10;
/// So many pages of time vectors are kept while a selection is read.
const TIMES_PAGES: usize = 32;

/// One tenant's samples in a segment. Holds the directory, and the columns of labels that were asked for; cheap to
/// keep, and safe to use from many threads.
pub struct Reader {
    sections: Arc<dyn Sections>,
    directory: Directory,
    columns: Vec<OnceLock<Arc<Column>>>,
    /// The frame of columns that was opened last: small ones share theirs.
    last_frame: Mutex<Option<(u32, Arc<Vec<u8>>)>>,
    /// Pages of time vectors that somebody uses now: the threads of a query have them in common.
    times: Mutex<HashMap<usize, Weak<TimesPage>>>,
    /// Offsets in their sections.
    frame_offsets: Vec<u64>,
    times_places: Vec<Place>,
    pages_places: Vec<Place>,
}

type TimesPage = Vec<Arc<[i64]>>;

/// Where something numbered is: its numbers and its bytes.
struct Place {
    numbers: Range<u32>,
    bytes: Range<u64>,
}

/// Places of things that lie one after the other.
fn places(all: impl Iterator<Item = (u32, u64)>) -> Result<Vec<Place>, Error> {
    let (mut number, mut offset) = (0u32, 0u64);
    let place = |(count, len): (u32, u64)| {
        let (from, at) = (number, offset);
        number = number.checked_add(count)?;
        offset = offset.checked_add(len)?;
        Some(Place { numbers: from..number, bytes: at..offset })
    };
    all.map(place).collect::<Option<_>>().ok_or(Error::Corrupt { why: "its lengths are too large" })
}

fn holder(places: &[Place], number: u32) -> Option<usize> {
    let at = places.partition_point(|place| place.numbers.end <= number);
    places.get(at).filter(|place| place.numbers.contains(&number)).map(|_| at)
}

impl Reader {
    /// About how many bytes are held once all labels were asked for, which are reckoned with three times their length in the
    /// part. [`Reader::memory_bytes`] says how many are now.
    pub fn held(&self) -> usize {
        let section = |kind| self.sections.len(kind).unwrap_or(0) as usize;
        3 * section(section::LABELS) + 4 * section(section::DIRECTORY)
    }

    /// Reads the directory.
    pub fn open(sections: Arc<dyn Sections>) -> Result<Reader, Error> {
        let len = sections.len(section::DIRECTORY).ok_or(Error::Corrupt { why: "it has no directory" })?;
        let directory = Directory::decode(&sections.read(section::DIRECTORY, 0..len)?)?;
        let frames = places(directory.frames.iter().map(|frame| (1, frame.len)))?;
        Ok(Reader {
            sections,
            columns: directory.columns.iter().map(|_| OnceLock::new()).collect(),
            last_frame: Mutex::default(),
            times: Mutex::default(),
            frame_offsets: frames.iter().map(|frame| frame.bytes.start).collect(),
            times_places: places(directory.times.iter().map(|page| (page.vectors, page.len)))?,
            pages_places: places(directory.pages.iter().map(|page| (page.series, page.len)))?,
            directory,
        })
    }

    /// Samples of either kind.
    pub fn rows(&self) -> u64 {
        self.directory.rows
    }

    pub fn series_count(&self) -> u64 {
        u64::from(self.directory.series)
    }

    /// What this takes in memory, for whoever keeps readers.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().filter_map(OnceLock::get).map(|column| column.memory_bytes()).sum();
        columns + 80 * (self.directory.pages.len() + self.directory.times.len()) + 96 * self.columns.len() + 512
    }

    /// Each series that meets all matchers and has samples within `range` (milliseconds), once, in the order of
    /// [`crate::order`].
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Select<&Reader>, Error> {
        Ok(Select::new(self, self.chosen(matchers)?, range))
    }

    /// Bytes that `find` takes for a while, at most.
    pub fn finding(&self) -> usize {
        size_of::<u32>() * self.directory.series as usize
    }

    /// Finds the series that meet all matchers, and reads none of their samples yet.
    pub fn find(self: &Arc<Reader>, matchers: &[Matcher]) -> Result<Found, Error> {
        Ok(Found { reader: self.clone(), numbers: self.chosen(matchers)? })
    }

    /// The labels of each series that meets all matchers and is in a page whose times meet `range`.
    pub fn series(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<Labels>, Error> {
        let chosen = self.chosen(matchers)?;
        let mut columns = self.all_columns()?;
        let meets =
            |series: &u32| self.page_of(*series).is_some_and(|page| self.directory.pages[page].times.overlaps(range));
        chosen.into_iter().filter(meets).map(|series| labels(&mut columns, series)).collect()
    }

    /// The sorted names of the labels that any series has.
    pub fn label_names(&self) -> Vec<String> {
        self.directory.columns.iter().map(|column| column.name.to_string()).collect()
    }

    /// The sorted values that a label has in this part.
    pub fn label_values(&self, name: &str) -> Result<Vec<String>, Error> {
        let Some(column) = self.column_named(name)? else { return Ok(Vec::new()) };
        Ok((1..=column.values() as u32).map(|number| column.value(number).to_owned()).collect())
    }

    pub fn metadata(&self) -> Result<Vec<Metadata>, Error> {
        Ok(self.extras()?.metadata)
    }

    /// The exemplars within `range` of the series that meet all matchers, sorted by time.
    pub fn exemplars(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<(Labels, Vec<Exemplar>)>, Error> {
        let extras = self.extras()?;
        if extras.exemplars.is_empty() {
            return Ok(Vec::new());
        }
        let (chosen, mut columns) = (self.chosen(matchers)?, self.all_columns()?);
        let mut all = Vec::new();
        for (series, mut exemplars) in extras.exemplars {
            exemplars.retain(|exemplar| range.contains(exemplar.time));
            if !exemplars.is_empty() && chosen.binary_search(&series).is_ok() {
                all.push((labels(&mut columns, series)?, exemplars));
            }
        }
        Ok(all)
    }

    /// How many bytes each kind of content takes, for looking at an encoding. Small labels share a frame, and are named
    /// together.
    pub fn sizes(&self) -> Vec<(String, u64)> {
        let section = |kind| self.sections.len(kind).unwrap_or(0);
        let mut sizes = vec![
            ("directory".to_owned(), section(section::DIRECTORY)),
            ("times".to_owned(), section(section::TIMES)),
            ("values".to_owned(), section(section::PAGES)),
            ("exemplars and metadata".to_owned(), section(section::EXTRAS)),
        ];
        for (at, frame) in self.directory.frames.iter().enumerate() {
            let within = self.directory.columns.iter().filter(|column| column.frame as usize == at);
            let names: Vec<&str> = within.map(|column| &*column.name).collect();
            sizes.push((format!("labels {}", names.join(", ")), frame.len));
        }
        sizes
    }

    /// Reads everything, and so compares every checksum.
    pub fn verify(&self) -> Result<(), Error> {
        let mut rows = 0;
        for series in self.select(&[], TimeRange::ALL)? {
            let series = series?;
            rows += (series.times.len() + series.histograms.len()) as u64;
        }
        self.extras()?;
        if rows == self.directory.rows { Ok(()) } else { corrupt("it does not have the samples that it says") }
    }

    fn extras(&self) -> Result<Extras, Error> {
        match self.sections.len(section::EXTRAS) {
            Some(len) => Extras::decode(&self.sections.read(section::EXTRAS, 0..len)?),
            None => Ok(Extras::default()),
        }
    }

    /// The page that has the first of these series, and how many of them it has.
    fn next_page(&self, series: &[u32]) -> Option<(usize, usize)> {
        let at = self.page_of(*series.first()?)?;
        let end = self.pages_places[at].numbers.end;
        Some((at, series.partition_point(|number| *number < end)))
    }

    fn page_of(&self, series: u32) -> Option<usize> {
        holder(&self.pages_places, series)
    }

    /// The series that meet all matchers, ascending.
    fn chosen(&self, matchers: &[Matcher]) -> Result<Vec<u32>, Error> {
        let mut conditions = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            let Some(column) = self.column_named(&matcher.name)? else {
                if matcher.matches_absent() {
                    continue;
                }
                return Ok(Vec::new());
            };
            let keep: Vec<bool> = match matcher.values() {
                // Values are sorted: few are looked up, all others need not be read.
                Some(values) => {
                    let mut keep = vec![false; column.values() + 1];
                    values.iter().filter_map(|value| column.find(value)).for_each(|at| keep[at as usize] = true);
                    keep
                }
                None => (0..=column.values() as u32).map(|number| matcher.matches(column.value(number))).collect(),
            };
            if !keep.contains(&true) {
                return Ok(Vec::new());
            }
            if !keep.contains(&false) {
                continue;
            }
            conditions.push((column, keep));
        }
        // Those that need not look at each series come first.
        conditions.sort_by_key(|(column, _)| column.is_dense());
        let filter = |chosen, (column, keep): &(Arc<Column>, Vec<bool>)| {
            Some(column.filter(chosen, self.directory.series, keep))
        };
        let chosen: Option<Vec<u32>> = conditions.iter().fold(None, filter);
        Ok(chosen.unwrap_or_else(|| (0..self.directory.series).collect()))
    }

    fn column_named(&self, name: &str) -> Result<Option<Arc<Column>>, Error> {
        let at = self.directory.columns.binary_search_by(|column| (*column.name).cmp(name));
        at.ok().map(|at| self.column(at)).transpose()
    }

    fn all_columns(&self) -> Result<Vec<Walk>, Error> {
        let all = (0..self.columns.len()).map(|at| self.column(at).map(Walk::along)).collect();
        // All of it is decoded now.
        *self.last_frame.lock().unwrap_or_else(PoisonError::into_inner) = None;
        all
    }

    fn column(&self, at: usize) -> Result<Arc<Column>, Error> {
        if let Some(column) = self.columns[at].get() {
            return Ok(column.clone());
        }
        let entry = &self.directory.columns[at];
        let frame = self.frame(entry.frame)?;
        let Some(data) = frame.get(entry.offset as usize..) else { return corrupt("a label has no column") };
        let column = Arc::new(Column::decode(entry.name.clone(), data, self.directory.series)?);
        Ok(self.columns[at].get_or_init(|| column).clone())
    }

    fn times_page(&self, at: usize) -> Result<Arc<TimesPage>, Error> {
        let used = || self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = used().get(&at).and_then(Weak::upgrade) {
            return Ok(page);
        }
        let entry = &self.directory.times[at];
        let data = self.sections.read(section::TIMES, self.times_places[at].bytes.clone())?;
        frame::check(&data, entry.crc)?;
        let page = Arc::new(times::decode(&data, entry.vectors)?);
        let mut used = used();
        used.retain(|_, page| page.strong_count() > 0);
        used.insert(at, Arc::downgrade(&page));
        Ok(page)
    }

    fn frame(&self, number: u32) -> Result<Arc<Vec<u8>>, Error> {
        let mut last = self.last_frame.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frame)) = last.as_ref().filter(|(known, _)| *known == number) {
            return Ok(frame.clone());
        }
        let at = number as usize;
        let (Some(entry), Some(&offset)) = (self.directory.frames.get(at), self.frame_offsets.get(at)) else {
            return corrupt("a label names an unknown frame");
        };
        let data = self.sections.read(section::LABELS, offset..offset + entry.len)?;
        let frame = Arc::new(columns::open_frame(&data, entry)?);
        // A large frame holds one column, which is kept decoded.
        *last = (frame.len() < SHARED_FRAME).then(|| (number, frame.clone()));
        Ok(frame)
    }
}

/// Larger frames than this are not kept.
const SHARED_FRAME: usize = 64 << 10;

fn labels(columns: &mut [Walk], series: u32) -> Result<Labels, Error> {
    Labels::from_sorted(columns.iter_mut().map(|column| column.label(series)))
        .ok_or(Error::Corrupt { why: "labels are not in order" })
}

/// Series of a part, in the order of [`crate::order`], of which no samples are read yet.
pub struct Found {
    reader: Arc<Reader>,
    numbers: Vec<u32>,
}

impl Found {
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// About how many samples the series have.
    pub fn samples(&self) -> u64 {
        self.reader.rows() / self.reader.series_count().max(1) * self.numbers.len() as u64
    }

    /// The labels of the series that has so many before it.
    pub fn labels(&self, at: usize) -> Result<Labels, Error> {
        labels(&mut self.reader.all_columns()?, self.numbers[at])
    }

    /// Takes away the series that come before these labels.
    pub fn take_before(&mut self, bound: &Labels) -> Result<Found, Error> {
        let mut columns = self.reader.all_columns()?;
        let mut failed = Ok(());
        let is_before = |series: &u32| match labels(&mut columns, *series) {
            Ok(labels) => order(&labels, bound).is_lt(),
            Err(error) => {
                failed = Err(error);
                false
            }
        };
        let count = self.numbers.partition_point(is_before);
        failed?;
        Ok(Found { reader: self.reader.clone(), numbers: self.numbers.drain(..count).collect() })
    }

    /// Reads those that have samples within `range` (milliseconds).
    pub fn read(self, range: TimeRange) -> Select<Arc<Reader>> {
        Select::new(self.reader, self.numbers, range)
    }

    /// Bytes that the list takes.
    pub fn held(&self) -> usize {
        size_of::<u32>() * self.numbers.capacity()
    }
}

/// Series by series; a page is read when its first series is asked for.
pub struct Select<R> {
    reader: R,
    range: TimeRange,
    /// The numbers of those that are in none of the pages so far.
    numbers: vec::IntoIter<u32>,
    current: Option<Current>,
    columns: Vec<Walk>,
    vectors: VectorCache<R>,
    /// Bytes of the pages section from an offset on.
    read: Option<(u64, Bytes)>,
    bytes_read: u64,
    buffers: Buffers,
    failed: bool,
}

/// The page that is read, and which of its series are still wanted.
struct Current {
    page: Page,
    first: u32,
    numbers: vec::IntoIter<u32>,
}

impl<R: Deref<Target = Reader> + Clone> Select<R> {
    fn new(reader: R, numbers: Vec<u32>, range: TimeRange) -> Select<R> {
        let vectors = VectorCache { reader: reader.clone(), pages: HashMap::new() };
        let (numbers, columns) = (numbers.into_iter(), Vec::new());
        Select {
            reader,
            range,
            numbers,
            current: None,
            columns,
            vectors,
            read: None,
            bytes_read: 0,
            buffers: Buffers::default(),
            failed: false,
        }
    }

    /// Bytes of pages of samples that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Bytes that are held for the series to come, the list of them aside.
    pub fn held(&self) -> usize {
        let read = self.read.as_ref().map_or(0, |(_, data)| data.len());
        read + self.vectors.held() + self.current.as_ref().map_or(0, |current| current.page.held())
    }

    fn next_of_page(&mut self) -> Result<Option<Series>, Error> {
        let Some(Current { page, first, numbers }) = &mut self.current else { return Ok(None) };
        for number in numbers {
            let mut series = page.series(number - *first, self.range, &mut self.vectors)?;
            if !series.is_empty() {
                series.labels = Some(labels(&mut self.columns, number)?);
                return Ok(Some(series));
            }
        }
        self.buffers = self.current.take().map(|current| current.page.into_buffers()).unwrap_or_default();
        Ok(None)
    }

    /// Opens the next page that has wanted series; false when there is none.
    fn open_next(&mut self) -> Result<bool, Error> {
        while let Some((at, count)) = self.reader.next_page(self.numbers.as_slice()) {
            let numbers = self.numbers.by_ref().take(count);
            let entry = self.reader.directory.pages[at];
            if !entry.times.overlaps(self.range) {
                numbers.for_each(drop);
                continue;
            }
            let numbers: Vec<u32> = numbers.collect();
            if self.columns.is_empty() {
                self.columns = self.reader.all_columns()?;
            }
            let data = self.page_bytes(at)?;
            frame::check(&data, entry.crc)?;
            let page = Page::open(&data, entry.series, std::mem::take(&mut self.buffers), &mut self.vectors)?;
            let first = self.reader.pages_places[at].numbers.start;
            self.current = Some(Current { page, first, numbers: numbers.into_iter() });
            return Ok(true);
        }
        Ok(false)
    }

    fn page_bytes(&mut self, page: usize) -> Result<Bytes, Error> {
        let own = self.reader.pages_places[page].bytes.clone();
        if let Some((offset, data)) = &self.read
            && *offset <= own.start
            && own.end <= *offset + data.len() as u64
        {
            return Ok(data.slice((own.start - offset) as usize..(own.end - offset) as usize));
        }
        // The bytes so far go before there are others.
        self.read = None;
        let end = self.worth_reading(&own);
        let data = self.reader.sections.read(section::PAGES, own.start..end)?;
        let page = data.slice(..(own.end - own.start) as usize);
        self.bytes_read += data.len() as u64;
        self.read = Some((own.start, data));
        Ok(page)
    }

    /// Where a read should end that begins with a page: pages that are side by side are read at once.
    fn worth_reading(&self, first: &Range<u64>) -> u64 {
        let (mut end, mut rest) = (first.end, self.numbers.as_slice());
        while let Some((at, count)) = self.reader.next_page(rest) {
            rest = &rest[count..];
            let next = &self.reader.pages_places[at].bytes;
            if next.start - end > GAP || next.end - first.start > self.reader.sections.stride() {
                break;
            }
            if self.reader.directory.pages[at].times.overlaps(self.range) {
                end = next.end;
            }
        }
        end
    }
}

impl<R: Deref<Target = Reader> + Clone> Iterator for Select<R> {
    type Item = Result<Series, Error>;

    fn next(&mut self) -> Option<Result<Series, Error>> {
        while !self.failed {
            let found = match self.next_of_page() {
                Ok(None) => self.open_next().map(|opened| (!opened).then_some(None)),
                other => other.map(Some),
            };
            match found {
                Ok(None) => {}
                Ok(Some(series)) => return series.map(Ok),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Time vectors, read page by page.
struct VectorCache<R> {
    reader: R,
    pages: HashMap<usize, Arc<TimesPage>>,
}

impl<R> VectorCache<R> {
    fn held(&self) -> usize {
        self.pages.values().flat_map(|page| page.iter()).map(|vector| size_of_val(&**vector)).sum()
    }
}

impl<R: Deref<Target = Reader>> Vectors for VectorCache<R> {
    fn get(&mut self, number: u32) -> Result<Arc<[i64]>, Error> {
        let places = &self.reader.times_places;
        let Some(at) = holder(places, number) else { return corrupt("a series names an unknown time vector") };
        let within = (number - places[at].numbers.start) as usize;
        if let Some(vector) = self.pages.get(&at).and_then(|page| page.get(within)) {
            return Ok(vector.clone());
        }
        if self.pages.len() >= TIMES_PAGES {
            self.pages.clear();
        }
        let vectors = self.reader.times_page(at)?;
        let found = vectors.get(within).cloned();
        self.pages.insert(at, vectors);
        found.ok_or(Error::Corrupt { why: "a series names an unknown time vector" })
    }
}
