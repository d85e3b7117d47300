//! Regular expressions with Go's meaning and Go's error texts.

use regex::Regex;
use regex_syntax::ast::{self, ErrorKind};
use regex_syntax::hir::{Hir, HirKind};

/// The largest compiled expression, in bytes; the same as for matchers.
const SIZE: usize = 4 << 20;

/// Compiles an expression. The error is Go's text.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&go_classes(pattern)).size_limit(SIZE).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("error parsing regexp: expression too large: `{pattern}`"),
        _ => go_error(pattern),
    })
}

/// Shorter texts are in too many lines to be worth looking for.
const SHORT: usize = 3;

/// The longest text that whatever matches must contain, as far as that can be seen at a glance; none if it is short.
pub(crate) fn required(pattern: &str) -> Option<String> {
    fn longest(hir: &Hir) -> Option<&[u8]> {
        match hir.kind() {
            HirKind::Literal(literal) => Some(&literal.0),
            HirKind::Capture(capture) => longest(&capture.sub),
            HirKind::Repetition(repetition) if repetition.min > 0 => longest(&repetition.sub),
            HirKind::Concat(parts) => parts.iter().filter_map(longest).max_by_key(|text| text.len()),
            _ => None,
        }
    }
    let hir = regex_syntax::parse(&go_classes(pattern)).ok()?;
    let text = std::str::from_utf8(longest(&hir)?).ok()?;
    (text.len() >= SHORT).then(|| text.to_owned())
}

/// Go's text for an expression that does not parse.
fn go_error(pattern: &str) -> String {
    let Err(error) = ast::parse::Parser::new().parse(pattern) else {
        return format!("error parsing regexp: invalid syntax: `{pattern}`");
    };
    let part = pattern.get(error.span().start.offset..error.span().end.offset).unwrap_or(pattern);
    let (text, part) = match error.kind() {
        ErrorKind::GroupUnclosed => ("missing closing )", pattern),
        ErrorKind::GroupUnopened => ("unexpected )", pattern),
        ErrorKind::ClassUnclosed => ("missing closing ]", part),
        ErrorKind::ClassRangeInvalid => ("invalid character class range", part),
        ErrorKind::EscapeUnexpectedEof => ("trailing backslash at end of expression", ""),
        ErrorKind::EscapeUnrecognized
        | ErrorKind::EscapeHexInvalid
        | ErrorKind::EscapeHexInvalidDigit
        | ErrorKind::UnsupportedBackreference => ("invalid escape sequence", part),
        ErrorKind::RepetitionMissing => {
            let start = error.span().start.offset;
            ("missing argument to repetition operator", pattern.get(start..start + 1).unwrap_or(part))
        }
        ErrorKind::RepetitionCountInvalid => ("invalid repeat count", part),
        ErrorKind::GroupNameDuplicate { .. } => ("duplicate capture group name", part),
        ErrorKind::GroupNameInvalid | ErrorKind::GroupNameEmpty => ("invalid named capture", pattern),
        _ => ("invalid or unsupported Perl syntax", part),
    };
    format!("error parsing regexp: {text}: `{part}`")
}

/// Go's `\d`, `\w`, `\s` and `\b` know only ASCII, and `[` and `&&` mean nothing within its classes.
fn go_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut class: Option<usize> = None; // where in `out` the items of an open class begin
    while let Some(c) = chars.next() {
        match (c, class) {
            ('\\', _) => {
                let Some(escaped) = chars.next() else {
                    out.push('\\');
                    break;
                };
                let set = match (escaped, class.is_some()) {
                    ('d', false) => "[0-9]",
                    ('d', true) => "0-9",
                    ('D', _) => "[^0-9]",
                    ('w', false) => "[0-9A-Za-z_]",
                    ('w', true) => "0-9A-Za-z_",
                    ('W', _) => "[^0-9A-Za-z_]",
                    ('s', false) => "[\\t\\n\\f\\r ]",
                    ('s', true) => "\\t\\n\\f\\r ",
                    ('S', _) => "[^\\t\\n\\f\\r ]",
                    ('b', false) => "(?-u:\\b)",
                    ('B', false) => "(?-u:\\B)",
                    ('Q', false) => {
                        quote_literal(&mut chars, &mut out);
                        continue;
                    }
                    _ => "",
                };
                if set.is_empty() {
                    out.push('\\');
                    out.push(escaped);
                } else {
                    out.push_str(set);
                }
            }
            ('[', None) => {
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                class = Some(out.len());
            }
            (']', Some(start)) if out.len() == start => out.push_str("\\]"),
            (']', Some(_)) => {
                out.push(']');
                class = None;
            }
            ('[', Some(_)) if chars.peek() == Some(&':') => {
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ('[', Some(_)) => out.push_str("\\["),
            ('&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
            }
            ('-', Some(_)) if chars.peek() == Some(&'-') => out.push_str("\\-"),
            (c, _) => out.push(c),
        }
    }
    out
}

fn quote_literal(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, want: bool) {
        assert_eq!(compile(pattern).expect(pattern).is_match(text), want, "{pattern} on {text:?}");
    }

    #[test]
    fn go_meaning() {
        check(r"^\d+$", "١", false);
        check(r"^[\d.]+$", "1.2", true);
        check(r"\bfoo\b", "éfoo", true);
        check(r"[[]", "[", true);
        check(r"^[]a]+$", "]a", true);
        check(r"^[a&&b]+$", "&", true);
        check(r"^[^\w]+$", "a", false);
        check(r"^[[:alpha:]]+$", "ab", true);
        check(r"\Qa.b\E", "a.b", true);
        check(r"(?P<x>foo)bar", "foobar", true);
        check("(?i)É", "é", true);
    }

    #[test]
    fn texts_that_matches_contain() {
        for (pattern, want) in [
            (r"numpy-1[0-9]\.[0-9]+", Some("numpy-1")),
            ("a|b", None),
            ("(?:abc)?xyz+", None),
            ("(?:abc)?x(yzz)+", Some("yzz")),
            ("(abc)+d", Some("abc")),
            ("(?i)abc", None),
            ("a.*bcd", Some("bcd")),
            (r"\Qa.b\E", Some("a.b")),
            ("", None),
            ("(", None),
        ] {
            assert_eq!(required(pattern).as_deref(), want, "{pattern}");
        }
    }

    #[test]
    fn go_errors() {
        for (pattern, want) in [
            ("(", "error parsing regexp: missing closing ): `(`"),
            ("^(?:()$", "error parsing regexp: missing closing ): `^(?:()$`"),
            ("^(?:^^^^x43\\q)$", "error parsing regexp: invalid escape sequence: `\\q`"),
            ("*a", "error parsing regexp: missing argument to repetition operator: `*`"),
            ("[a", "error parsing regexp: missing closing ]: `[`"),
        ] {
            assert_eq!(compile(pattern).err().as_deref(), Some(want), "{pattern}");
        }
    }
}
