//! Cuts the series of a query into runs of about equal work, for as many threads.
//!
//! Objects and heads have their series in one order, so a run is what lies between two label sets in all of them: its
//! pages are side by side, and one run after the other is what one thread would read.

use crate::error::QueryError;
use crate::segments::within;
use eval::source::SeriesIter;
use metrics::{Found, Merge};
use model::{Labels, Series, TimeRange};

/// A run of its own pays from so many samples on. Tests have fewer, and want runs too.
const SAMPLES: u64 = if cfg!(test) { 20 } else { 200_000 };
/// … or so many series.
const SERIES: usize = 2_000;

/// What was found in objects, with their names, oldest first.
pub type Objects = Vec<(Found, String)>;

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
        runs.push(run(parts, heads.drain(..count).collect(), range)?);
    }
    runs.push(run(found, heads, range)?);
    Ok(runs)
}

/// Takes away the series that come before some labels.
pub fn take_before(found: &mut Objects, bound: &Labels) -> Result<Objects, QueryError> {
    let take = |(rest, name): &mut (Found, String)| Ok((rest.take_before(bound).map_err(within(name))?, name.clone()));
    found.iter_mut().map(take).collect()
}

/// The labels with which all of up to `ways` runs but the first begin: those that cut the largest part into equal pieces.
pub fn bounds(found: &[(Found, String)], heads: &[Series], ways: usize) -> Result<Vec<Labels>, QueryError> {
    let samples: u64 = found.iter().map(|(found, _)| found.samples()).sum();
    let in_heads: usize = heads.iter().map(|series| series.times.len() + series.histograms.len()).sum();
    let largest = found.iter().max_by_key(|(found, _)| found.len()).filter(|(found, _)| found.len() > heads.len());
    let series = largest.map_or(heads.len(), |(found, _)| found.len());
    let worth = ((samples + in_heads as u64) / SAMPLES).max((series / SERIES) as u64);
    let runs = ways.min(series).min(worth.try_into().unwrap_or(ways)).max(1);
    let mut bounds = Vec::with_capacity(runs);
    for number in 1..runs {
        let at = series * number / runs;
        bounds.push(match largest {
            Some((found, name)) => found.labels(at).map_err(within(name))?,
            None => heads[at].labels(),
        });
    }
    Ok(bounds)
}

fn run<'a>(found: Objects, heads: Vec<Series>, range: TimeRange) -> Result<SeriesIter<'a>, QueryError> {
    let mut sources: Vec<SeriesIter<'a>> = Vec::with_capacity(found.len() + 1);
    for (found, name) in found.into_iter().filter(|(found, _)| !found.is_empty()) {
        let series = found.read(range).map_err(within(&name))?;
        sources.push(Box::new(series.map(move |series| series.map_err(|error| within(&name)(error).into()))));
    }
    sources.push(Box::new(heads.into_iter().map(Ok)));
    Ok(Box::new(Merge::new(sources)))
}
