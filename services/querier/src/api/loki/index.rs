//! How much there is: streams, entries and bytes of a selector, by label and by time.
//!
//! Entries are counted. Their bytes are estimated, so that a question about a month does not read a month: the mean
//! length of a stream's lines comes from the newest ones, and where those have none of the stream, from all of them.

use crate::api::json;
use crate::api::loki::read::{Answered, Read, failure, respond, selector};
use crate::api::loki_json;
use crate::engine::Context;
use crate::error::QueryError;
use axum::response::Response;
use eval::source::{LogSelection, Order, PageSource};
use model::{Labels, Matcher, TimeRange};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// The lines whose lengths stand for those of all.
const SAMPLE: usize = 2000;
const DEFAULT_VOLUMES: usize = 100;

/// The mean length of lines, in bytes.
#[derive(Default)]
struct Lengths {
    all: Mean,
    by_stream: HashMap<Labels, Mean>,
}

#[derive(Default, Clone, Copy)]
struct Mean {
    bytes: u64,
    lines: u64,
}

impl Mean {
    fn add(&mut self, bytes: usize, lines: usize) {
        self.bytes += bytes as u64;
        self.lines += lines as u64;
    }

    fn of(self, lines: u64) -> f64 {
        if self.lines == 0 { 0.0 } else { self.bytes as f64 / self.lines as f64 * lines as f64 }
    }
}

impl Lengths {
    fn sample(context: &Context, matchers: &[Matcher], range: TimeRange) -> Result<Lengths, QueryError> {
        let mut lengths = Lengths::default();
        each_page(context, matchers, range, Some(SAMPLE), |labels, _, bytes, lines| {
            lengths.all.add(bytes, lines);
            lengths.by_stream.entry(labels.clone()).or_default().add(bytes, lines);
        })?;
        Ok(lengths)
    }

    fn bytes(&self, stream: &Labels, lines: u64) -> f64 {
        self.by_stream.get(stream).unwrap_or(&self.all).of(lines)
    }
}

/// Calls `each` with the labels, times, bytes of lines, and number of lines of every page; without a `sample`, bytes are
/// not known.
fn each_page(
    context: &Context,
    matchers: &[Matcher],
    range: TimeRange,
    sample: Option<usize>,
    mut each: impl FnMut(&Labels, &[i64], usize, usize),
) -> Result<(), QueryError> {
    let selection = LogSelection {
        matchers: matchers.to_vec(),
        range,
        contains: Vec::new(),
        lines: sample.is_some(),
        order: Order::Backward,
        limit: sample,
        horizon: None,
    };
    let from_source = |e: eval::source::SourceError| QueryError::new(e.reason, e.text);
    let mut left = sample.unwrap_or(usize::MAX);
    for page in PageSource::select(&context.rows, &selection).map_err(from_source)? {
        // Newer segments come first, and each gives as many lines as the sample has.
        if left == 0 {
            break;
        }
        if (context.cancelled)() {
            return Err(QueryError::new(model::Reason::Timeout, "the query was cancelled"));
        }
        let mut page = page.map_err(from_source)?;
        left = left.saturating_sub(page.len());
        if page.times.iter().any(|time| !range.contains(*time)) {
            let inside: Vec<usize> = (0..page.len()).filter(|row| range.contains(page.times[*row])).collect();
            let lines = if sample.is_some() { &inside[..] } else { &[] };
            let bytes = lines.iter().map(|row| page.line(*row).len()).sum();
            page.times = inside.iter().map(|row| page.times[*row]).collect();
            each(&page.labels, &page.times, bytes, inside.len());
        } else {
            each(&page.labels, &page.times, page.text.len(), page.len());
        }
    }
    Ok(())
}

pub async fn stats(read: Read) -> Response {
    match answer_stats(&read).await {
        Ok((text, warnings)) => loki_json::bare(text, &warnings),
        Err(error) => failure(&error),
    }
}

async fn answer_stats(read: &Read) -> Result<Answered, QueryError> {
    let (start, end) = read.range()?;
    let matchers = selector(read.params.get("query").unwrap_or(""))?;
    read.run(move |context| {
        let range = TimeRange::new(start, end.saturating_sub(1));
        let mut streams: HashMap<Labels, u64> = HashMap::new();
        let mut pages = 0u64;
        each_page(context, &matchers, range, None, |labels, times, _, _| {
            if !times.is_empty() {
                pages += 1;
                *streams.entry(labels.clone()).or_default() += times.len() as u64;
            }
        })?;
        let lengths = Lengths::sample(context, &matchers, range)?;
        let entries: u64 = streams.values().sum();
        let bytes: f64 = streams.iter().map(|(stream, lines)| lengths.bytes(stream, *lines)).sum();
        let (streams, bytes) = (streams.len(), bytes.round() as u64);
        Ok(format!("{{\"streams\":{streams},\"chunks\":{pages},\"entries\":{entries},\"bytes\":{bytes}}}"))
    })
    .await
}

/// How the volumes of streams are put together.
struct Grouping {
    /// Labels by which; empty means by those of the selector.
    targets: Vec<String>,
    /// By the labels' names alone, not their values.
    by_name: bool,
    limit: usize,
}

