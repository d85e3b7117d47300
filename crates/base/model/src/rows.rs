//! Rows as they travel from the store to the query engines: in batches, one series a batch.

use crate::times::Joined;
use crate::{Histogram, Labels, Times};
use std::sync::Arc;

/// The value by which Prometheus marks that a series ended: a NaN with this payload.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Lines of one stream. All vectors have one element a row, or are empty where stated.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    pub labels: Labels,
    /// Unix nanoseconds, in the order in which the rows were stored; not necessarily sorted.
    pub times: Vec<i64>,
    /// All lines, one after the other.
    pub text: String,
    /// Where each line ends in `text`.
    pub ends: Vec<u32>,
    /// Structured metadata of each row; empty when no row has any.
    pub metadata: Vec<Labels>,
}

impl LogPage {
    pub fn new(labels: Labels) -> LogPage {
        LogPage { labels, times: Vec::new(), text: String::new(), ends: Vec::new(), metadata: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub fn line(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.text[start..self.ends[row] as usize]
    }

    /// Adds a row. `metadata` may be empty.
    pub fn push(&mut self, time: i64, line: &str, metadata: Labels) {
        if !metadata.is_empty() && self.metadata.is_empty() {
            self.metadata = vec![Labels::empty(); self.times.len()];
        }
        if !metadata.is_empty() || !self.metadata.is_empty() {
            self.metadata.push(metadata);
        }
        self.times.push(time);
        self.text.push_str(line);
        self.ends.push(self.text.len() as u32);
    }

    pub fn metadata(&self, row: usize) -> Option<&Labels> {
        self.metadata.get(row)
    }

    /// About how many bytes this takes in memory, for budgets.
    pub fn size(&self) -> usize {
        self.text.len()
            + self.times.len() * 12
            + self.metadata.iter().map(|m| m.packed().len() + 16).sum::<usize>()
            + 128
    }
}

/// What lines of one kind have in common: texts, and between them slots whose values are kept in columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// The text before each slot, and the number of the column that has its values.
    pub slots: Vec<(String, u32)>,
    /// The text after the last slot.
    pub end: String,
}

/// A column of texts, of which equal ones may share a code.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coded {
    /// One a row: which text it has, or [`Coded::NONE`].
    pub codes: Vec<u32>,
    /// All texts, one after the other, and where each ends.
    pub text: String,
    pub ends: Vec<u32>,
}

impl Coded {
    /// The code of a row that has no value in the column.
    pub const NONE: u32 = u32::MAX;

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, code: u32) -> &str {
        let start = if code == 0 { 0 } else { self.ends[code as usize - 1] as usize };
        &self.text[start..self.ends[code as usize] as usize]
    }
}

/// Samples of one series. Float samples and histogram samples are kept apart, each sorted by time, times unique
/// across both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    pub labels: Option<Labels>,
    /// Unix milliseconds of the float samples, ascending.
    pub times: Times,
    /// One for each of `times`. Stale markers are among them, bit for bit.
    pub values: Vec<f64>,
    /// Start timestamps (Unix ms, 0 = none), one for each of `times`; empty when no sample has one.
    pub starts: Vec<i64>,
    /// Histogram samples, ascending by time.
    pub histograms: Vec<HistogramSample>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Unix milliseconds.
    pub time: i64,
    /// Unix milliseconds, 0 = none.
    pub start: i64,
    pub value: Arc<Histogram>,
}

impl Series {
    pub fn new(labels: Labels) -> Series {
        Series { labels: Some(labels), ..Series::default() }
    }

    pub fn labels(&self) -> Labels {
        self.labels.clone().unwrap_or_else(Labels::empty)
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histograms.is_empty()
    }

    /// About how many bytes this takes in memory, for budgets.
    pub fn size(&self) -> usize {
        let labels = self.labels.as_ref().map_or(0, |l| l.packed().len());
        let histograms: usize =
            self.histograms.iter().map(|h| 160 + 8 * (h.value.positive.len() + h.value.negative.len())).sum();
        labels + 16 * self.times.len() + 8 * self.starts.len() + histograms + 128
    }

    /// Adds the samples of `other`, which may overlap; of two samples at one time, of whatever kind, the one already
    /// here stays.
    pub fn merge(&mut self, other: Series) {
        self.merge_as(other, &mut Joined::default());
    }

