//! Brings the series of several sorted sources together, holding one series of each at a time.

use crate::order::order;
use model::times::Joined;
use model::{Labels, Series};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Series in the order of [`order`], each once. Sources are given from the oldest rows to the newest: of two samples at
/// one time, the older source's stays.
pub struct Merge<I, E> {
    sources: Vec<I>,
    next: BinaryHeap<Next>,
    failed: Option<E>,
    /// The second source of a series, the third, …, and what is known of the times of each.
    others: Vec<Series>,
    joined: Vec<Joined>,
}

struct Next {
    labels: Labels,
    source: usize,
    series: Series,
}

impl<I: Iterator<Item = Result<Series, E>>, E> Merge<I, E> {
    pub fn new(sources: Vec<I>) -> Merge<I, E> {
        let mut merge =
            Merge { next: BinaryHeap::new(), failed: None, others: Vec::new(), joined: Vec::new(), sources };
        (0..merge.sources.len()).for_each(|source| merge.pull(source));
        merge
    }

    fn pull(&mut self, source: usize) {
        match self.sources[source].next() {
            Some(Ok(series)) => self.next.push(Next { labels: series.labels(), source, series }),
            Some(Err(error)) => self.failed = Some(error),
            None => {}
        }
    }
}

impl<I: Iterator<Item = Result<Series, E>>, E> Iterator for Merge<I, E> {
    type Item = Result<Series, E>;

    fn next(&mut self) -> Option<Result<Series, E>> {
        if let Some(error) = self.failed.take() {
            self.next.clear();
            return Some(Err(error));
        }
        let Next { labels, source, mut series, .. } = self.next.pop()?;
        self.pull(source);
        while self.next.peek().is_some_and(|next| next.labels == labels) {
            let Some(other) = self.next.pop() else { break };
            self.pull(other.source);
            self.others.push(other.series);
        }
        // So that no vector has to move as it grows.
        series.values.reserve_exact(self.others.iter().map(|other| other.values.len()).sum());
        self.joined.resize_with(self.joined.len().max(self.others.len()), Joined::default);
        for (other, joined) in self.others.drain(..).zip(&mut self.joined) {
            series.merge_as(other, joined);
        }
        Some(Ok(series))
    }
}

// The heap gives the greatest first, so smaller labels are greater here, and so are older sources.
impl Ord for Next {
    fn cmp(&self, other: &Next) -> Ordering {
        order(&other.labels, &self.labels).then(other.source.cmp(&self.source))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Next) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Next) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, times: &[i64], value: f64) -> Result<Series, String> {
        let labels = Some(Labels::from_pairs([("n", name)]));
        Ok(Series { labels, times: times.to_vec().into(), values: vec![value; times.len()], ..Series::default() })
    }

    #[test]
    fn series_come_once_and_the_older_sample_stays() {
        let old = vec![series("a", &[1, 2], 1.0), series("c", &[1], 1.0)];
        let new = vec![series("a", &[2, 3], 2.0), series("b", &[9], 2.0)];
        let merge = Merge::new(vec![old.into_iter(), new.into_iter()]);
        let all: Vec<Series> = merge.collect::<Result<_, _>>().expect("no error");
        let got: Vec<_> =
            all.iter().map(|s| (s.labels().value("n").to_owned(), s.times.to_vec(), s.values.clone())).collect();
        let want = [
            ("a".to_owned(), vec![1, 2, 3], vec![1.0, 1.0, 2.0]),
            ("b".to_owned(), vec![9], vec![2.0]),
            ("c".to_owned(), vec![1], vec![1.0]),
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn an_error_ends_it() {
        let bad = vec![series("a", &[1], 1.0), Err("broken".to_owned()), series("z", &[1], 1.0)];
        let got: Vec<_> = Merge::new(vec![bad.into_iter()]).collect();
        assert_eq!(got.len(), 2, "the series before the error, then the error, then nothing");
        assert_eq!(got[1].as_ref().err().map(String::as_str), Some("broken"));
    }
}
