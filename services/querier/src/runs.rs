//! Cuts the series of a query into runs of about equal work, for as many threads.
//!
//! Objects and heads have their series in one order, so a run is what lies between two label sets in all of them: its
//! pages are side by side, and one run after the other is what one thread would read.

use crate::error::QueryError;
use crate::reading::{Charge, Reading};
use crate::segments::within;
use eval::source::{SeriesIter, SourceError};
use metrics::{Found, Merge, Reader};
use model::{Labels, Matcher, Series, TimeRange};
use std::sync::Arc;

/// A run of its own pays from so many samples on. Tests have fewer, and want runs too.
const SAMPLES: u64 = if cfg!(test) { 20 } else { 200_000 };
/// … or so many series.
const SERIES: usize = 2_000;

/// Series that were found in an object, and what is held for them.
pub struct Object {
    found: Found,
    name: String,
    charge: Charge,
}

/// Oldest first.
pub type Objects = Vec<Object>;

impl Object {
    /// Finds the series that meet all matchers. What that takes is charged to `reading`.
    pub fn find(
        reader: &Arc<Reader>,
        name: &str,
        matchers: &[Matcher],
        reading: &Arc<Reading>,
    ) -> Result<Object, QueryError> {
        let mut charge = reading.charge();
        charge.set(reader.finding())?;
        let found = reader.find(matchers).map_err(within(name))?;
        charge.set(found.held())?;
        Ok(Object { found, name: name.to_owned(), charge })
    }

    fn take_before(&mut self, bound: &Labels) -> Result<Object, QueryError> {
        let found = self.found.take_before(bound).map_err(within(&self.name))?;
        let mut charge = self.charge.another();
        charge.set(found.held())?;
        self.charge.set(self.found.held())?;
        Ok(Object { found, name: self.name.clone(), charge })
    }

    fn read(self, range: TimeRange) -> impl Iterator<Item = Result<Series, SourceError>> {
        let Object { found, name, mut charge } = self;
        let list = found.held();
        let (mut series, mut counted) = (Some(found.read(range)), 0);
        std::iter::from_fn(move || {
            let rest = series.as_mut()?;
            let next = rest.next().map(|next| next.map_err(within(&name)));
            charge.reading().count(rest.bytes_read() - counted);
            counted = rest.bytes_read();
            let next = next.map(|next| charge.set(list + rest.held()).and(next));
            if !matches!(next, Some(Ok(_))) {
                series = None;
                charge.release();
            }
            next.map(|next| Ok(next?))
        })
    }
}

/// Up to `ways` runs of what was found in objects and the series of heads, in order.
pub fn split<'a>(
    mut found: Objects,
    mut heads: Vec<Series>,
    range: TimeRange,
    ways: usize,
) -> Result<Vec<SeriesIter<'a>>, QueryError> {
    let mut runs = Vec::new();
    for bound in bounds(&found, &heads, ways)? {
        let parts = take_before(&mut found, &bound)?;
        let count = heads.partition_point(|series| metrics::order(&series.labels(), &bound).is_lt());
        runs.push(run(parts, heads.drain(..count).collect(), range));
    }
    runs.push(run(found, heads, range));
    Ok(runs)
}

/// Takes away the series that come before some labels.
pub fn take_before(found: &mut Objects, bound: &Labels) -> Result<Objects, QueryError> {
    found.iter_mut().map(|object| object.take_before(bound)).collect()
}

/// The labels with which all of up to `ways` runs but the first begin: those that cut the largest part into equal pieces.
pub fn bounds(found: &[Object], heads: &[Series], ways: usize) -> Result<Vec<Labels>, QueryError> {
    let samples: u64 = found.iter().map(|object| object.found.samples()).sum();
    let in_heads: usize = heads.iter().map(|series| series.times.len() + series.histograms.len()).sum();
    let largest = found.iter().max_by_key(|object| object.found.len());
    let largest = largest.filter(|object| object.found.len() > heads.len());
    let series = largest.map_or(heads.len(), |object| object.found.len());
    let worth = ((samples + in_heads as u64) / SAMPLES).max((series / SERIES) as u64);
    let runs = ways.min(series).min(worth.try_into().unwrap_or(ways)).max(1);
    let mut bounds = Vec::with_capacity(runs);
    for number in 1..runs {
        let at = series * number / runs;
        bounds.push(match largest {
            Some(object) => object.found.labels(at).map_err(within(&object.name))?,
            None => heads[at].labels(),
        });
    }
    Ok(bounds)
}

fn run<'a>(found: Objects, heads: Vec<Series>, range: TimeRange) -> SeriesIter<'a> {
    let mut sources: Vec<SeriesIter<'a>> = Vec::with_capacity(found.len() + 1);
    for object in found.into_iter().filter(|object| !object.found.is_empty()) {
        sources.push(Box::new(object.read(range)));
    }
    sources.push(Box::new(heads.into_iter().map(Ok)));
    Box::new(Merge::new(sources))
}
