//! Reads and writes Loki's label text, `{name="value", …}`.

use model::{Labels, LabelsBuilder};
use std::fmt::Write;

/// What is wrong with a label text, and at which byte of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error("expected {expected} at byte {at}")]
    Expected { expected: &'static str, at: usize },
    #[error("the string that begins at byte {at} has no end")]
    Unterminated { at: usize },
    #[error("the escape at byte {at} is not one of Go's")]
    Escape { at: usize },
    #[error("the value that begins at byte {at} is not valid UTF-8")]
    Utf8 { at: usize },
    #[error("label {name:?} occurs twice, again at byte {at}")]
    Duplicate { name: String, at: usize },
    #[error("there are more than {MAX_LABELS} labels")]
    TooMany,
}

/// More labels than this are refused whatever a tenant's limits say: sets are built by insertion.
pub const MAX_LABELS: usize = 1024;

/// Parses `{name="value", …}`: labels in any order, spaces between the parts, a comma at the end allowed; values in
/// Go's double quotes, single quotes or back quotes. A label with an empty value is left out, as it equals none.
pub fn parse_labels(raw: &str) -> Result<Labels, LabelError> {
    let mut reader = Reader { raw: raw.as_bytes(), at: 0 };
    let mut builder = LabelsBuilder::default();
    let mut names: Vec<&str> = Vec::with_capacity(16);
    reader.expect(b'{', "'{'")?;
    while !reader.take(b'}') {
        let at = reader.skip_spaces();
        let name = reader.name()?;
        if names.len() == MAX_LABELS {
            return Err(LabelError::TooMany);
        }
        let place = names.binary_search(&name).err().ok_or_else(|| LabelError::Duplicate { name: name.into(), at })?;
        names.insert(place, name);
        reader.expect(b'=', "'='")?;
        builder.set(name, reader.value()?);
        if !reader.take(b',') {
            reader.expect(b'}', "',' or '}'")?;
            break;
        }
    }
    match reader.skip_spaces() {
        at if at < raw.len() => Err(LabelError::Expected { expected: "the end", at }),
        _ => Ok(builder.build()),
    }
}

