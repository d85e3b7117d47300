//! Any line goes through any stage: the first byte picks the stage, the rest is the line.
#![no_main]

use eval::source::{LogSelection, Order, PageIter, PageSource, SourceError};
use libfuzzer_sys::fuzz_target;
use logql::{Options, entries, parse};
use model::{Labels, LogPage};

const STAGES: [&str; 9] = [
    "| json",
    "| json x=\"a.b[0]\", y=\"a\"",
    "| logfmt",
    "| logfmt --strict --keep-empty",
    "| unpack",
    "| decolorize",
    "| pattern \"<a> <_>b<c>\"",
    "|= ip(\"10.0.0.0/8\")",
    "| logfmt | json | line_format \"{{__line__ | fromJson}}\"",
];

struct One(LogPage);

impl PageSource for One {
    fn select(&self, _: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Ok(Box::new(std::iter::once(Ok(self.0.clone()))))
    }
}

fuzz_target!(|input: (u8, &str)| {
    let stage = STAGES[usize::from(input.0) % STAGES.len()];
    let mut page = LogPage::new(Labels::from_pairs([("app", "x")]));
    page.push(1, input.1, Labels::empty());
    let expr = parse(&format!("{{app=\"x\"}} {stage}")).expect("a good query");
    entries(&One(page), &expr, 0, 10, 10, Order::Forward, &Options::default()).expect("an answer");
});
