//! The lines of a page, put together again from templates and columns.

use super::column::ColumnReader;
use super::group::{ChannelReader, Template};
use crate::column::relation::{Source, Term, UNITS};
use crate::error::Error;
use crate::frame;
use bytes::Bytes;
use memchr::memmem::Finder;
use model::{Coded, Labels, LogPage, TimeRange};
use std::ops::Range;
use std::sync::Arc;

/// One channel, turned to a page.
pub struct Channel<'a> {
    templates: &'a [Template],
    columns: &'a mut [ColumnReader],
    /// The template of each row of the page.
    rows: Vec<u32>,
    /// How many values of each column were passed, and in which row that was.
    passed: Vec<u32>,
    at: usize,
    times: Arc<Vec<i64>>,
    /// Of each column that was looked at by itself: a row, and how many values the rows before it have.
    starts: Vec<(usize, usize)>,
}

impl<'a> Channel<'a> {
    pub fn open(
        channel: &'a mut ChannelReader,
        times: &Arc<Vec<i64>>,
        rows: &[u8],
        frames: Vec<Bytes>,
    ) -> Result<Channel<'a>, Error> {
        let count = times.len();
        let mut ids = Vec::new();
        let data = if rows.is_empty() { &[][..] } else { frame::open(rows)? };
        let data = if channel.rows.has_pages() { data } else { &[] };
        channel.rows.page(data, count, &mut ids)?;
        let mut uses = vec![0u32; channel.templates.len()];
        let mut rows = Vec::with_capacity(count);
        for id in ids {
            let uses = usize::try_from(id).ok().and_then(|id| uses.get_mut(id));
            *uses.ok_or(Error::Corrupt { why: "a row has a template that its row group does not have" })? += 1;
            rows.push(id as u32);
        }
        let mut counts = vec![0usize; channel.columns.len()];
        for (template, uses) in channel.templates.iter().zip(uses) {
            for (_, column) in &template.slots {
                counts[*column as usize] += uses as usize;
            }
        }
        for ((column, frame), count) in channel.columns.iter_mut().zip(frames).zip(&counts) {
            column.turn(frame, *count);
        }
        let passed = vec![0; counts.len()];
        let (templates, columns) = (channel.templates.as_slice(), channel.columns.as_mut_slice());
        let starts = vec![(0, 0); counts.len()];
        Ok(Channel { templates, columns, rows, passed, at: 0, times: times.clone(), starts })
    }

    /// Decodes the page of a column, and those that it is derived from.
    #[cold]
    fn prepare(&mut self, column: usize) -> Result<(), Error> {
        let terms: Vec<Vec<Term>> = self.columns[column].terms().map(<[Term]>::to_vec).collect();
        self.columns[column].prepare()?;
        for (part, term) in terms.iter().enumerate().flat_map(|(part, terms)| terms.iter().map(move |t| (part, *t))) {
            match term.source {
                Source::Time(unit) => {
                    let unit = UNITS[usize::from(unit)];
                    let times: Vec<i64> = self.times_of(column).map(|time| time.div_euclid(unit)).collect();
                    self.columns[column].derive(part, times.into_iter(), term.negative)?;
                }
                Source::Number(number) => {
                    let (other, other_part) = (number as usize / 2, number as usize % 2);
                    let source = self.columns.get_mut(other).filter(|_| other != column);
                    let source =
                        source.ok_or(Error::Corrupt { why: "a column is derived from one that is not there" })?;
                    if source.terms().nth(other_part).is_none_or(|terms| !terms.is_empty()) {
                        return Err(Error::corrupt("a column is derived from one that is derived itself"));
                    }
                    source.prepare()?;
                    let values = source.numbers(other_part).to_vec();
                    self.columns[column].derive(part, values.into_iter(), term.negative)?;
                }
            }
        }
        self.columns[column].finish();
        Ok(())
    }

    /// The times of the rows in which a column has values.
    fn times_of(&self, column: usize) -> impl Iterator<Item = i64> {
        let uses = self.uses(column as u32);
        let rows = self.rows.iter().zip(self.times.iter());
        rows.flat_map(move |(id, time)| std::iter::repeat_n(*time, uses[*id as usize]))
    }

    /// Passes rows without making their text.
    fn skip_to(&mut self, row: usize) {
        if row == self.at {
            return;
        }
        let mut uses = vec![0u32; self.templates.len()];
        self.rows[self.at..row].iter().for_each(|id| uses[*id as usize] += 1);
        for (template, uses) in self.templates.iter().zip(uses).filter(|(_, uses)| *uses > 0) {
            template.slots.iter().for_each(|(_, column)| self.passed[*column as usize] += uses);
        }
        self.at = row;
    }

    /// The rows of the page that have a place of the pool in some column.
    fn rows_with(&mut self, place: i64) -> Result<Vec<usize>, Error> {
        let mut found = Vec::new();
        for at in (0..self.columns.len()).filter(|at| self.columns[*at].is_pooled()).collect::<Vec<_>>() {
            self.columns[at].prepare()?;
            let mut hits = self.columns[at].numbers(0).iter().enumerate().filter(|(_, n)| **n == place).map(|(v, _)| v);
            let Some(mut next) = hits.next() else { continue };
            let uses = self.uses(at as u32);
            let mut value = 0;
            'rows: for (row, id) in self.rows.iter().enumerate() {
                value += uses[*id as usize];
                while next < value {
                    found.push(row);
                    match hits.next() {
                        Some(hit) => next = hit,
                        None => break 'rows,
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    pub fn templates(&self) -> &[Template] {
        self.templates
    }

    /// The template of each row.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    pub fn column_mut(&mut self, column: u32) -> Result<&mut ColumnReader, Error> {
        self.columns.get_mut(column as usize).ok_or(Error::Corrupt { why: "there is no such column" })
    }

    /// A column whose page is decoded.
    pub fn column(&mut self, column: u32) -> Result<&ColumnReader, Error> {
        if !self.column_mut(column)?.is_ready() {
            self.prepare(column as usize)?;
        }
        Ok(&self.columns[column as usize])
    }

    /// How many values a row has in a column, by template.
    pub fn uses(&self, column: u32) -> Vec<usize> {
        self.templates.iter().map(|t| t.slots.iter().filter(|(_, c)| *c == column).count()).collect()
    }

    /// For each of the rows, the place of its first value in a column. Fastest when rows come in order.
    fn places(&mut self, column: u32, rows: Range<usize>) -> Vec<Option<usize>> {
        let uses = self.uses(column);
        let of = |row: &u32| uses[*row as usize];
        let (row, passed) = self.starts[column as usize];
        let (row, passed) = if row <= rows.start { (row, passed) } else { (0, 0) };
        let start = passed + self.rows[row..rows.start].iter().map(of).sum::<usize>();
        self.starts[column as usize] = (rows.start, start);
        let places = self.rows[rows].iter().scan(start, move |next, row| {
            let (place, uses) = (*next, of(row));
            *next += uses;
            Some((uses > 0).then_some(place))
        });
        places.collect()
    }

    /// Appends the text of the next row.
    fn append(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let template = &self.templates[self.rows[self.at] as usize];
        self.at += 1;
        for (literal, column) in &template.slots {
            out.extend_from_slice(&template.text[literal.start as usize..literal.end as usize]);
            let place = self.passed[*column as usize] as usize;
            self.passed[*column as usize] += 1;
            if !self.columns[*column as usize].is_ready() {
                self.prepare(*column as usize)?;
            }
            self.columns[*column as usize].append(place, out)?;
        }
        out.extend_from_slice(&template.text[template.end.start as usize..template.end.end as usize]);
        Ok(())
    }
}

/// Lines and metadata of a page, to be read in order.
pub struct Lines<'a> {
    lines: Channel<'a>,
    metadata: Option<Channel<'a>>,
    text: Vec<u8>,
    /// The only rows that are wanted, in order.
    only: Option<Vec<usize>>,
}

pub const UTF8: Error = Error::Corrupt { why: "a line is not UTF-8" };

impl<'a> Lines<'a> {
    pub fn new(channels: Vec<Channel<'a>>) -> Result<Lines<'a>, Error> {
        let mut channels = channels.into_iter();
        let lines = channels.next().ok_or(Error::Corrupt { why: "a row group has no lines" })?;
        Ok(Lines { lines, metadata: channels.next(), text: Vec::new(), only: None })
    }

    /// The shape of each row of the page.
    pub fn shapes(&self) -> &[u32] {
        &self.lines.rows
    }

    pub fn template(&self, number: u32) -> Option<&Template> {
        self.lines.templates.get(number as usize)
    }

    /// What some rows have in a column.
    pub fn column(&mut self, column: u32, rows: Range<usize>) -> Result<Coded, Error> {
        self.lines.column(column)?;
        let places = self.lines.places(column, rows);
        self.lines.column(column)?.coded(places)
    }

    /// What some rows have in a column, as numbers.
    pub fn numbers(&mut self, column: u32, rows: Range<usize>) -> Result<Option<Vec<f64>>, Error> {
        self.lines.column(column)?;
        let places = self.lines.places(column, rows);
        Ok(self.lines.column(column)?.decimals(places))
    }

    /// Whether each value of a column that is not a plain number passes a test; and whether that is so in all pages.
    pub fn check(&mut self, column: u32, test: &dyn Fn(&str) -> bool) -> Result<(bool, bool), Error> {
        if let Some(all) = self.lines.column_mut(column)?.check_group(test)? {
            return Ok((all, true));
        }
        Ok((self.lines.column(column)?.check_page(test)?, false))
    }

    /// From now on, only rows count that have this place of the pool in their lines.
    pub fn only_with(&mut self, place: i64) -> Result<(), Error> {
        self.only = Some(self.lines.rows_with(place)?);
        Ok(())
    }

    /// From now on, only rows count that may contain a text.
    pub fn only_containing(&mut self, finder: &Finder<'_>) -> Result<(), Error> {
        self.only = Some(self.lines.rows_containing(finder)?);
        Ok(())
    }

    /// Appends those of the rows that are in the range and contain what is looked for. Rows must come in order.
    pub fn append(
        &mut self,
        rows: Range<usize>,
        times: &[i64],
        range: TimeRange,
        finders: &[Finder<'_>],
        out: &mut LogPage,
    ) -> Result<(), Error> {
        if rows.end > times.len() || rows.end > self.lines.rows.len() {
            return Err(Error::corrupt("a page has fewer rows than the index says"));
        }
        let only = self.only.take();
        let result = match &only {
            None => self.append_rows(rows, times, range, finders, out),
            Some(only) => {
                let inside = only.iter().copied().filter(|row| rows.contains(row));
                self.append_rows(inside, times, range, finders, out)
            }
        };
        self.only = only;
        result
    }

    pub fn append_rows(
        &mut self,
        rows: impl Iterator<Item = usize>,
        times: &[i64],
        range: TimeRange,
        finders: &[Finder<'_>],
        out: &mut LogPage,
    ) -> Result<(), Error> {
        // Strings are checked once for all lines.
        let mut text = std::mem::take(&mut out.text).into_bytes();
        for row in rows {
            if !range.contains(times[row]) {
                continue;
            }
            self.lines.skip_to(row);
            let start = text.len();
            self.lines.append(&mut text)?;
            if !finders.iter().all(|finder| finder.find(&text[start..]).is_some()) {
                text.truncate(start);
                continue;
            }
            let end = u32::try_from(text.len()).map_err(|_| Error::Corrupt { why: "a page has more than 4 GiB" })?;
            if let Some(metadata) = &mut self.metadata {
                metadata.skip_to(row);
                self.text.clear();
                metadata.append(&mut self.text)?;
                let labels = crate::rows::parse(std::str::from_utf8(&self.text).map_err(|_| UTF8)?)?;
                if !labels.is_empty() && out.metadata.is_empty() {
                    out.metadata = vec![Labels::empty(); out.times.len()];
                }
                if !labels.is_empty() || !out.metadata.is_empty() {
                    out.metadata.push(labels);
                }
            }
            out.times.push(times[row]);
            out.ends.push(end);
        }
        // No line may end inside of a character.
        out.text = String::from_utf8(text).map_err(|_| UTF8)?;
        if out.ends.iter().any(|end| !out.text.is_char_boundary(*end as usize)) {
            return Err(UTF8);
        }
        Ok(())
    }
}