    /// As `merge`, with what it knows of the times of the series before, which were of the same two parts.
    pub fn merge_as(&mut self, mut other: Series, joined: &mut Joined) {
        if !self.starts.is_empty() || !other.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
            other.starts.resize(other.times.len(), 0);
        }
        let appends = self.last_time() < other.first_time();
        if !appends {
            other.leave_out(self);
        }
        self.times = joined.join(std::mem::take(&mut self.times), other.times);
        self.values.extend(other.values);
        self.starts.extend(other.starts);
        self.histograms.extend(other.histograms);
        if !appends {
            self.restore_order();
        }
    }

    /// Takes away the samples at times at which `known` has one.
    fn leave_out(&mut self, known: &Series) {
        let is_new = |time: i64| {
            known.times.binary_search(&time).is_err()
                && known.histograms.binary_search_by_key(&time, |h| h.time).is_err()
        };
        let keep: Vec<bool> = self.times.iter().map(|time| is_new(*time)).collect();
        retain(self.times.own(), &keep);
        retain(&mut self.values, &keep);
        retain(&mut self.starts, &keep);
        self.histograms.retain(|h| is_new(h.time));
    }

    fn last_time(&self) -> i64 {
        let float = self.times.last().copied().unwrap_or(i64::MIN);
        float.max(self.histograms.last().map_or(i64::MIN, |h| h.time))
    }

    fn first_time(&self) -> i64 {
        let float = self.times.first().copied().unwrap_or(i64::MAX);
        float.min(self.histograms.first().map_or(i64::MAX, |h| h.time))
    }

    fn restore_order(&mut self) {
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by_key(|&i| self.times[i]);
        let times = order.iter().map(|&i| self.times[i]).collect();
        self.values = order.iter().map(|&i| self.values[i]).collect();
        if !self.starts.is_empty() {
            self.starts = order.iter().map(|&i| self.starts[i]).collect();
        }
        self.times = times;
        self.histograms.sort_by_key(|h| h.time);
    }
}

/// Keeps the elements whose place says so; an empty vector stays empty.
fn retain<T>(all: &mut Vec<T>, keep: &[bool]) {
    let mut places = keep.iter();
    all.retain(|_| places.next().copied().unwrap_or(false));
}

/// What a metric family is, as agents send it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metadata {
    pub family: String,
    /// `counter`, `gauge`, `histogram`, `gaugehistogram`, `summary`, `info`, `stateset` or `unknown`.
    pub kind: String,
    pub help: String,
    pub unit: String,
}

/// A sample that points to a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Of the exemplar itself, for instance `trace_id`.
    pub labels: Labels,
    pub value: f64,
    /// Unix milliseconds.
    pub time: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_back_its_rows() {
        let mut page = LogPage::new(Labels::empty());
        page.push(1, "one", Labels::empty());
        page.push(2, "", Labels::from_pairs([("trace", "x")]));
        page.push(3, "three", Labels::empty());
        assert_eq!((0..3).map(|row| page.line(row)).collect::<Vec<_>>(), ["one", "", "three"]);
        assert_eq!(page.metadata(0), Some(&Labels::empty()));
        assert_eq!(page.metadata(1).map(|m| m.value("trace")), Some("x"));
    }

    fn series(times: &[i64], value: f64) -> Series {
        Series { times: times.to_vec().into(), values: vec![value; times.len()], ..Series::default() }
    }

    #[test]
    fn merging_keeps_order_and_the_first_of_two() {
        let mut merged = series(&[10, 30], 1.0);
        merged.merge(series(&[20, 30, 40], 2.0));
        assert_eq!(merged.times, [10, 20, 30, 40]);
        assert_eq!(merged.values, [1.0, 2.0, 1.0, 2.0]);
    }

    #[test]
    fn a_sample_of_another_kind_at_the_same_time_does_not_displace_the_first() {
        let histogram = |time| HistogramSample { time, start: 0, value: Arc::new(Histogram::default()) };
        let mut first = Series { histograms: vec![histogram(10), histogram(20)], ..Series::default() };
        let floats =
            Series { times: vec![10, 15].into(), values: vec![1.0, 2.0], starts: vec![7, 8], ..Series::default() };
        first.merge(floats);
        assert_eq!((first.times, first.starts), (vec![15].into(), vec![8]));
        assert_eq!(first.histograms.iter().map(|h| h.time).collect::<Vec<_>>(), [10, 20]);
        let mut second = series(&[10], 1.0);
        second.merge(Series { histograms: vec![histogram(10), histogram(30)], ..Series::default() });
        assert_eq!((second.times.len(), second.histograms.len()), (1, 1));
    }
}
