//! Patterns like `<ip> - <_> "<method>`: literals with captures between them.

/// A pattern, split into its parts. Captures are never next to each other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(String),
    /// A name, or none for `<_>`.
    Capture(Option<String>),
}

impl Pattern {
    /// Reads the pattern of the `pattern` parser.
    pub(crate) fn parser(text: &str) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err(
                "parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL".into()
            );
        }
        let pattern = Pattern::read(text)?;
        let names: Vec<&String> = pattern.names().collect();
        if names.is_empty() {
            return Err("at least one capture is required".into());
        }
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return Err(format!("duplicate capture name ({name}): invalid expression"));
            }
        }
        Ok(pattern)
    }

    /// Reads the pattern of a line filter, where captures have no names.
    pub(crate) fn filter(text: &str) -> Result<Pattern, String> {
        let pattern = Pattern::read(text)?;
        if let Some(name) = pattern.names().next() {
            return Err(format!("named captures are not allowed: found '<{name}>'"));
        }
        Ok(pattern)
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture(name) => name.as_ref(),
            Part::Literal(_) => None,
        })
    }

    fn read(text: &str) -> Result<Pattern, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(name) = capture_name(rest) {
                if let Some(Part::Capture(before)) = parts.last() {
                    let before = before.as_deref().unwrap_or("_");
                    return Err(format!("found consecutive capture '<{before}><{name}>': invalid expression"));
                }
                parts.push(Part::Capture((name != "_").then(|| name.to_owned())));
                rest = &rest[name.len() + 2..];
                continue;
            }
            let end = rest.char_indices().skip(1).find(|(at, _)| capture_name(&rest[*at..]).is_some());
            let (literal, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
            parts.push(Part::Literal(literal.to_owned()));
            rest = after;
        }
        Ok(Pattern { parts })
    }

    /// The names and what they capture. A line that ends early gives its rest to the capture that it ended in.
    pub(crate) fn captures<'l>(&self, line: &'l str, mut found: impl FnMut(&str, &'l str)) {
        let mut rest = line;
        let mut parts = self.parts.as_slice();
        if let [Part::Literal(literal), after @ ..] = parts {
            let Some(tail) = rest.strip_prefix(literal.as_str()) else { return };
            (rest, parts) = (tail, after);
        }
        while let [Part::Capture(name), after @ ..] = parts {
            let (value, tail, after) = match after {
                [Part::Literal(literal), after @ ..] => match rest.find(literal.as_str()) {
                    Some(at) => (&rest[..at], &rest[at + literal.len()..], after),
                    None => (rest, "", &[][..]),
                },
                _ => (rest, "", &[][..]),
            };
            if let Some(name) = name {
                found(name, value);
            }
            (rest, parts) = (tail, after);
        }
    }

    /// Whether the pattern covers the line up to its end, with something for each capture. A literal that the pattern
    /// begins with may stand anywhere.
    pub(crate) fn covers(&self, line: &str) -> bool {
        let mut rest = line;
        let mut parts = self.parts.as_slice();
        if let [Part::Literal(literal), after @ ..] = parts {
            let Some(at) = rest.find(literal.as_str()) else { return false };
            (rest, parts) = (&rest[at + literal.len()..], after);
        }
        while let [Part::Capture(_), after @ ..] = parts {
            let [Part::Literal(literal), after @ ..] = after else {
                return !rest.is_empty();
            };
            let Some(at) = rest.find(literal.as_str()).filter(|at| *at > 0) else { return false };
            (rest, parts) = (&rest[at + literal.len()..], after);
        }
        rest.is_empty()
    }
}

/// The name of a capture that begins here.
fn capture_name(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let name = &inner[..end];
    let starts = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    (starts && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, line: &str, want: &[(&str, &str)]) {
        let mut got = Vec::new();
        Pattern::parser(pattern).expect(pattern).captures(line, |name, value| got.push((name.to_owned(), value)));
        let got: Vec<(&str, &str)> = got.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert_eq!(got, want, "{pattern} on {line:?}");
    }

    #[test]
    fn captures() {
        check("<m> <p> <_>", "GET /x HTTP/1.1", &[("m", "GET"), ("p", "/x")]);
        check("a=<a>,", "a=1,b=2", &[("a", "1")]);
        check("a=<a>,b=<b>", "a=1", &[("a", "1")]);
        check("x <a>", "y 1", &[]);
        check("<_>é<a>", "1é2", &[("a", "2")]);
    }

    #[test]
    fn a_filter_covers_the_line() {
        for (pattern, line, want) in [
            ("a<_>c", "abc", true),
            ("a<_>c", "ac", false),
            ("a<_>", "abc", true),
            ("b<_>", "abc", true),
            ("b", "ab", true),
            ("<_>b", "abc", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Pattern::filter(pattern).expect(pattern).covers(line), want, "{pattern} on {line}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "abc", "<_>", "<a><b>", "<a> <a>", "<1>", "<"] {
            assert!(Pattern::parser(text).is_err(), "{text}");
        }
        assert!(Pattern::filter("<a>").is_err());
    }
}
