//! Line filters, made ready to run over many lines.

use crate::ast::{LineFilter, LineMatch, LineOp};
use crate::ip::IpPattern;
use crate::pattern::Pattern;
use crate::re;
use memchr::memmem::Finder;
use model::LogPage;
use regex::Regex;

/// A compiled line filter.
#[derive(Debug)]
pub struct LineTest {
    negative: bool,
    any: Vec<Test>,
}

#[derive(Debug)]
enum Test {
    Contains(Box<Finder<'static>>),
    Matches(Regex),
    Covers(Pattern),
    Ip(IpPattern),
    Everything,
}

impl LineTest {
    /// The error is the text for whoever wrote the filter.
    pub fn new(filter: &LineFilter) -> Result<LineTest, String> {
        let test = |alternative: &LineMatch| {
            Ok(match (alternative, filter.op) {
                (LineMatch::Ip(text), _) => Test::Ip(IpPattern::parse(text)?),
                (LineMatch::Text(text), LineOp::Pattern | LineOp::NotPattern) => Test::Covers(Pattern::filter(text)?),
                (LineMatch::Text(text), _) if text.is_empty() => Test::Everything,
                (LineMatch::Text(text), LineOp::Contains | LineOp::NotContains) => {
                    Test::Contains(Box::new(Finder::new(text.as_bytes()).into_owned()))
                }
                (LineMatch::Text(text), _) => match literal(text) {
                    Some(literal) => Test::Contains(Box::new(Finder::new(literal.as_bytes()).into_owned())),
                    None => Test::Matches(re::compile(text)?),
                },
            })
        };
        let any = filter.alternatives.iter().map(test).collect::<Result<Vec<Test>, String>>()?;
        Ok(LineTest { negative: filter.op.is_negative(), any })
    }

    /// The one text that every line must contain, if that is all there is to it.
    fn needle(&self) -> Option<&Finder<'static>> {
        match self.any.as_slice() {
            [Test::Contains(finder)] if !self.negative => Some(finder),
            _ => None,
        }
    }

    /// Whether a line passes.
    pub fn keeps(&self, line: &str) -> bool {
        let found = self.any.iter().any(|test| match test {
            Test::Contains(finder) => finder.find(line.as_bytes()).is_some(),
            Test::Matches(regex) => regex.is_match(line),
            Test::Covers(pattern) => pattern.covers(line),
            Test::Ip(ip) => ip.found_in(line),
            Test::Everything => true,
        });
        found != self.negative
    }
}

/// The rows of a page that may pass all of the filters: of the longest text that they want, found in the page as a
/// whole, not line by line. `None` when every row may pass.
pub(crate) fn candidates(filters: &[LineTest], page: &LogPage) -> Option<Vec<usize>> {
    let finder = filters.iter().filter_map(LineTest::needle).max_by_key(|finder| finder.needle().len())?;
    let (text, length) = (page.text.as_bytes(), finder.needle().len());
    let (mut rows, mut at, mut row) = (Vec::new(), 0, 0);
    while let Some(found) = text.get(at..).and_then(|rest| finder.find(rest)) {
        let start = at + found;
        row += page.ends.get(row..)?.partition_point(|end| *end as usize <= start);
        let end = *page.ends.get(row)? as usize;
        if start + length <= end {
            rows.push(row);
            at = end;
        } else {
            // It begins in one line and ends in another.
            at = start + 1;
        }
    }
    Some(rows)
}

/// The text that an expression without any special character looks for.
fn literal(pattern: &str) -> Option<&str> {
    let special = |c: char| "\\.+*?()|[]{}^$#&-~".contains(c) || c.is_whitespace() && c != ' ';
    (!pattern.contains(special)).then_some(pattern)
}

/// What every line that passes must contain, for the source: the text of a filter without alternatives, or one that its
/// expression cannot do without.
pub(crate) fn required(filter: &LineFilter) -> Option<String> {
    match (filter.op, filter.alternatives.as_slice()) {
        (LineOp::Contains, [LineMatch::Text(text)]) if !text.is_empty() => Some(text.clone()),
        (LineOp::Matches, [LineMatch::Text(text)]) => re::required(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: LineOp, texts: &[&str], line: &str, want: bool) {
        let alternatives = texts.iter().map(|t| LineMatch::Text((*t).to_owned())).collect();
        let test = LineTest::new(&LineFilter { op, alternatives }).expect("a good filter");
        assert_eq!(test.keeps(line), want, "{op:?} {texts:?} on {line:?}");
    }

    #[test]
    fn rows_are_found_in_a_page_as_a_whole() {
        let mut page = LogPage::new(model::Labels::empty());
        for line in ["ab", "xab ab", "", "a", "b", "aab"] {
            page.push(0, line, model::Labels::empty());
        }
        let tests = |texts: &[&str]| -> Vec<LineTest> {
            let filter = |text: &&str| LineFilter {
                op: LineOp::Contains,
                alternatives: vec![LineMatch::Text((*text).to_owned())],
            };
            texts.iter().map(|text| LineTest::new(&filter(text)).expect("a good filter")).collect()
        };
        assert_eq!(candidates(&tests(&["a", "ab"]), &page), Some(vec![0, 1, 5]));
        assert_eq!(candidates(&tests(&["zz"]), &page), Some(vec![]));
        assert_eq!(candidates(&[], &page), None);
    }

    #[test]
    fn operators() {
        check(LineOp::Contains, &["a", "b"], "xb", true);
        check(LineOp::NotContains, &["a", "b"], "xb", false);
        check(LineOp::NotContains, &["a", "b"], "x", true);
        check(LineOp::Matches, &["^x"], "ax", false);
        check(LineOp::NotMatches, &["x.z"], "xyz", false);
        check(LineOp::Pattern, &["a <_> c"], "a b c", true);
        check(LineOp::NotPattern, &["a <_> c"], "a b", true);
        check(LineOp::Contains, &[""], "", true);
    }
}
