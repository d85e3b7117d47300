//! DNS names of members, and patterns that accept them.

/// The longest DNS name and label, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Whether this is a plain host name in lower case: no wildcard, no dot at its end.
pub(crate) fn is_name(text: &str) -> bool {
    let part = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    text.len() <= MAX_NAME && text.split('.').all(part)
}

/// A DNS name in which a `*` stands for one or more characters within its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    labels: Vec<Label>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Label {
    Exact(String),
    /// What stands before and after the `*`.
    Between(String, String),
}

impl Pattern {
    /// The error is why, in words that follow the pattern.
    pub(crate) fn parse(text: &str) -> Result<Pattern, &'static str> {
        let text = text.to_ascii_lowercase();
        if !is_name(&text.replace('*', "x")) {
            return Err("is no DNS name: write letters, digits, - and _ between dots, and * for what varies");
        }
        if !text.contains(|c: char| c.is_ascii_alphanumeric()) {
            return Err("accepts every name: write what the names have in common");
        }
        let label = |label: &str| match label.split_once('*') {
            None => Ok(Label::Exact(label.to_owned())),
            Some((_, after)) if after.contains('*') => Err("has two * in one label"),
            Some((before, after)) => Ok(Label::Between(before.to_owned(), after.to_owned())),
        };
        Ok(Pattern { labels: text.split('.').map(label).collect::<Result<_, _>>()? })
    }

    /// `name` must be what `is_name` accepts, so a wildcard of a certificate never matches.
    pub(crate) fn accepts(&self, name: &str) -> bool {
        let mut labels = name.split('.');
        let same = self.labels.iter().all(|label| labels.next().is_some_and(|text| label.accepts(text)));
        same && labels.next().is_none() && is_name(name)
    }
}

impl Label {
    fn accepts(&self, text: &str) -> bool {
        match self {
            Label::Exact(label) => label == text,
            Label::Between(before, after) => {
                text.len() > before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stays_within_its_label() {
        for (pattern, name, accepted) in [
            ("ouro-ingester-*.ouro.svc", "ouro-ingester-0.ouro.svc", true),
            ("ouro-ingester-*.ouro.svc", "ouro-ingester-.ouro.svc", false),
            ("ouro-ingester-*.ouro.svc", "ouro-ingester-0.evil.ouro.svc", false),
            ("ouro-ingester-*.ouro.svc", "ouro-ingester-0.ouro.svc.evil", false),
            ("ouro-ingester-*.ouro.svc", "ouro-querier-0.ouro.svc", false),
            ("*-ingester.ouro", "a-ingester.ouro", true),
            ("*-ingester.ouro", "-ingester.ouro", false),
            ("a*b.ouro", "ab.ouro", false),
            ("a*ab.ouro", "aab.ouro", false),
            ("a*ab.ouro", "axab.ouro", true),
            ("*.ouro", "ouro", false),
            ("*.ouro", "*.ouro", false),
            ("Ouro.SVC", "ouro.svc", true),
            ("ouro-*", "ouro-7", true),
        ] {
            assert_eq!(Pattern::parse(pattern).expect("a pattern").accepts(name), accepted, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        let long = "x".repeat(64);
        for bad in ["", ".", "a..b", "a.", "*", "*.*", "a**", "a*b*", "a b", "ä", "a/b", long.as_str()] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(pattern in ".*", name in ".*") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.accepts(&name);
            }
        }

        #[test]
        fn what_a_star_stands_for_is_never_empty_and_has_no_dot(inside in "[a-z.]{0,3}") {
            let pattern = Pattern::parse("a-*-z.ouro").expect("a pattern");
            let good = !inside.is_empty() && !inside.contains('.');
            prop_assert_eq!(pattern.accepts(&format!("a-{inside}-z.ouro")), good);
        }
    }
}