impl Grouping {
    fn of(read: &Read, matchers: &[Matcher]) -> Result<Grouping, QueryError> {
        let by_name = match read.params.get("aggregateBy").unwrap_or("series") {
            "series" => false,
            "labels" => true,
            other => {
                return Err(QueryError::bad(format!("invalid aggregation option {other:?}: it is series or labels")));
            }
        };
        let named = read.params.get("targetLabels").unwrap_or("").split(',').map(str::trim).filter(|n| !n.is_empty());
        let mut targets: Vec<String> = named.map(str::to_owned).collect();
        if targets.is_empty() {
            targets = matchers.iter().map(|m| m.name.clone()).collect();
        }
        targets.sort();
        targets.dedup();
        let limit = match read.params.get("limit") {
            None => DEFAULT_VOLUMES,
            Some(_) => read.limit(u32::MAX)?,
        };
        Ok(Grouping { targets, by_name, limit })
    }

    /// What a stream counts for.
    fn groups(&self, stream: &Labels) -> Vec<Vec<(String, String)>> {
        let has = self.targets.iter().filter_map(|name| Some((name.clone(), stream.get(name)?.to_owned())));
        if self.by_name {
            return has.map(|(name, _)| vec![(name, String::new())]).collect();
        }
        let group: Vec<_> = has.collect();
        if group.is_empty() { Vec::new() } else { vec![group] }
    }
}

/// A group's bytes at each step.
type Volumes = Vec<(Vec<(String, String)>, BTreeMap<usize, f64>)>;

/// The largest groups, largest first.
fn volumes(
    context: &Context,
    matchers: &[Matcher],
    range: TimeRange,
    grouping: &Grouping,
    step_of: impl Fn(i64) -> usize,
) -> Result<Volumes, QueryError> {
    let mut counts: HashMap<Labels, BTreeMap<usize, u64>> = HashMap::new();
    each_page(context, matchers, range, None, |labels, times, _, _| {
        let counts = counts.entry(labels.clone()).or_default();
        times.iter().for_each(|time| *counts.entry(step_of(*time)).or_default() += 1);
    })?;
    let lengths = Lengths::sample(context, matchers, range)?;
    let mut groups: HashMap<Vec<(String, String)>, BTreeMap<usize, f64>> = HashMap::new();
    for (stream, steps) in &counts {
        for group in grouping.groups(stream) {
            let sums = groups.entry(group).or_default();
            steps.iter().for_each(|(step, lines)| *sums.entry(*step).or_default() += lengths.bytes(stream, *lines));
        }
    }
    let mut sorted: Volumes = groups.into_iter().filter(|(_, steps)| !steps.is_empty()).collect();
    sorted.sort_by_cached_key(|(group, steps)| (Reverse(steps.values().sum::<f64>().round() as u64), group.clone()));
    sorted.truncate(grouping.limit);
    Ok(sorted)
}

fn group_labels(out: &mut String, group: &[(String, String)]) {
    out.push_str("{\"metric\":{");
    for (at, (name, value)) in group.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::string(out, name);
        out.push(':');
        json::string(out, value);
    }
    out.push('}');
}

pub async fn volume(read: Read) -> Response {
    respond(answer_volume(&read).await)
}

async fn answer_volume(read: &Read) -> Result<Answered, QueryError> {
    let (start, end) = read.range()?;
    let matchers = selector(read.params.get("query").unwrap_or(""))?;
    let grouping = Grouping::of(read, &matchers)?;
    read.run(move |context| {
        let range = TimeRange::new(start, end.saturating_sub(1));
        let found = volumes(context, &matchers, range, &grouping, |_| 0)?;
        let mut out = String::from("{\"resultType\":\"vector\",\"result\":");
        json::list(&mut out, &found, |out, (group, steps)| {
            group_labels(out, group);
            out.push_str(",\"value\":");
            json::point(out, end / 1_000_000, steps.values().sum::<f64>().round());
            out.push('}');
        });
        out.push('}');
        Ok(out)
    })
    .await
}

pub async fn volume_range(read: Read) -> Response {
    respond(answer_volume_range(&read).await)
}

async fn answer_volume_range(read: &Read) -> Result<Answered, QueryError> {
    let (start, end) = read.range()?;
    let step = read.step(start, end)?;
    let matchers = selector(read.params.get("query").unwrap_or(""))?;
    let grouping = Grouping::of(read, &matchers)?;
    read.run(move |context| {
        let range = TimeRange::new(start, end.saturating_sub(1));
        let found = volumes(context, &matchers, range, &grouping, |time| ((time - start) / step) as usize)?;
        let mut out = String::from("{\"resultType\":\"matrix\",\"result\":");
        json::list(&mut out, &found, |out, (group, steps)| {
            group_labels(out, group);
            out.push_str(",\"values\":");
            json::list(out, steps, |out, (at, bytes)| {
                json::point(out, (start + *at as i64 * step) / 1_000_000, bytes.round());
            });
            out.push('}');
        });
        out.push('}');
        Ok(out)
    })
    .await
}
