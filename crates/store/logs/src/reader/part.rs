//! Rows of one stream and page, as they are kept: for queries that need some columns and no lines.

use super::group::Template;
use super::lines::{Lines, UTF8};
use crate::error::Error;
use model::{Coded, Labels, LogPage, Shape, TimeRange};
use std::ops::Range;

/// Rows that are handed over; see [`Pages::visit`](super::Pages::visit).
pub struct RowPart<'p, 'l> {
    labels: Labels,
    group: usize,
    /// Of the page.
    rows: Range<usize>,
    times: &'p [i64],
    lines: &'p mut Lines<'l>,
}

impl<'p, 'l> RowPart<'p, 'l> {
    pub(super) fn new(
        labels: Labels,
        group: usize,
        rows: Range<usize>,
        times: &'p [i64],
        range: TimeRange,
        lines: &'p mut Lines<'l>,
    ) -> Result<RowPart<'p, 'l>, Error> {
        if rows.end > times.len() || rows.end > lines.shapes().len() {
            return Err(Error::corrupt("a page has fewer rows than the index says"));
        }
        let local = &times[rows.clone()];
        if !local.is_sorted() {
            return Err(Error::corrupt("the rows of a stream are not in the order of their times"));
        }
        let inside = local.partition_point(|t| *t < range.min)..local.partition_point(|t| *t <= range.max);
        let rows = rows.start + inside.start..rows.start + inside.end.max(inside.start);
        Ok(RowPart { labels, group, rows, times, lines })
    }

    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The number of the row group.
    pub fn group(&self) -> usize {
        self.group
    }

    /// Within the range that was asked for; sorted.
    pub fn times(&self) -> &[i64] {
        &self.times[self.rows.clone()]
    }

    /// The shape of each row.
    pub fn shapes(&self) -> &[u32] {
        &self.lines.shapes()[self.rows.clone()]
    }

    pub fn shape(&self, number: u32) -> Result<Shape, Error> {
        let template = self.lines.template(number);
        template.ok_or(Error::Corrupt { why: "there is no such shape" })?.shape()
    }

    /// The values of a column.
    pub fn column(&mut self, column: u32) -> Result<Coded, Error> {
        self.lines.column(column, self.rows.clone())
    }

    /// The values of a column as numbers, if it has numbers only, as they are usually written; NaN where there is none.
    pub fn numbers(&mut self, column: u32) -> Result<Option<Vec<f64>>, Error> {
        self.lines.numbers(column, self.rows.clone())
    }

    /// Whether each value that is not a number as it is usually written passes a test; and whether that holds for the whole
    /// row group, or for the page only.
    pub fn check(&mut self, column: u32, test: &dyn Fn(&str) -> bool) -> Result<(bool, bool), Error> {
        self.lines.check(column, test)
    }

    /// The lines of some rows of this part, given in order. No row that was passed by can be asked for later.
    pub fn lines(&mut self, rows: &[usize]) -> Result<LogPage, Error> {
        let mut out = LogPage::new(self.labels.clone());
        let rows = rows.iter().map(|row| self.rows.start + row).filter(|row| *row < self.rows.end);
        self.lines.append_rows(rows, self.times, TimeRange::ALL, &[], &mut out)?;
        Ok(out)
    }
}

impl Template {
    fn shape(&self) -> Result<Shape, Error> {
        let text = |range: &Range<u32>| -> Result<String, Error> {
            let bytes = &self.text[range.start as usize..range.end as usize];
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| UTF8)
        };
        let slots = self.slots.iter().map(|(literal, column)| Ok((text(literal)?, *column)));
        Ok(Shape { slots: slots.collect::<Result<_, Error>>()?, end: text(&self.end)? })
    }
}
