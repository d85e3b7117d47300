//! Reads one tenant's part of a segment: selected rows, byte for byte as they came.

mod coded;
mod column;
mod group;
mod lines;
mod part;
mod search;

use crate::error::Error;
use crate::filter::{Probes, Verdict};
use crate::frame;
use crate::index::{FILTERS, Group, INDEX, Index};
use crate::rows::Rows;
use crate::selection::{Quota, Selection};
use block::Sections;
use bytes::Bytes;
use group::GroupReader;
use memchr::memmem::Finder;
use model::{Horizon, LabelSets, Labels, LogPage, Matcher, Packed, TimeRange};
pub use part::RowPart;
use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// An opened part. Cheap to clone; it holds the index and reads the rest when it is asked for.
#[derive(Clone)]
pub struct Reader(Arc<Inner>);

struct Inner {
    sections: Arc<dyn Sections>,
    index: Arc<Index>,
    /// Where the sections of DATA, TIMES and FILTERS begin, if they are cut out of larger ones.
    base: [u64; 3],
}

impl Reader {
    /// Reads the index.
    ///
    /// # Errors
    /// The index is damaged or of a newer version, or cannot be read.
    pub fn open(sections: Arc<dyn Sections>) -> Result<Reader, Error> {
        let len = sections.len(INDEX).ok_or(Error::Corrupt { why: "the part has no index" })?;
        let index = Index::decode(&sections.read(INDEX, 0..len)?)?;
        Ok(Reader(Arc::new(Inner { sections, index: Arc::new(index), base: [0; 3] })))
    }

    /// The same part, read in another way.
    pub fn through(&self, way: impl FnOnce(Arc<dyn Sections>) -> Arc<dyn Sections>) -> Reader {
        let Inner { sections, index, base } = &*self.0;
        Reader(Arc::new(Inner { sections: way(sections.clone()), index: index.clone(), base: *base }))
    }

    pub(crate) fn from_index(index: Index, sections: Arc<dyn Sections>, base: [u64; 3]) -> Reader {
        Reader(Arc::new(Inner { sections, index: Arc::new(index), base }))
    }

    /// About how many bytes are held.
    pub fn held(&self) -> usize {
        self.0.index.held()
    }

    /// All label sets, sorted.
    pub fn streams(&self) -> &LabelSets {
        &self.0.index.streams
    }

    pub fn rows(&self) -> u64 {
        self.0.index.groups.iter().map(|group| u64::from(group.rows)).sum()
    }

    /// The selected rows in the order in which they lie: row group by row group, one page a stream and page of the format.
    pub fn pages(&self, selection: &Selection) -> Pages {
        self.select(selection, (0..self.0.index.groups.len()).collect(), None)
    }

    /// The selected rows of some row groups, as `pages` gives them.
    pub fn pages_of(&self, selection: &Selection, groups: Range<usize>) -> Pages {
        let groups = groups.start..groups.end.min(self.0.index.groups.len());
        self.select(selection, groups.collect(), None)
    }

    /// How many rows each row group may have for a selection, for all that the index says.
    pub fn weigh(&self, selection: &Selection) -> Vec<u64> {
        let wanted = self.wanted(&selection.matchers);
        let of = |group: &Group| {
            let runs =
                group.runs.iter().filter(|run| wanted[run.stream as usize] && run.times.overlaps(selection.range));
            runs.map(|run| u64::from(run.rows)).sum()
        };
        self.0.index.groups.iter().map(of).collect()
    }

    pub(crate) fn index(&self) -> &Index {
        &self.0.index
    }

    /// The selected rows of one row group, by stream, then time.
    pub(crate) fn group(&self, group: usize, selection: &Selection) -> Pages {
        self.select(selection, vec![group], None)
    }

    /// The `limit` newest selected rows and, as it happens, others: row groups that cannot have any of them are not
    /// read. The row groups with the newest rows come first.
    pub fn newest(&self, selection: &Selection, limit: usize) -> Pages {
        self.ranked(selection, Quota::new(limit, true))
    }

    /// As `newest`, from the other end.
    pub fn oldest(&self, selection: &Selection, limit: usize) -> Pages {
        self.ranked(selection, Quota::new(limit, false))
    }

