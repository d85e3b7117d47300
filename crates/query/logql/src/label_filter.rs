//! Label filters, made ready to run over many lines.

use crate::ast::{Comparison, LabelFilter};
use crate::ip::IpPattern;
use crate::quantity;
use crate::re;
use crate::row::{ERROR, ERROR_DETAILS, Row};
use model::{MatchOp, Matcher};
use regex::Regex;

/// The error of lines whose labels are not what a filter compares.
const LABEL_FILTER_ERROR: &str = "LabelFilterErr";

/// A compiled label filter.
#[derive(Debug)]
pub(crate) enum LabelTest {
    And(Box<LabelTest>, Box<LabelTest>),
    Or(Box<LabelTest>, Box<LabelTest>),
    Text(TextTest),
    Number(String, Comparison, f64),
    Duration(String, Comparison, i64),
    Bytes(String, Comparison, u64),
    Ip(String, bool, IpPattern),
}

/// A condition on a label's text.
#[derive(Debug)]
pub(crate) struct TextTest {
    pub name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

impl TextTest {
    pub(crate) fn new(matcher: &Matcher) -> Result<TextTest, String> {
        let regex = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(re::compile(&format!("^(?s:{})$", matcher.value))?),
        };
        Ok(TextTest { name: matcher.name.clone(), op: matcher.op, value: matcher.value.clone(), regex })
    }

    /// Whether a value meets the condition; an absent label has the empty one.
    pub(crate) fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, regex) => regex.as_ref().is_some_and(|r| r.is_match(value)),
            (MatchOp::NotRegex, regex) => !regex.as_ref().is_some_and(|r| r.is_match(value)),
        }
    }
}

impl LabelTest {
    pub(crate) fn new(filter: &LabelFilter) -> Result<LabelTest, String> {
        let pair = |left: &LabelFilter, right: &LabelFilter| {
            Ok::<_, String>((Box::new(LabelTest::new(left)?), Box::new(LabelTest::new(right)?)))
        };
        Ok(match filter {
            LabelFilter::And(left, right) => {
                let (left, right) = pair(left, right)?;
                LabelTest::And(left, right)
            }
            LabelFilter::Or(left, right) => {
                let (left, right) = pair(left, right)?;
                LabelTest::Or(left, right)
            }
            LabelFilter::Text(matcher) => LabelTest::Text(TextTest::new(matcher)?),
            LabelFilter::Number { name, op, value } => LabelTest::Number(name.clone(), *op, *value),
            LabelFilter::Duration { name, op, value } => LabelTest::Duration(name.clone(), *op, *value),
            LabelFilter::Bytes { name, op, value } => LabelTest::Bytes(name.clone(), *op, *value),
            LabelFilter::Ip { name, equal, pattern } => LabelTest::Ip(name.clone(), *equal, IpPattern::parse(pattern)?),
        })
    }

    /// Whether the row stays. A value that can't be compared marks the row as failed and keeps it: only filters on the
    /// error itself take it away. Of a row that failed before, no value is compared. As in Loki, numbers, durations and
    /// sizes still take away one that has no such label, and addresses do not.
    pub(crate) fn keeps(&self, row: &mut Row<'_>) -> bool {
        match self {
            LabelTest::And(left, right) => left.keeps(row) && right.keeps(row),
            LabelTest::Or(left, right) => left.keeps(row) || right.keeps(row),
            LabelTest::Text(test) => test.matches(row.get(&test.name).unwrap_or("")),
            LabelTest::Number(name, op, value) => compare(row, name, *op, *value, |text| {
                quantity::float(text)
                    .ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", crate::quote::quote(text)))
            }),
            LabelTest::Duration(name, op, value) => compare(row, name, *op, *value, quantity::go_duration),
            LabelTest::Bytes(name, op, value) => compare(row, name, *op, *value, quantity::bytes),
            LabelTest::Ip(name, equal, pattern) => {
                row.has_error() || row.get(name).is_some_and(|value| pattern.found_in(value) == *equal)
            }
        }
    }

    /// Adds the labels that the filter looks at.
    pub(crate) fn names(&self, names: &mut Vec<String>) {
        match self {
            LabelTest::And(left, right) | LabelTest::Or(left, right) => {
                left.names(names);
                right.names(names);
            }
            LabelTest::Text(test) if test.name == ERROR || test.name == ERROR_DETAILS => {}
            LabelTest::Text(test) => names.push(test.name.clone()),
            LabelTest::Number(name, ..)
            | LabelTest::Duration(name, ..)
            | LabelTest::Bytes(name, ..)
            | LabelTest::Ip(name, ..) => {
                names.push(name.clone());
            }
        }
    }
}

fn compare<T: PartialOrd>(
    row: &mut Row<'_>,
    name: &str,
    op: Comparison,
    right: T,
    read: impl Fn(&str) -> Result<T, String>,
) -> bool {
    let Some(text) = row.get(name) else { return false };
    if row.has_error() {
        return true;
    }
    match read(text) {
        Ok(left) => op.holds(left, right),
        Err(why) => {
            row.fail(LABEL_FILTER_ERROR, why);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Stage;
    use crate::{Expr, parse};

    #[test]
    fn rows_that_failed_are_not_compared() {
        for (filter, kept, kept_after_an_error) in [
            ("n > 1", true, true),
            ("n > 5", false, true),
            ("absent > 1", false, false),
            ("absent > 1s", false, false),
            ("absent > 1KB", false, false),
            (r#"absent = ip("::1")"#, false, true),
            (r#"absent = "x""#, false, false),
        ] {
            let Ok(Expr::Log(log)) = parse(&format!("{{a=\"b\"}} | {filter}")) else { panic!("{filter}") };
            let [Stage::Label(filter)] = log.stages.as_slice() else { panic!("{filter}") };
            let test = LabelTest::new(filter).expect("a good filter");
            let mut row = Row::new(&[("n", "2")]);
            assert_eq!(test.keeps(&mut row), kept, "{filter:?}");
            row.fail("JSONParserErr", String::new());
            assert_eq!(test.keeps(&mut row), kept_after_an_error, "{filter:?}, failed");
        }
    }
}
