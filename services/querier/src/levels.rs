//! Levels of lines that came without one: found when a query looks at them, so that pushes need not be read for them.

use eval::source::PageIter;
use logql::StreamEntries;
use logql::ast::{Expr, Stage};
use model::{Labels, LabelsBuilder, LogPage};
use std::sync::Arc;
use tenancy::{DiscoverySettings, Limits};
use wire::discover::{DETECTED_LEVEL, Level};

/// Whether a query asks for levels, or may: by its text.
pub fn asked_for(expr: &Expr) -> bool {
    expr.to_string().contains(DETECTED_LEVEL)
}

/// Whether lines and labels are told as they came, so that levels can be found in what is answered.
pub fn are_told_after(expr: &Expr) -> bool {
    let leaves_all = |stage: &Stage| {
        let is_parser = matches!(stage, Stage::Json(_) | Stage::Logfmt { .. } | Stage::Regexp(_) | Stage::Pattern(_));
        is_parser || matches!(stage, Stage::Line(_) | Stage::Label(_))
    };
    matches!(expr, Expr::Log(log) if log.stages.iter().all(leaves_all)) && !asked_for(expr)
}

/// The pages with a level for each row, as its tenant wants it.
pub fn added<'a>(pages: PageIter<'a>, limits: Arc<Limits>) -> PageIter<'a> {
    if !limits.discover.levels {
        return pages;
    }
    Box::new(pages.map(move |page| {
        page.map(|mut page| {
            add(&mut page, &limits.discover);
            page
        })
    }))
}

/// Gives each row its level, if it has none.
pub fn add(page: &mut LogPage, discover: &DiscoverySettings) {
    let mut of_stream = Level::new(&discover.level_fields);
    page.labels.iter().for_each(|(name, value)| of_stream.see(name, value));
    // Most rows have no other metadata, and few levels.
    let mut alone: Vec<(&'static str, Labels)> = Vec::new();
    let mut all = std::mem::take(&mut page.metadata);
    all.resize(page.len(), Labels::empty());
    for (row, metadata) in all.iter_mut().enumerate() {
        let mut level = of_stream;
        metadata.iter().for_each(|(name, value)| level.see(name, value));
        let Some(level) = level.find(page.line(row)) else { continue };
        if !metadata.is_empty() {
            *metadata = with(metadata, level);
        } else if let Some((_, known)) = alone.iter().find(|(name, _)| *name == level) {
            *metadata = known.clone();
        } else {
            *metadata = with(metadata, level);
            alone.push((level, metadata.clone()));
        }
    }
    page.metadata = all;
}

fn with(metadata: &Labels, level: &str) -> Labels {
    let mut builder = LabelsBuilder::from(metadata);
    builder.set(DETECTED_LEVEL, level);
    builder.build()
}

/// Adds levels to the metadata of entries whose lines are as they came ([`are_told_after`]).
pub fn tell(found: &mut [StreamEntries], discover: &DiscoverySettings) {
    if !discover.levels {
        return;
    }
    for stream in found {
        let labels = stream.labels.clone();
        for entry in &mut stream.entries {
            let mut level = Level::new(&discover.level_fields);
            let own = labels.iter().filter(|(name, _)| entry.parsed.get(name).is_none());
            own.for_each(|(name, value)| level.see(name, value));
            if entry.parsed.get(DETECTED_LEVEL).is_none()
                && let Some(level) = level.find(&entry.line)
            {
                entry.structured_metadata = with(&entry.structured_metadata, level);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eval::source::Order;

    fn page() -> LogPage {
        let mut page = LogPage::new(Labels::from_pairs([("app", "a")]));
        page.push(1, "level=error x", Labels::empty());
        page.push(2, "nothing", Labels::from_pairs([("trace", "t")]));
        page.push(3, "an error", Labels::from_pairs([("detected_level", "info")]));
        page.push(4, r#"{"level":"warn","detected_level":"x"}"#, Labels::empty());
        page
    }

    /// One page, whatever is asked for.
    struct OnePage(LogPage);

    impl eval::source::PageSource for OnePage {
        fn select(&self, _: &eval::source::LogSelection) -> Result<PageIter<'_>, eval::source::SourceError> {
            Ok(Box::new(std::iter::once(Ok(self.0.clone()))))
        }
    }

    #[test]
    fn rows_get_the_level_that_they_lack() {
        let mut page = page();
        add(&mut page, &DiscoverySettings::default());
        let all: Vec<String> = page.metadata.iter().map(Labels::to_string).collect();
        let want = [
            r#"{detected_level="error"}"#,
            r#"{detected_level="unknown", trace="t"}"#,
            r#"{detected_level="info"}"#,
            r#"{detected_level="warn"}"#,
        ];
        assert_eq!(all, want);
    }

    #[test]
    fn levels_that_are_found_afterwards_are_those_of_the_rows() {
        for query in
            [r#"{app="a"}"#, r#"{app="a"} |= "r""#, r#"{app="a"} | logfmt"#, r#"{app="a"} | json | level="warn""#]
        {
            let expr = logql::parse(query).expect("a query");
            assert!(are_told_after(&expr), "{query}");
            let ask = |page: LogPage| {
                let options = logql::Options::default();
                logql::entries(&OnePage(page), &expr, 0, 10, 10, Order::Forward, &options).expect("entries")
            };
            let mut levelled = page();
            add(&mut levelled, &DiscoverySettings::default());
            let (mut after, before) = (ask(page()), ask(levelled));
            tell(&mut after, &DiscoverySettings::default());
            let levels = |found: &[StreamEntries]| {
                let entries = found.iter().flat_map(|stream| &stream.entries);
                let level = |entry: &logql::Entry| entry.structured_metadata.get(DETECTED_LEVEL).map(str::to_owned);
                entries.map(|entry| (entry.time_ns, level(entry))).collect::<std::collections::BTreeMap<_, _>>()
            };
            // Where the line has a field of that name, it is told as the query's.
            let mut want = levels(&before);
            want.iter_mut()
                .filter(|(time, _)| **time == 4 && query.contains("json"))
                .for_each(|(_, level)| *level = None);
            assert_eq!(levels(&after), want, "{query}");
        }
        for query in [r#"{a="b"} | line_format "x""#, r#"{a="b"} | drop level"#, r#"{a="b"} | detected_level="x""#] {
            assert!(!are_told_after(&logql::parse(query).expect("a query")), "{query}");
        }
    }
}