    /// The selected rows that are within the horizon when they are met. The row groups with the newest rows come first,
    /// or those with the oldest.
    pub fn within(&self, selection: &Selection, horizon: &Horizon) -> Pages {
        let order = self.order(&Quota::new(0, horizon.is_of_newest()));
        Pages { horizon: Some(horizon.clone()), ..self.select(selection, order, None) }
    }

    fn ranked(&self, selection: &Selection, quota: Quota) -> Pages {
        self.select(selection, self.order(&quota), Some(quota))
    }

    fn order(&self, quota: &Quota) -> Vec<usize> {
        let groups = &self.0.index.groups;
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by_cached_key(|group| quota.rank(groups[*group].times()));
        order
    }

    fn select(&self, selection: &Selection, order: Vec<usize>, quota: Option<Quota>) -> Pages {
        let mut probes = Probes::default();
        selection.contains.iter().for_each(|text| probes.add(text.as_bytes()));
        let finders = selection.contains.iter().map(|text| Finder::new(text.as_bytes()).into_owned()).collect();
        Pages {
            wanted: self.wanted(&selection.matchers),
            reader: self.clone(),
            range: selection.range,
            probes,
            finders,
            lines: selection.lines,
            order,
            next: 0,
            quota,
            horizon: None,
            current: None,
            ready: VecDeque::new(),
        }
    }

    /// The times of the selected rows by stream, without touching a line. `selection.contains` is not looked at.
    pub fn times(&self, selection: &Selection) -> impl Iterator<Item = Result<(Labels, Vec<i64>), Error>> + use<> {
        let pages = self.pages(&Selection { contains: Vec::new(), lines: false, ..selection.clone() });
        pages.map(|page| page.map(|page| (page.labels, page.times)))
    }

    /// The label sets that meet all matchers and have rows in row groups that overlap the range.
    pub fn series(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Labels> {
        self.each_series(matchers, range).map(Packed::to_labels).collect()
    }

    /// These, one after the other.
    pub fn each_series(&self, matchers: &[Matcher], range: TimeRange) -> impl Iterator<Item = Packed<'_>> {
        let mut present = vec![false; self.0.index.streams.len()];
        for run in self.0.index.groups.iter().flat_map(|group| &group.runs) {
            if run.times.overlaps(range) {
                present[run.stream as usize] = true;
            }
        }
        let streams = self.0.index.streams.iter().zip(present).filter(|(_, present)| *present);
        streams.map(|(labels, _)| labels).filter(|labels| Matcher::all(matchers, *labels))
    }

    /// Decodes everything.
    ///
    /// # Errors
    /// What does not decode, first of all.
    pub fn verify(&self) -> Result<(), Error> {
        let mut rows = 0;
        for page in self.pages(&Selection::all()) {
            rows += page?.len() as u64;
        }
        for group in &self.0.index.groups {
            self.0.filter(group.filter.clone())?;
        }
        if rows == self.rows() {
            Ok(())
        } else {
            Err(Error::corrupt("the pages have another number of rows than the index"))
        }
    }

    /// Compares the only row group with what it was encoded from.
    pub(crate) fn compare(&self, rows: &Rows) -> Result<(), Error> {
        let mut at = 0usize;
        for page in self.pages(&Selection::all()) {
            let page = page?;
            for place in 0..page.len() {
                let same = rows.rows.get(at).is_some_and(|row| {
                    let mut metadata = Vec::new();
                    crate::rows::render(page.metadata(place).unwrap_or(&Labels::empty()), &mut metadata);
                    row.time == page.times[place]
                        && rows.line(row) == page.line(place).as_bytes()
                        && rows.metadata(row) == metadata
                });
                if !same {
                    return Err(Error::Unfaithful { row: at as u64 });
                }
                at += 1;
            }
        }
        if at == rows.rows.len() { Ok(()) } else { Err(Error::Unfaithful { row: at as u64 }) }
    }

    fn wanted(&self, matchers: &[Matcher]) -> Vec<bool> {
        self.0.index.streams.iter().map(|labels| Matcher::all(matchers, labels)).collect()
    }
}

impl Inner {
    fn labels(&self, stream: u32) -> Result<Labels, Error> {
        let labels = self.index.streams.get(stream as usize).map(Packed::to_labels);
        labels.ok_or(Error::Corrupt { why: "there is no such stream" })
    }