/// Writes a value in double quotes with Go's escapes, so that `parse_labels` reads it back.
pub fn quote(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || c == '\x7f' => {
                let _ = write!(out, "\\x{:02x}", c as u32); // writing to a string does not fail
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    raw: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn skip_spaces(&mut self) -> usize {
        while self.raw.get(self.at).is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
        self.at
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_spaces();
        let found = self.raw.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), LabelError> {
        match self.take(byte) {
            true => Ok(()),
            false => Err(LabelError::Expected { expected, at: self.at }),
        }
    }

    /// `[a-zA-Z_][a-zA-Z0-9_]*`
    fn name(&mut self) -> Result<&'a str, LabelError> {
        let start = self.skip_spaces();
        let rest = &self.raw[start..];
        let len = rest.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(rest.len());
        let error = LabelError::Expected { expected: "a label name", at: start };
        if len == 0 || rest[0].is_ascii_digit() {
            return Err(error);
        }
        self.at += len;
        std::str::from_utf8(&rest[..len]).map_err(|_| error)
    }

    fn value(&mut self) -> Result<String, LabelError> {
        let start = self.skip_spaces();
        let mut value = Vec::new();
        let mark = match self.raw.get(start) {
            Some(mark @ (b'"' | b'\'' | b'`')) => *mark,
            _ => return Err(LabelError::Expected { expected: "a quoted value", at: start }),
        };
        self.at += 1;
        loop {
            let rest = &self.raw[self.at..];
            let plain = match mark {
                b'`' => memchr::memchr(b'`', rest),
                mark => memchr::memchr3(mark, b'\\', b'\n', rest),
            };
            let plain = plain.ok_or(LabelError::Unterminated { at: start })?;
            value.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.raw[self.at] {
                b'\\' => self.escape(&mut value)?,
                b'\n' => return Err(LabelError::Unterminated { at: start }),
                _ => break self.at += 1,
            }
        }
        String::from_utf8(value).map_err(|_| LabelError::Utf8 { at: start })
    }

    /// Reads Go's escapes: `\n` and its like, `\377`, `\xff`, `\u1234`, `\U00012345`.
    fn escape(&mut self, value: &mut Vec<u8>) -> Result<(), LabelError> {
        let error = LabelError::Escape { at: self.at };
        let letter = *self.raw.get(self.at + 1).ok_or(error.clone())?;
        self.at += 2;
        let simple = match letter {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' | b'"' | b'\'' => letter,
            b'x' => u8::try_from(self.digits(2, 16).ok_or(error.clone())?).map_err(|_| error.clone())?,
            b'0'..=b'7' => {
                self.at -= 1;
                u8::try_from(self.digits(3, 8).ok_or(error.clone())?).map_err(|_| error.clone())?
            }
            b'u' | b'U' => {
                let code = self.digits(if letter == b'u' { 4 } else { 8 }, 16).ok_or(error.clone())?;
                let c = char::from_u32(code).ok_or(error)?;
                value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(error),
        };
        value.push(simple);
        Ok(())
    }

    fn digits(&mut self, count: usize, radix: u32) -> Option<u32> {
        let digits = self.raw.get(self.at..self.at + count)?;
        self.at += count;
        let digit = |value: u32, byte: &u8| Some(value << radix.ilog2() | char::from(*byte).to_digit(radix)?);
        digits.iter().try_fold(0u32, digit)
    }
}

/// The label text of pairs, which are sorted so that one label set has one text and so one key.
pub fn label_text<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let mut text = String::from("{");
    for (name, value) in pairs {
        if text.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        quote(&mut text, value);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(raw: &str, want: Result<&[(&str, &str)], LabelError>) {
        let want = want.map(|pairs| Labels::from_pairs(pairs.iter().copied()));
        assert_eq!(parse_labels(raw), want, "{raw}");
    }

    #[test]
    fn label_texts_are_read() {
        check("{}", Ok(&[]));
        check(" { } ", Ok(&[]));
        check(r#"{a="1"}"#, Ok(&[("a", "1")]));
        check(r#"{ b = "2" ,a="1", }"#, Ok(&[("a", "1"), ("b", "2")]));
        check("{a=`raw \\n\n\"`}", Ok(&[("a", "raw \\n\n\"")]));
        check(r#"{a='it"s',b="it's"}"#, Ok(&[("a", "it\"s"), ("b", "it's")]));
        check(r#"{a="\a\b\f\n\r\t\v\\\"\'"}"#, Ok(&[("a", "\x07\x08\x0c\n\r\t\x0b\\\"'")]));
        check(r#"{a="\x41\102\u00e4\U0001F600\xc3\xa4"}"#, Ok(&[("a", "ABä😀ä")]));
        check(r#"{a="",b="x"}"#, Ok(&[("b", "x")]));
        check(r#"{a="äö{},="}"#, Ok(&[("a", "äö{},=")]));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let expected = |expected, at| Err(LabelError::Expected { expected, at });
        check("", expected("'{'", 0));
        check("a", expected("'{'", 0));
        check("{", expected("a label name", 1));
        check("{,}", expected("a label name", 1));
        check("{1a=\"\"}", expected("a label name", 1));
        check("{ä=\"\"}", expected("a label name", 1));
        check("{a}", expected("'='", 2));
        check("{a=}", expected("a quoted value", 3));
        check("{a=b}", expected("a quoted value", 3));
        check("{a=\"b\" c=\"d\"}", expected("',' or '}'", 7));
        check("{a=\"b\"", expected("',' or '}'", 6));
        check("{a=\"b\"} x", expected("the end", 8));
        check("{a=\"b}", Err(LabelError::Unterminated { at: 3 }));
        check("{a=\"b\n\"}", Err(LabelError::Unterminated { at: 3 }));
        check("{a=`b}", Err(LabelError::Unterminated { at: 3 }));
        for escape in [r"\q", r"\x4", r"\xgg", r"\400", r"\18", r"\ud800", r"\U00110000", r"\u12", r"\`"] {
            check(&format!("{{a=\"{escape}\"}}"), Err(LabelError::Escape { at: 4 }));
        }
        check(r#"{a="\"#, Err(LabelError::Escape { at: 4 }));
        check(r#"{a="\xff"}"#, Err(LabelError::Utf8 { at: 3 }));
        let many: String = (0..=MAX_LABELS).map(|n| format!("a{n}=\"\",")).collect();
        check(&format!("{{{many}}}"), Err(LabelError::TooMany));
        check(r#"{a="1",a=""}"#, Err(LabelError::Duplicate { name: "a".into(), at: 7 }));
    }

    proptest! {
        #[test]
        fn quoted_values_come_back(value: String) {
            let mut raw = String::from("{a=");
            quote(&mut raw, &value);
            raw.push('}');
            let labels = parse_labels(&raw).expect("parses");
            prop_assert_eq!(labels.value("a"), value);
        }

        #[test]
        fn any_text_is_read_or_refused(raw: String) {
            let _ = parse_labels(&raw);
            let _ = parse_labels(&format!("{{a=\"{raw}"));
        }
    }
}
