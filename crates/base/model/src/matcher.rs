//! Label matchers, as PromQL and LogQL selectors write them.

use crate::{Packed, pattern::Pattern};
use std::{fmt, sync::Arc};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchOp {
    pub fn symbol(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A condition on one label. An absent label has the empty value. Regular expressions are anchored at both ends, and
/// `.` matches newlines, as in Prometheus.
#[derive(Debug, Clone)]
pub struct Matcher {
    pub name: String,
    pub op: MatchOp,
    pub value: String,
    pattern: Option<Arc<Pattern>>,
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("the regular expression {pattern:?} of label {name:?} is not valid: {why}")]
pub struct RegexError {
    pub name: String,
    pub pattern: String,
    pub why: String,
}

impl Matcher {
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Matcher, RegexError> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(Pattern::new(&value).map_err(|e| RegexError {
                name: name.clone(),
                pattern: value.clone(),
                why: e.to_string(),
            })?)),
        };
        Ok(Matcher { name, op, value, pattern })
    }

    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Matcher {
        Matcher { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// Whether a label value meets the condition.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regex => self.pattern.as_ref().is_some_and(|p| p.matches(value)),
            MatchOp::NotRegex => self.pattern.as_ref().is_some_and(|p| !p.matches(value)),
        }
    }

    /// The values that meet the condition, sorted, where they can be listed: what an index can look up.
    pub fn values(&self) -> Option<&[String]> {
        match self.op {
            MatchOp::Equal => Some(std::slice::from_ref(&self.value)),
            MatchOp::Regex => self.pattern.as_ref()?.texts(),
            MatchOp::NotEqual | MatchOp::NotRegex => None,
        }
    }

    /// Whether a series without this label meets the condition.
    pub fn matches_absent(&self) -> bool {
        self.matches("")
    }

    /// Whether a label set meets all conditions.
    pub fn all<'a>(matchers: &[Matcher], labels: impl Into<Packed<'a>>) -> bool {
        let labels = labels.into();
        matchers.iter().all(|m| m.matches(labels.value(&m.name)))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.symbol(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: MatchOp, pattern: &str, value: &str, want: bool) {
        let matcher = Matcher::new("l", op, pattern).expect("a valid pattern");
        assert_eq!(matcher.matches(value), want, "{matcher} on {value:?}");
    }

    #[test]
    fn conditions() {
        check(MatchOp::Equal, "a", "a", true);
        check(MatchOp::Equal, "", "", true);
        check(MatchOp::NotEqual, "a", "", true);
        check(MatchOp::Regex, "a|b", "b", true);
        check(MatchOp::Regex, "a|b", "ab", false);
        check(MatchOp::Regex, ".+", "x\ny", true);
        check(MatchOp::NotRegex, "a.*", "abc", false);
        check(MatchOp::Regex, ".*", "", true);
        assert!(Matcher::new("l", MatchOp::Regex, "(").is_err());
    }
}