    fn read(&self, kind: u8, range: Range<u64>) -> Result<Bytes, Error> {
        let base = match kind {
            crate::index::DATA => self.base[0],
            crate::index::TIMES => self.base[1],
            _ => self.base[2],
        };
        let range = match (range.start.checked_sub(base), range.end.checked_sub(base)) {
            (Some(start), Some(end)) => start..end,
            _ => return Err(Error::corrupt("a range begins before its section")),
        };
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        Ok(self.sections.read(kind, range)?)
    }

    /// The filter of a row group; empty when it has none.
    fn filter(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let frame = self.read(FILTERS, range)?;
        if frame.is_empty() {
            return Ok(frame);
        }
        let len = frame::open(&frame)?.len();
        Ok(frame.slice(..len))
    }
}

/// Texts shorter than this are in too many lines to be looked for before these are made.
const SHORT: usize = 3;

/// Reads page after page. After an error there are no more.
pub struct Pages {
    reader: Reader,
    wanted: Vec<bool>,
    range: TimeRange,
    probes: Probes,
    finders: Vec<Finder<'static>>,
    lines: bool,
    /// Row groups as they are read, and the place of the next one.
    order: Vec<usize>,
    next: usize,
    quota: Option<Quota>,
    horizon: Option<Horizon>,
    current: Option<Current>,
    ready: VecDeque<LogPage>,
}

/// Takes rows; see [`Pages::visit`].
type Take<'t> = &'t mut dyn FnMut(Taken<'_, '_>) -> ControlFlow<()>;

/// Rows that are handed over.
pub enum Taken<'p, 'l> {
    Page(LogPage),
    Part(RowPart<'p, 'l>),
}

/// A row group that is being read.
struct Current {
    group: usize,
    reader: Option<GroupReader>,
    /// Selected rows: stream, rows of the group.
    parts: Vec<(u32, Range<u32>)>,
    /// An id that the wanted rows have in a column of ids, and nowhere else.
    id: Option<u128>,
    page: usize,
}

impl Iterator for Pages {
    type Item = Result<LogPage, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(page) = self.ready.pop_front() {
                return Some(Ok(page));
            }
            match self.advance(None) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
    }
}

impl Pages {
    fn fail(&mut self, error: Error) -> Error {
        self.next = usize::MAX;
        self.current = None;
        error
    }

    /// Hands over the selected rows as they are kept, until `take` breaks off: the rows of a page of the format and stream
    /// at a time. What lines must contain, and how many are wanted, is not looked at; rows of row groups with structured
    /// metadata come as pages.
    pub fn visit(mut self, mut take: impl FnMut(Taken<'_, '_>) -> ControlFlow<()>) -> Result<(), Error> {
        self.finders.clear();
        self.quota = None;
        loop {
            while let Some(page) = self.ready.pop_front() {
                if take(Taken::Page(page)).is_break() {
                    return Ok(());
                }
            }
            if !self.advance(Some(&mut take))? {
                return Ok(());
            }
        }
    }

