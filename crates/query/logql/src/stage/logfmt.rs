//! The `logfmt` stage: `key=value key="quoted value"`.

use crate::row::label_name;
use std::borrow::Cow;

type Sink<'l, 's> = dyn FnMut(Cow<'l, str>, Cow<'l, str>) + 's;

/// How pairs are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    /// Stop at the first fault instead of leaving out what is at fault.
    pub strict: bool,
    /// Give keys without a value, too.
    pub keep_empty: bool,
}

/// Calls `found` with each sanitised key and its value. An error is go-logfmt's text, with a position from 1.
pub(crate) fn pairs<'l>(line: &'l str, mode: Mode, found: &mut Sink<'l, '_>) -> Result<(), String> {
    raw_pairs(line, mode, &mut |key, value| found(label_name(key), value))
}

/// As `pairs`, with the keys as they are written.
pub(crate) fn raw_pairs<'l>(
    line: &'l str,
    mode: Mode,
    found: &mut dyn FnMut(&'l str, Cow<'l, str>),
) -> Result<(), String> {
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] <= b' ' {
            at += 1;
            continue;
        }
        match pair(line, at) {
            Ok((key, value, end)) => {
                if !value.is_empty() || mode.keep_empty {
                    found(key, value);
                }
                at = end;
            }
            Err((_, _)) if !mode.strict => at += bytes[at..].iter().take_while(|b| **b > b' ').count(),
            Err((place, why)) => return Err(format!("logfmt syntax error at pos {} : {why}", place + 1)),
        }
    }
    Ok(())
}

type Fault = (usize, String);

/// One pair that begins at `start`: key, value, and where it ends.
fn pair(line: &str, start: usize) -> Result<(&str, Cow<'_, str>, usize), Fault> {
    let bytes = line.as_bytes();
    let mut at = start;
    while at < bytes.len() && bytes[at] > b' ' && bytes[at] != b'=' {
        if bytes[at] == b'"' {
            return Err(unexpected(line, at));
        }
        at += 1;
    }
    let key = &line[start..at];
    if key.is_empty() {
        return Err(unexpected(line, at));
    }
    if key.contains(char::REPLACEMENT_CHARACTER) {
        return Err((at, "invalid key".into()));
    }
    if bytes.get(at) != Some(&b'=') {
        return Ok((key, Cow::Borrowed(""), at));
    }
    at += 1;
    if bytes.get(at) == Some(&b'"') {
        let (value, end) = quoted(line, at)?;
        return match bytes.get(end) {
            Some(b) if *b > b' ' => Err(unexpected(line, end)),
            _ => Ok((key, value, end)),
        };
    }
    let from = at;
    while at < bytes.len() && bytes[at] > b' ' {
        if matches!(bytes[at], b'=' | b'"') {
            return Err(unexpected(line, at));
        }
        at += 1;
    }
    Ok((key, clean(Cow::Borrowed(&line[from..at])), at))
}

/// Whether a text that stands within a line leaves its keys, quotes and blanks what they are.
pub(crate) fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| byte > b' ' && !matches!(byte, b'=' | b'"' | b'\\');
    !text.is_empty() && text.bytes().all(is_plain) && !text.contains(char::REPLACEMENT_CHARACTER)
}

fn unexpected(line: &str, at: usize) -> Fault {
    let found = line[at..].chars().next().unwrap_or(' ');
    (at, format!("unexpected '{found}'"))
}

/// A quoted value that begins at `start`, and where its closing quote ends.
fn quoted(line: &str, start: usize) -> Result<(Cow<'_, str>, usize), Fault> {
    let bytes = line.as_bytes();
    let (mut at, mut escaped) = (start + 1, false);
    loop {
        match bytes.get(at) {
            None => return Err((bytes.len(), "unterminated quoted value".into())),
            Some(b'"') => break,
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(_) => at += 1,
        }
    }
    let inner = &line[start + 1..at];
    let value = if escaped { super::json::unescape(inner) } else { Some(Cow::Borrowed(inner)) };
    let value = value.ok_or_else(|| (start, "invalid quoted value".to_owned()))?;
    Ok((clean(value), at + 1))
}

/// Bytes that were not UTF-8 (and became U+FFFD on their way in) become spaces.
fn clean(value: Cow<'_, str>) -> Cow<'_, str> {
    if value.contains(char::REPLACEMENT_CHARACTER) {
        Cow::Owned(value.replace(char::REPLACEMENT_CHARACTER, " "))
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, strict: bool, want: &[(&str, &str)], error: Option<&str>) {
        let mut got: Vec<(String, String)> = Vec::new();
        let mode = Mode { strict, keep_empty: true };
        let result = pairs(line, mode, &mut |key, value| got.push((key.into_owned(), value.into_owned())));
        let got: Vec<(&str, &str)> = got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!((got.as_slice(), result.err().as_deref()), (want, error), "{line}");
    }

    #[test]
    fn good_lines() {
        check("a=1 b=\"x y\"  c", true, &[("a", "1"), ("b", "x y"), ("c", "")], None);
        check(r#"m="a\"b\nc" foo.bar=1"#, true, &[("m", "a\"b\nc"), ("foo_bar", "1")], None);
        check("", true, &[], None);
        check("é=ü", true, &[("_", "ü")], None);
    }

    #[test]
    fn bad_lines() {
        check("a=1 b=c=d e=2", false, &[("a", "1"), ("e", "2")], None);
        check("a=1 b=c=d e=2", true, &[("a", "1")], Some("logfmt syntax error at pos 8 : unexpected '='"));
        check("a=\"x", true, &[], Some("logfmt syntax error at pos 5 : unterminated quoted value"));
        check("a=\"x\\", true, &[], Some("logfmt syntax error at pos 6 : unterminated quoted value"));
        check("a=\"x\"é b=1", false, &[("b", "1")], None);
        check("=x", true, &[], Some("logfmt syntax error at pos 1 : unexpected '='"));
    }
}
