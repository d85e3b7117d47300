//! Regular expressions of matchers, by the simplest means that decides them: sets of texts, prefixes, then automata.

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The largest compiled regular expression, in bytes. A larger one is refused instead of compiled.
const REGEX_SIZE: usize = 4 << 20;
/// Patterns that stand for more texts than this are left to automata.
const MAX_TEXTS: usize = 4096;
/// … or for longer ones, in sum.
const MAX_BYTES: usize = 256 << 10;

/// A pattern that is anchored at both ends; `.` matches newlines.
#[derive(Debug, Clone)]
pub enum Pattern {
    Anything,
    NotEmpty,
    /// Exactly these texts: sorted, each once.
    OneOf(Box<[String]>),
    /// What begins so, whatever follows.
    Prefix(String),
    Suffix(String),
    Contains(String),
    /// Everything else. What matches begins with `prefix`.
    Automaton {
        prefix: String,
        regex: Regex,
    },
}

impl Pattern {
    pub fn new(text: &str) -> Result<Pattern, regex::Error> {
        let parsed = regex_syntax::ParserBuilder::new().dot_matches_new_line(true).build().parse(text);
        // Some texts only become valid with the anchors around them.
        if let Ok(hir) = &parsed
            && let Some(simple) = simple(hir)
        {
            return Ok(simple);
        }
        let regex = regex::RegexBuilder::new(&format!("^(?s:{text})$")).size_limit(REGEX_SIZE).build()?;
        let prefix = parsed.map(|hir| prefix(&hir)).unwrap_or_default();
        Ok(Pattern::Automaton { prefix, regex })
    }

    pub fn matches(&self, value: &str) -> bool {
        match self {
            Pattern::Anything => true,
            Pattern::NotEmpty => !value.is_empty(),
            Pattern::OneOf(texts) => texts.binary_search_by(|text| text.as_str().cmp(value)).is_ok(),
            Pattern::Prefix(text) => value.starts_with(text.as_str()),
            Pattern::Suffix(text) => value.ends_with(text.as_str()),
            Pattern::Contains(text) => value.contains(text.as_str()),
            Pattern::Automaton { prefix, regex } => value.starts_with(prefix.as_str()) && regex.is_match(value),
        }
    }

    /// The texts that match, sorted, where they are few enough to be listed.
    pub fn texts(&self) -> Option<&[String]> {
        match self {
            Pattern::OneOf(texts) => Some(texts),
            _ => None,
        }
    }
}

fn simple(hir: &Hir) -> Option<Pattern> {
    if let Some(mut texts) = texts(hir) {
        texts.sort_unstable();
        texts.dedup();
        return Some(Pattern::OneOf(texts.into()));
    }
    match rest(hir) {
        Some(0) => return Some(Pattern::Anything),
        Some(_) => return Some(Pattern::NotEmpty),
        None => {}
    }
    let HirKind::Concat(parts) = bare(hir).kind() else { return None };
    let literal = |hir: &Hir| match bare(hir).kind() {
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        _ => None,
    };
    match parts.as_slice() {
        [text, end] if rest(end) == Some(0) => literal(text).map(Pattern::Prefix),
        [start, text] if rest(start) == Some(0) => literal(text).map(Pattern::Suffix),
        [start, text, end] if rest(start) == Some(0) && rest(end) == Some(0) => literal(text).map(Pattern::Contains),
        _ => None,
    }
}

/// Without the groups around it.
fn bare(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Capture(capture) => bare(&capture.sub),
        _ => hir,
    }
}

/// `.*` and `.+`: how many characters at least.
fn rest(hir: &Hir) -> Option<u32> {
    let HirKind::Repetition(repetition) = bare(hir).kind() else { return None };
    let HirKind::Class(Class::Unicode(class)) = bare(&repetition.sub).kind() else { return None };
    let all = class.ranges().len() == 1 && class.ranges()[0].start() == '\0' && class.ranges()[0].end() == char::MAX;
    (all && repetition.max.is_none() && repetition.min <= 1).then_some(repetition.min)
}

/// All texts that match, where they are few.
fn texts(hir: &Hir) -> Option<Vec<String>> {
    let few = |texts: Vec<String>| {
        let bytes: usize = texts.iter().map(String::len).sum();
        (texts.len() <= MAX_TEXTS && bytes <= MAX_BYTES).then_some(texts)
    };
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![String::from_utf8(literal.0.to_vec()).ok()?]),
        HirKind::Capture(capture) => texts(&capture.sub),
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(|range| range.len()).sum();
            let chars = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            (count <= MAX_TEXTS).then(|| chars.map(String::from).collect())
        }
        HirKind::Repetition(repetition) if repetition.min == 0 && repetition.max == Some(1) => {
            let mut all = texts(&repetition.sub)?;
            all.push(String::new());
            few(all)
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all = few([all, texts(branch)?].concat())?;
            }
            Some(all)
        }
        HirKind::Concat(parts) => {
            let mut all = vec![String::new()];
            for part in parts {
                let next = texts(part)?;
                if all.len().saturating_mul(next.len()) > MAX_TEXTS {
                    return None;
                }
                all = few(all.iter().flat_map(|start| next.iter().map(move |end| format!("{start}{end}"))).collect())?;
            }
            Some(all)
        }
        _ => None,
    }
}

/// What every match begins with, as far as it is one text.
fn prefix(hir: &Hir) -> String {
    match hir.kind() {
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).unwrap_or_default(),
        HirKind::Capture(capture) => prefix(&capture.sub),
        HirKind::Concat(parts) => parts.first().map(prefix).unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn simple_patterns_need_no_automaton() {
        let kind = |text: &str| match Pattern::new(text).expect("a valid pattern") {
            Pattern::Anything => "anything".to_owned(),
            Pattern::NotEmpty => "not empty".to_owned(),
            Pattern::OneOf(texts) => texts.join(","),
            Pattern::Prefix(text) => format!("{text}…"),
            Pattern::Suffix(text) => format!("…{text}"),
            Pattern::Contains(text) => format!("…{text}…"),
            Pattern::Automaton { prefix, .. } => format!("automaton after {prefix:?}"),
        };
        for (text, want) in [
            (".*", "anything"),
            ("(.+)", "not empty"),
            ("", ""),
            ("a", "a"),
            ("b|a|", ",a,b"),
            ("(?:foo|bar)-[12]", "bar-1,bar-2,foo-1,foo-2"),
            ("(?i)ab", "AB,Ab,aB,ab"),
            ("https?", "http,https"),
            ("api-.*", "api-…"),
            (".*-db", "…-db"),
            (".*5.*", "…5…"),
            ("5..", "automaton after \"5\""),
            ("a+", "automaton after \"\""),
            ("\\d+", "automaton after \"\""),
        ] {
            assert_eq!(kind(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn decides_as_the_automaton_does(
            pattern in "(\\.\\*|\\.\\+)?(a|b|ab|[ab]|\\(a\\|b\\)|a\\?|b\\|a|\\(b\\)|a\\+|\\.|\\(\\?i:a\\)|a\\{2\\}|\\^|\\$){0,4}(\\.\\*|\\.\\+)?",
            value in "[abA\n]{0,5}",
        ) {
            let regex = Regex::new(&format!("^(?s:{pattern})$"));
            prop_assume!(regex.is_ok());
            let found = Pattern::new(&pattern).expect("valid").matches(&value);
            prop_assert_eq!(found, regex.expect("valid").is_match(&value), "{} on {:?}", pattern, value);
        }
    }
}
