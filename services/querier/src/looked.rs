//! What a query looked at, for the statistics of its answer.

use crate::reading::Reading;
use eval::source::{Rows, Said, SourceError, Visit};
use model::{LogPage, Series};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts rows on their way from the store to the engine.
#[derive(Debug, Default)]
pub struct Looked {
    lines: AtomicU64,
    bytes: AtomicU64,
    pages: AtomicU64,
    samples: AtomicU64,
    series: AtomicU64,
}

impl Looked {
    pub fn at_page(&self, page: &Result<LogPage, SourceError>) {
        if let Ok(page) = page {
            self.at_lines(page);
        }
    }

    /// Of rows that are kept taken apart, no lines are made: they have no bytes here.
    pub fn at_rows(&self, rows: &Rows<'_>) {
        match rows {
            Rows::Lines(page) => self.at_lines(page),
            Rows::Shredded(part) => {
                add(&self.pages, 1);
                add(&self.lines, part.times().len());
            }
        }
    }

    /// Hands rows on, counted, until the query should end.
    pub fn counting<'a>(&'a self, visit: Visit<'a>, reading: &'a Reading) -> Visit<'a> {
        Box::new(move |take| {
            let mut ended = Ok(());
            visit(&mut |rows| {
                ended = reading.check();
                if ended.is_err() {
                    return ControlFlow::Break(());
                }
                self.at_rows(&rows);
                take(rows)
            })?;
            Ok(ended?)
        })
    }

    /// What others looked at.
    pub fn at_others(&self, said: &Said) {
        for (count, more) in [(&self.pages, said.pages), (&self.lines, said.lines), (&self.bytes, said.bytes)] {
            count.fetch_add(more, Relaxed);
        }
    }

    fn at_lines(&self, page: &LogPage) {
        add(&self.pages, 1);
        add(&self.lines, page.len());
        add(&self.bytes, page.text.len() + page.metadata.iter().map(|m| m.packed().len()).sum::<usize>());
    }

    pub fn at_series(&self, series: &Result<Series, SourceError>) {
        if let Ok(series) = series {
            add(&self.series, 1);
            add(&self.samples, series.times.len() + series.histograms.len());
        }
    }

    /// Log lines that the engine was given.
    pub fn lines(&self) -> u64 {
        self.lines.load(Relaxed)
    }

    /// The bytes of these lines and of their structured metadata.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// The pages in which lines came, one stream each.
    pub fn pages(&self) -> u64 {
        self.pages.load(Relaxed)
    }

    /// Samples that the engine was given; one that two selectors match counts twice.
    pub fn samples(&self) -> u64 {
        self.samples.load(Relaxed)
    }

    pub fn series(&self) -> u64 {
        self.series.load(Relaxed)
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Relaxed);
}
