//! Any template runs over any line, or is refused, or marks the line as failed; what it makes stays small.
#![no_main]

use eval::source::{LogSelection, Order, PageIter, PageSource, SourceError};
use libfuzzer_sys::fuzz_target;
use logql::ast::{Expr, FormatValue, LabelFormat, LogExpr, Stage};
use logql::{Options, entries, parse};
use model::{Labels, LogPage};

struct One(LogPage);

impl PageSource for One {
    fn select(&self, _: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Ok(Box::new(std::iter::once(Ok(self.0.clone()))))
    }
}

fuzz_target!(|input: (&str, &str)| {
    let (template, line) = input;
    let Ok(Expr::Log(LogExpr { matchers, mut stages })) = parse("{app=\"x\"} | json") else { return };
    let format = LabelFormat { name: "made".into(), value: FormatValue::Template(template.into()) };
    stages.extend([Stage::LabelFormat(vec![format]), Stage::LineFormat(template.into())]);
    let mut page = LogPage::new(Labels::from_pairs([("app", "x")]));
    page.push(1, line, Labels::empty());
    let expr = Expr::Log(LogExpr { matchers, stages });
    if let Ok(streams) = entries(&One(page), &expr, 0, 10, 10, Order::Forward, &Options::default()) {
        assert!(streams[0].entries[0].line.len() <= 64 << 20);
    }
});
