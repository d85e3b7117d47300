//! Go's string literals: reading them as queries write them, and writing them as canonical texts need them.

use std::fmt::Write;

/// The value of a literal, given without its quotes, `quote` being `"` or a backtick. `None` when an escape is not one
/// of Go's.
pub(crate) fn unquote(inner: &str, quote: char) -> Option<String> {
    if quote == '`' {
        return Some(inner.replace('\r', ""));
    }
    let mut out: Vec<u8> = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut out, c);
            continue;
        }
        match chars.next()? {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            '"' => out.push(b'"'),
            'x' => out.push(u8::try_from(digits(&mut chars, 2, 16)?).ok()?),
            'u' => push(&mut out, char::from_u32(digits(&mut chars, 4, 16)?)?),
            'U' => push(&mut out, char::from_u32(digits(&mut chars, 8, 16)?)?),
            first @ '0'..='7' => {
                let rest = digits(&mut chars, 2, 8)?;
                out.push(u8::try_from(first.to_digit(8)? * 64 + rest).ok()?);
            }
            _ => return None,
        }
    }
    // Lines are text, so bytes that are not UTF-8 could match nothing: they are replaced.
    Some(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    let mut value = 0u32;
    for _ in 0..count {
        value = value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    Some(value)
}

/// The text as Go's `strconv.Quote` writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\x7f' => drop(write!(out, "\\x{:02x}", c as u32)),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        for (inner, want) in [
            (r"a\nb", Some("a\nb")),
            (r"\x41\101\u00e9", Some("AAé")),
            (r"\\w+\t", Some("\\w+\t")),
            (r"\q", None),
            (r"\x4", None),
            (r"\", None),
        ] {
            assert_eq!(unquote(inner, '"').as_deref(), want, "{inner}");
        }
        assert_eq!(unquote(r"\w", '`').as_deref(), Some(r"\w"));
        assert_eq!(quote("a\"\\\n\x1b é"), r#""a\"\\\n\x1b é""#);
    }
}
