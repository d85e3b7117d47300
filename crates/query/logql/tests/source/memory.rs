//! A source over rows in memory.

use eval::source::{LogSelection, PageIter, PageSource, SourceError, Visit, visit};
use model::{Labels, LogPage, Matcher};
use std::collections::BTreeMap;

/// One page a stream; every selection gives whole streams, so that the engine must filter.
#[derive(Default)]
pub struct Memory(pub Vec<LogPage>);

impl Memory {
    pub fn push(
        &mut self,
        stream: &BTreeMap<String, String>,
        time: i64,
        line: &str,
        metadata: &BTreeMap<String, String>,
    ) {
        let set =
            |map: &BTreeMap<String, String>| Labels::from_pairs(map.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let labels = set(stream);
        let at = self.0.iter().position(|page| page.labels == labels).unwrap_or_else(|| {
            self.0.push(LogPage::new(labels));
            self.0.len() - 1
        });
        self.0[at].push(time, line, set(metadata));
    }
}

impl PageSource for Memory {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        let matchers = selection.matchers.clone();
        Ok(Box::new(self.0.iter().filter(move |page| Matcher::all(&matchers, &page.labels)).cloned().map(Ok)))
    }

    fn visits(&self, selection: &LogSelection, _: bool, ways: usize) -> Result<Vec<Visit<'_>>, SourceError> {
        let pages: Vec<_> = self.select(selection)?.collect();
        let runs = pages.chunks(pages.len().div_ceil(ways).max(1));
        Ok(runs.map(|run| visit(Box::new(Vec::from(run).into_iter()))).collect())
    }
}
