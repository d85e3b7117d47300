//! The rows of some requests of one tenant and signal.

use crate::error::Error;
use crate::selector::Selector;
use deletes::Request;
use model::{Exemplar, Labels, LogPage, MatchOp, Matcher, Series, TimeRange};

/// What may not be shown, or written again.
#[derive(Default)]
pub struct Hidden {
    selections: Vec<(Selector, TimeRange)>,
}

impl Hidden {
    /// Of requests of one signal.
    pub fn of<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Result<Hidden, Error> {
        let read = |request: &Request| Selector::read(request.signal, &request.query).map(|own| (own, request.range()));
        Ok(Hidden { selections: requests.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    pub fn is_empty(&self) -> bool {
        self.selections.is_empty()
    }

    /// Whether it must be known what lines say.
    pub fn looks_at_lines(&self) -> bool {
        self.selections.iter().any(|(selector, _)| !selector.lines.is_empty())
    }

    /// Whether rows of a stream or series may be hidden, within a range.
    pub fn touches(&self, labels: &Labels, range: TimeRange) -> bool {
        self.selections.iter().any(|(selector, own)| own.overlaps(range) && selector.is_of(labels))
    }

    /// Whether rows of a selection may be hidden: not if both want another value of some label.
    pub fn may_touch(&self, matchers: &[Matcher]) -> bool {
        let differ = |one: &Matcher, other: &Matcher| {
            one.name == other.name && one.op == MatchOp::Equal && !other.matches(&one.value)
        };
        self.selections.iter().any(|(selector, _)| {
            let mut pairs = selector.matchers.iter().flat_map(|own| matchers.iter().map(move |other| (own, other)));
            !pairs.any(|(own, other)| differ(own, other) || differ(other, own))
        })
    }

    fn of_labels(&self, labels: &Labels) -> Vec<&(Selector, TimeRange)> {
        self.selections.iter().filter(|(selector, _)| selector.is_of(labels)).collect()
    }

    /// The rows of a page that are not hidden.
    pub fn shown(&self, page: LogPage) -> LogPage {
        let own = self.of_labels(&page.labels);
        let is_hidden = |row: usize| {
            let is_of = |(selector, range): &&(Selector, TimeRange)| {
                range.contains(page.times[row]) && selector.lines.iter().all(|test| test.keeps(page.line(row)))
            };
            own.iter().any(is_of)
        };
        let hidden: Vec<bool> = (0..page.len()).map(is_hidden).collect();
        if !hidden.contains(&true) {
            return page;
        }
        let mut shown = LogPage::new(page.labels.clone());
        for row in (0..page.len()).filter(|row| !hidden[*row]) {
            let metadata = page.metadata(row).cloned().unwrap_or_else(Labels::empty);
            shown.push(page.times[row], page.line(row), metadata);
        }
        shown
    }

    /// Takes the samples of a series away that are hidden.
    pub fn take_from(&self, series: &mut Series) {
        let own = self.of_labels(&series.labels());
        if own.is_empty() {
            return;
        }
        let is_shown = |time: i64| !own.iter().any(|(_, range)| range.contains(time));
        let shown: Vec<bool> = series.times.iter().map(|time| is_shown(*time)).collect();
        retain(series.times.own(), &shown);
        retain(&mut series.values, &shown);
        retain(&mut series.starts, &shown);
        series.histograms.retain(|sample| is_shown(sample.time));
    }

    /// Takes the exemplars of a series away that are hidden.
    pub fn take_exemplars(&self, labels: &Labels, exemplars: &mut Vec<Exemplar>) {
        let own = self.of_labels(labels);
        exemplars.retain(|exemplar| !own.iter().any(|(_, range)| range.contains(exemplar.time)));
    }
}

/// Keeps the elements whose place says so; an empty vector stays empty.
fn retain<T>(all: &mut Vec<T>, keep: &[bool]) {
    let mut places = keep.iter();
    all.retain(|_| places.next().copied().unwrap_or(false));
}

#[cfg(test)]
mod tests;
