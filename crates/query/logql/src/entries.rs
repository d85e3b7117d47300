//! Log queries: the first or last lines of a range, with their labels.

use crate::ast::Expr;
use crate::error::Error;
use crate::options::Options;
use crate::pipeline::Pipeline;
use crate::row::Row;
use eval::budget::Budget;
use eval::source::{LogSelection, Order, PageSource};
use model::{Horizon, Labels, LogPage, TimeRange};
use std::collections::{BTreeMap, BinaryHeap};

/// Lines that have all labels alike, in the order of the query.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamEntries {
    /// All labels: of the stream, structured metadata and parsed ones.
    pub labels: Labels,
    pub entries: Vec<Entry>,
}

impl StreamEntries {
    /// The labels that an entry has from its stream: all but its metadata and parsed ones.
    pub fn stream_labels(&self, entry: &Entry) -> Labels {
        let own = |name: &str| entry.structured_metadata.get(name).is_some() || entry.parsed.get(name).is_some();
        self.labels.without(own)
    }
}

/// One line as the stages left it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Unix nanoseconds.
    pub time_ns: i64,
    pub line: String,
    pub structured_metadata: Labels,
    /// What stages added, `__error__` and `__error_details__` among it.
    pub parsed: Labels,
}

/// A line that may be among those that are answered. Of two with one rank, that which came first is better.
struct Candidate {
    /// Smaller is better: the time, or for backward queries its complement.
    rank: i64,
    arrived: u64,
    labels: Labels,
    entry: Entry,
}

impl Candidate {
    fn key(&self) -> (i64, u64) {
        (self.rank, self.arrived)
    }

    fn size(&self) -> usize {
        let labels = self.labels.packed().len()
            + self.entry.structured_metadata.packed().len()
            + self.entry.parsed.packed().len();
        self.entry.line.len() + labels + 160
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Candidate) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Candidate) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Candidate) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// The best `limit` lines so far; the worst of them on top.
struct Best<'b> {
    heap: BinaryHeap<Candidate>,
    limit: usize,
    order: Order,
    arrived: u64,
    budget: &'b Budget<'b>,
}

impl Best<'_> {
    fn rank(&self, time: i64) -> i64 {
        if self.order == Order::Forward { time } else { !time }
    }

    /// Whether a line of this time can still be among the best.
    fn welcomes(&self, time: i64) -> bool {
        self.heap.len() < self.limit || self.heap.peek().is_some_and(|worst| self.rank(time) < worst.rank)
    }

    /// The time of the worst line, once there are enough of them.
    fn worst(&self) -> Option<i64> {
        let worst = self.heap.peek().filter(|_| self.heap.len() >= self.limit)?;
        Some(if self.order == Order::Forward { worst.rank } else { !worst.rank })
    }

    fn push(&mut self, row: &Row<'_>, page_labels: &Labels) -> Result<(), Error> {
        let untouched = row.has_page_labels();
        let candidate = Candidate {
            rank: self.rank(row.time),
            arrived: self.arrived,
            labels: if untouched { page_labels.clone() } else { row.merged() },
            entry: Entry {
                time_ns: row.time,
                line: row.line.clone().into_owned(),
                structured_metadata: if untouched {
                    Labels::empty()
                } else {
                    Labels::from_pairs(row.metadata_labels())
                },
                parsed: if untouched { Labels::empty() } else { Labels::from_pairs(row.parsed_labels()) },
            },
        };
        self.arrived += 1;
        self.budget.charge(candidate.size())?;
        self.heap.push(candidate);
        if self.heap.len() > self.limit
            && let Some(worst) = self.heap.pop()
        {
            self.budget.release(worst.size());
        }
        Ok(())
    }
}

/// Answers a log query: at most `limit` lines from `start_ns` to before `end_ns`, the earliest (`Forward`) or the
/// latest (`Backward`), grouped by their labels. Streams are sorted by labels.
///
/// # Errors
/// A metric query is refused; a line that a stage could not handle is not an error but has `__error__` among its
/// parsed labels.
pub fn entries(
    source: &dyn PageSource,
    expr: &Expr,
    start_ns: i64,
    end_ns: i64,
    limit: usize,
    order: Order,
    options: &Options,
) -> Result<Vec<StreamEntries>, Error> {
    let Expr::Log(log) = expr else {
        return Err(Error::Kind("it gives numbers"));
    };
    if limit == 0 || end_ns <= start_ns {
        return Ok(Vec::new());
    }
    let pipeline = Pipeline::new(&log.stages)?.at(options.now);
    let budget = Budget::new(options.max_memory, &*options.cancelled);
    let range = TimeRange::new(start_ns, end_ns - 1);
    let horizon = Horizon::new(order == Order::Backward);
    let selection = LogSelection {
        matchers: log.matchers.clone(),
        range,
        contains: pipeline.contains(),
        lines: true,
        order,
        // With filters, more lines than are answered have to be looked at.
        limit: pipeline.is_empty().then_some(limit),
        horizon: Some(horizon.clone()),
    };
    let mut best = Best { heap: BinaryHeap::new(), limit, order, arrived: 0, budget: &budget };
    for page in source.select(&selection)? {
        let page = page?;
        budget.tick()?;
        take_page(&page, &pipeline, range, &mut best)?;
        if let Some(time) = best.worst() {
            horizon.draw_in(time);
        }
    }
    Ok(grouped(best.heap.into_sorted_vec()))
}

/// Texts that every line contains that a log query can answer with, as the query finds it.
///
/// # Errors
/// A stage cannot be compiled, or the query gives numbers.
pub fn contains(expr: &Expr) -> Result<Vec<String>, Error> {
    match expr {
        Expr::Log(log) => Ok(Pipeline::new(&log.stages)?.contains()),
        _ => Err(Error::Kind("it gives numbers")),
    }
}

fn take_page(page: &LogPage, pipeline: &Pipeline, range: TimeRange, best: &mut Best<'_>) -> Result<(), Error> {
    let labels: Vec<(&str, &str)> = page.labels.iter().collect();
    let mut row = Row::new(&labels);
    let rows = pipeline.candidates(page);
    for next in 0..rows.as_ref().map_or(page.len(), Vec::len) {
        let at = rows.as_ref().map_or(next, |rows| rows[next]);
        let time = page.times[at];
        if !range.contains(time) || !best.welcomes(time) || !pipeline.passes_early(page, at) {
            continue;
        }
        row.load(page, at);
        if pipeline.run(&mut row) {
            best.push(&row, &page.labels)?;
        }
    }
    Ok(())
}

/// Candidates in the order of the query, by labels.
fn grouped(candidates: Vec<Candidate>) -> Vec<StreamEntries> {
    let mut streams: BTreeMap<Labels, Vec<Entry>> = BTreeMap::new();
    for candidate in candidates {
        streams.entry(candidate.labels).or_default().push(candidate.entry);
    }
    streams.into_iter().map(|(labels, entries)| StreamEntries { labels, entries }).collect()
}