    /// Reads one page; false when there are no more. With `take`, rows without metadata go there instead of becoming pages.
    fn advance(&mut self, take: Option<Take<'_>>) -> Result<bool, Error> {
        let Some((group, page, parts)) = self.step()? else { return Ok(false) };
        let inner = self.reader.0.clone();
        let meta = &inner.index.groups[group];
        let range = self.reach();
        let Some(current) = self.current.as_mut() else { return Ok(false) };
        let reader = match current.reader.as_mut() {
            Some(reader) => reader,
            None => current.reader.insert(GroupReader::open(&inner, meta)?),
        };
        let place = match current.id {
            None => None,
            Some(id) => match reader.find(id) {
                Some(place) => Some(place),
                None => {
                    self.current = None; // the filter was wrong
                    return Ok(true);
                }
            },
        };
        let times = reader.times(&inner, page)?;
        let base = meta.page(page, inner.index.page_rows).start;
        // A stream may go on for many pages, of which few have rows of the time that is wanted.
        let quota = self.quota.as_ref();
        let is_wanted =
            |time: &i64| range.contains(*time) && quota.is_none_or(|quota| quota.needs(TimeRange::new(*time, *time)));
        let parts: Vec<_> = parts
            .into_iter()
            .filter(|(_, rows)| times[(rows.start - base) as usize..(rows.end - base) as usize].iter().any(is_wanted))
            .collect();
        if parts.is_empty() {
            return Ok(true);
        }
        if !self.lines && self.finders.is_empty() && !reader.has_metadata() {
            for (stream, rows) in parts {
                let mut out = LogPage::new(inner.labels(stream)?);
                let local = &times[(rows.start - base) as usize..(rows.end - base) as usize];
                out.times.extend(local.iter().filter(|time| range.contains(**time)));
                out.ends.resize(out.times.len(), 0);
                self.ready.push_back(out);
            }
            return Ok(true);
        }
        let apart = !reader.has_metadata();
        let mut lines = reader.lines(&inner, page, &times)?;
        if let Some(take) = take.filter(|_| apart) {
            for (stream, rows) in parts {
                let rows = (rows.start - base) as usize..(rows.end - base) as usize;
                let labels = inner.labels(stream)?;
                if take(Taken::Part(RowPart::new(labels, group, rows, &times, self.range, &mut lines)?)).is_break() {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let longest = self.finders.iter().map(|finder| (finder.needle().len(), finder)).max_by_key(|(len, _)| *len);
        match (place, longest) {
            (Some(place), _) => lines.only_with(place)?,
            (None, Some((SHORT.., longest))) => lines.only_containing(longest)?,
            (None, _) => {}
        }
        for (stream, rows) in parts {
            let mut out = LogPage::new(inner.labels(stream)?);
            let local = (rows.start - base) as usize..(rows.end - base) as usize;
            lines.append(local, &times, range, &self.finders, &mut out)?;
            if !out.is_empty() {
                if let Some(quota) = &mut self.quota {
                    out.times.iter().for_each(|time| quota.note(*time));
                }
                self.ready.push_back(out);
            }
        }
        Ok(true)
    }

    /// The times that are still of use.
    fn reach(&self) -> TimeRange {
        self.horizon.as_ref().map_or(self.range, |horizon| horizon.clip(self.range))
    }

    /// The next page with selected rows, as row group, page, and those rows by stream.
    #[allow(clippy::type_complexity)] // used twice, just above
    fn step(&mut self) -> Result<Option<(usize, usize, Vec<(u32, Range<u32>)>)>, Error> {
        let inner = self.reader.0.clone();
        let page_rows = inner.index.page_rows;
        loop {
            if let Some(current) = self.current.as_mut() {
                let group = &inner.index.groups[current.group];
                while current.page < group.pages.len() {
                    let page = current.page;
                    current.page += 1;
                    let rows = group.page(page, page_rows);
                    let overlaps = |part: &&(u32, Range<u32>)| part.1.start < rows.end && rows.start < part.1.end;
                    let clip =
                        |part: &(u32, Range<u32>)| (part.0, part.1.start.max(rows.start)..part.1.end.min(rows.end));
                    let parts: Vec<_> = current.parts.iter().filter(overlaps).map(clip).collect();
                    if !parts.is_empty() {
                        return Ok(Some((current.group, page, parts)));
                    }
                }
                self.current = None;
            }
            let Some(number) = self.order.get(self.next).copied() else { return Ok(None) };
            let group = &inner.index.groups[number];
            self.next += 1;
            let reach = self.reach();
            let mut parts = Vec::new();
            let mut start = 0u32;
            for run in &group.runs {
                let end = start + run.rows;
                let needed = self.quota.as_ref().is_none_or(|quota| quota.needs(run.times));
                if needed && self.wanted[run.stream as usize] && run.times.overlaps(reach) {
                    parts.push((run.stream, start..end));
                }
                start = end;
            }
            if parts.is_empty() {
                continue;
            }
            let mut id = None;
            if !self.probes.is_empty() {
                match self.probes.look_up(&inner.filter(group.filter.clone())?) {
                    Verdict::Absent => continue,
                    Verdict::Pooled(found) => id = Some(found),
                    Verdict::Possible => {}
                }
            }
            self.current = Some(Current { group: number, reader: None, parts, id, page: 0 });
        }
    }
}

impl Reader {
    /// How many bytes each kind of content takes, for looking at an encoding: sections, and columns by their first
    /// template's text before the slot.
    pub fn sizes(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut sizes = vec![("index".to_owned(), self.0.sections.len(INDEX).unwrap_or(0))];
        for group in &self.0.index.groups {
            sizes.extend(GroupReader::open(&self.0, group)?.sizes(&self.0)?);
        }
        Ok(sizes)
    }
}
