//! The `json` and `unpack` stages: a scanner that allocates only for what it gives.

use crate::row::label_name;
use std::borrow::Cow;

type Sink<'l, 's> = dyn FnMut(Cow<'l, str>, Cow<'l, str>) + 's;

/// Objects within objects deeper than this are left out.
const MAX_DEPTH: usize = 64;

/// A value as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'l> {
    /// Between the quotes, and whether it has escapes.
    Text(&'l str, bool),
    /// A number, `true` or `false`.
    Plain(&'l str),
    Null,
    Object(&'l str),
    Array(&'l str),
}

impl<'l> Value<'l> {
    /// The value as a label has it.
    fn label(self) -> Cow<'l, str> {
        match self {
            Value::Text(text, true) => unescape(text).unwrap_or(Cow::Borrowed(text)),
            Value::Text(text, false) | Value::Plain(text) | Value::Object(text) | Value::Array(text) => {
                Cow::Borrowed(text)
            }
            Value::Null => Cow::Borrowed(""),
        }
    }
}

/// Gives each field of an object, those of inner objects under `outer_inner`. Arrays and nulls are left out.
/// Fields before a fault are given. Answers where the object ends. An error is the text of the parser that Loki uses.
pub(crate) fn fields<'l>(line: &'l str, found: &mut Sink<'l, '_>) -> Result<usize, String> {
    let mut scan = Scan { text: line, at: 0 };
    scan.blanks();
    if scan.byte() != Some(b'{') {
        return Err("Value looks like object, but can't find closing '}' symbol".into());
    }
    flatten(&mut scan, &mut String::new(), 0, found)?;
    Ok(scan.at)
}

/// A value that does not stand in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bare {
    /// A number, `true` or `false`.
    Plain,
    Null,
    /// An object or array.
    Nested,
}

/// What a text is between a colon and what follows a value, if it is one value and nothing else.
pub(crate) fn bare(text: &str) -> Option<Bare> {
    let mut scan = Scan { text, at: 0 };
    let bare = match scan.value().ok()? {
        Value::Text(..) => return None,
        Value::Plain(_) => Bare::Plain,
        Value::Null => Bare::Null,
        Value::Object(_) | Value::Array(_) => Bare::Nested,
    };
    (scan.at == text.len()).then_some(bare)
}

fn flatten<'l>(scan: &mut Scan<'l>, prefix: &mut String, depth: usize, found: &mut Sink<'l, '_>) -> Result<(), String> {
    scan.object(&mut |scan, key| {
        let key_text = key.label();
        if scan.byte() == Some(b'{') && depth < MAX_DEPTH {
            let length = prefix.len();
            push_key(prefix, &key_text);
            let result = flatten(scan, prefix, depth + 1, found);
            prefix.truncate(length);
            return result;
        }
        let value = scan.value()?;
        if matches!(value, Value::Array(_) | Value::Object(_) | Value::Null) {
            return Ok(());
        }
        let name = match (prefix.is_empty(), key_text) {
            (true, Cow::Borrowed(key)) => label_name(key),
            (true, Cow::Owned(key)) => Cow::Owned(label_name(&key).into_owned()),
            (false, key) => {
                let mut name = prefix.clone();
                push_key(&mut name, &key);
                Cow::Owned(name)
            }
        };
        found(name, value.label());
        Ok(())
    })
}

/// Adds a key to a path of keys, sanitised; an inner key may begin with a digit.
fn push_key(path: &mut String, key: &str) {
    let key = key.trim();
    if path.is_empty() {
        path.push_str(&label_name(key));
    } else if !key.is_empty() {
        path.push('_');
        path.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    }
}

/// What `unpack` takes from an object that a packing agent made: the line, and the labels. `None` when there is no
/// packed line in it.
pub(crate) type Unpacked<'l> = Option<(Cow<'l, str>, Vec<(Cow<'l, str>, Cow<'l, str>)>)>;

/// Reads a packed line: an object of texts, one of which, `_entry`, is the line.
pub(crate) fn unpack(line: &str) -> Result<Unpacked<'_>, String> {
    let mut scan = Scan { text: line, at: 0 };
    scan.blanks();
    if scan.byte() != Some(b'{') {
        return Err("expecting json object(6), but it is not".into());
    }
    let (mut entry, mut labels) = (None, Vec::new());
    scan.object(&mut |scan, key| {
        let value = scan.value()?;
        if let Value::Text(..) = value {
            match key.label() {
                key if key == "_entry" => entry = Some(value.label()),
                Cow::Borrowed(key) => labels.push((label_name(key), value.label())),
                Cow::Owned(key) => labels.push((Cow::Owned(label_name(&key).into_owned()), value.label())),
            }
        }
        Ok(())
    })?;
    Ok(entry.map(|entry| (entry, labels)))
}

/// One step of a path into a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Reads a path such as `a.b[0]["c d"]`.
pub(crate) fn path(text: &str) -> Result<Vec<Step>, String> {
    let fault = || format!("cannot parse expression [{text}]");
    let (mut steps, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            if let Some(quoted) = inner.strip_prefix('"') {
                let end = quoted.find("\"]").ok_or_else(fault)?;
                steps.push(Step::Key(quoted[..end].to_owned()));
                rest = &quoted[end + 2..];
            } else {
                let end = inner.find(']').ok_or_else(fault)?;
                steps.push(Step::Index(inner[..end].trim().parse().map_err(|_| fault())?));
                rest = &inner[end + 1..];
            }
            continue;
        }
        let key = match (rest.strip_prefix('.'), steps.is_empty()) {
            (Some(key), false) => key,
            (None, true) => rest,
            _ => return Err(fault()),
        };
        let end = key.find(['.', '[']).unwrap_or(key.len());
        let (key, after) = key.split_at(end);
        let fits = |c: char| c == '_' || c == '-' || c.is_alphanumeric();
        if key.is_empty() || !key.chars().all(fits) {
            return Err(fault());
        }
        steps.push(Step::Key(key.to_owned()));
        rest = after;
    }
    if steps.is_empty() { Err(fault()) } else { Ok(steps) }
}

/// The values at some paths, in the order of the paths; a path that leads nowhere gives the empty text.
pub(crate) fn lookup<'l>(line: &'l str, paths: &[Vec<Step>]) -> Result<Vec<Cow<'l, str>>, String> {
    let mut found: Vec<Option<Value<'l>>> = vec![None; paths.len()];
    let mut scan = Scan { text: line, at: 0 };
    scan.blanks();
    if scan.byte() != Some(b'{') {
        return Err("Value looks like object, but can't find closing '}' symbol".into());
    }
    let active: Vec<(usize, &[Step])> = paths.iter().map(Vec::as_slice).enumerate().collect();
    descend(&mut scan, &active, &mut found, 0)?;
    Ok(found.into_iter().map(|value| value.map_or(Cow::Borrowed(""), Value::label)).collect())
}

/// Reads the value here once, for all paths that lead into it.
fn descend<'l>(
    scan: &mut Scan<'l>,
    active: &[(usize, &[Step])],
    found: &mut [Option<Value<'l>>],
    depth: usize,
) -> Result<(), String> {
    let whole = active.iter().any(|(_, steps)| steps.is_empty());
    let inner = active.iter().any(|(_, steps)| !steps.is_empty());
    if whole || !inner || depth >= MAX_DEPTH {
        let start = scan.at;
        let value = scan.value()?;
        for (at, _) in active.iter().filter(|(_, steps)| steps.is_empty()) {
            found[*at].get_or_insert(value);
        }
        if !inner || depth >= MAX_DEPTH {
            return Ok(());
        }
        scan.at = start;
    }
    let below = |matches: &dyn Fn(&Step) -> bool| -> Vec<(usize, &[Step])> {
        active
            .iter()
            .filter_map(|(at, steps)| {
                steps.split_first().filter(|(step, _)| matches(step)).map(|(_, rest)| (*at, rest))
            })
            .collect()
    };
    match scan.byte() {
        Some(b'{') => scan.object(&mut |scan, key| {
            let key = key.label();
            let wanted = below(&|step| matches!(step, Step::Key(k) if *k == key));
            if wanted.is_empty() { scan.value().map(drop) } else { descend(scan, &wanted, found, depth + 1) }
        }),
        Some(b'[') => {
            let mut index = 0;
            scan.array(&mut |scan| {
                let wanted = below(&|step| *step == Step::Index(index));
                index += 1;
                if wanted.is_empty() { scan.value().map(drop) } else { descend(scan, &wanted, found, depth + 1) }
            })
        }
        _ => scan.value().map(drop),
    }
}

struct Scan<'l> {
    text: &'l str,
    at: usize,
}

impl<'l> Scan<'l> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn fault<T>(&self, text: &str) -> Result<T, String> {
        Err(text.to_owned())
    }

    /// An object that begins here; `field` is called where each value begins and must step over it.
    fn object(&mut self, field: &mut dyn FnMut(&mut Scan<'l>, Value<'l>) -> Result<(), String>) -> Result<(), String> {
        const UNCLOSED: &str = "Value looks like object, but can't find closing '}' symbol";
        self.at += 1;
        self.blanks();
        if self.byte() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            if self.byte() != Some(b'"') {
                return self.fault(UNCLOSED);
            }
            let key = self.string()?;
            self.blanks();
            if self.byte() != Some(b':') {
                return self.fault("Malformed JSON error");
            }
            self.at += 1;
            self.blanks();
            field(self, key)?;
            self.blanks();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fault(UNCLOSED),
            }
        }
    }

    fn array(&mut self, item: &mut dyn FnMut(&mut Scan<'l>) -> Result<(), String>) -> Result<(), String> {
        self.at += 1;
        self.blanks();
        if self.byte() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            item(self)?;
            self.blanks();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fault("Value is array, but can't find closing ']' symbol"),
            }
        }
    }

    fn string(&mut self) -> Result<Value<'l>, String> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let (mut at, mut escaped) = (start, false);
        loop {
            at += memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default())
                .ok_or("Value is string, but can't find closing '\"' symbol")?;
            if bytes[at] == b'"' {
                break;
            }
            escaped = true;
            at += 2;
        }
        self.at = at + 1;
        Ok(Value::Text(&self.text[start..at], escaped))
    }

    /// Steps over the value that begins here.
    fn value(&mut self) -> Result<Value<'l>, String> {
        let start = self.at;
        match self.byte() {
            Some(b'"') => self.string(),
            Some(open @ (b'{' | b'[')) => {
                self.skip_nested()?;
                let text = &self.text[start..self.at];
                Ok(if open == b'{' { Value::Object(text) } else { Value::Array(text) })
            }
            _ => {
                while self.byte().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
                    self.at += 1;
                }
                let text = &self.text[start..self.at];
                match text {
                    "null" => Ok(Value::Null),
                    "true" | "false" => Ok(Value::Plain(text)),
                    _ if text.parse::<f64>().is_ok() && !text.starts_with(|c: char| c.is_alphabetic()) => {
                        Ok(Value::Plain(text))
                    }
                    _ => self.fault("Unknown value type"),
                }
            }
        }
    }

    /// Steps over an object or array without looking at what is in it.
    fn skip_nested(&mut self) -> Result<(), String> {
        let object = self.byte() == Some(b'{');
        let mut depth = 0usize;
        loop {
            match self.byte() {
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(_) => {}
                None if object => return self.fault("Value looks like object, but can't find closing '}' symbol"),
                None => return self.fault("Value is array, but can't find closing ']' symbol"),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Resolves the escapes of a JSON text; `None` when one is not JSON's.
pub(crate) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    let Some(first) = memchr::memchr(b'\\', text.as_bytes()) else {
        return Some(Cow::Borrowed(text));
    };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut chars = text[first..].chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            c @ ('"' | '\\' | '/' | '\'') => out.push(c),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let high = hex4(&mut chars)?;
                let mut ahead = chars.clone();
                let low = if (0xd800..0xdc00).contains(&high) && ahead.next() == Some('\\') && ahead.next() == Some('u')
                {
                    hex4(&mut ahead).filter(|low| (0xdc00..0xe000).contains(low))
                } else {
                    None
                };
                let code = low.map_or(high, |low| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                if low.is_some() {
                    chars = ahead;
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => return None,
        }
    }
    Some(Cow::Owned(out))
}

fn hex4(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let mut value = 0;
    for _ in 0..4 {
        value = value * 16 + chars.next()?.to_digit(16)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: &str, error: bool) {
        let mut got = Vec::new();
        let result = fields(line, &mut |name, value| got.push(format!("{name}={value}")));
        assert_eq!((got.join(" ").as_str(), result.is_err()), (want, error), "{line}");
    }

    #[test]
    fn fields_of_objects() {
        check(r#"{"a":1,"b":{"c":"x","d":{"e":true}},"n":null,"l":[1,{"z":2}]}"#, "a=1 b_c=x b_d_e=true", false);
        check(r#"{"foo.bar":"10ms","1st":-1.5e3,"":"x"}"#, "foo_bar=10ms _1st=-1.5e3 =x", false);
        check(r#"{"a":"x\"\u00e9\ud83d\ude00\n"}"#, "a=x\"é😀\n", false);
        check(r#" { } trailing"#, "", false);
    }

    #[test]
    fn faults_keep_what_came_before() {
        check(r#"{"a":1,"b":"#, "a=1", true);
        check(r#"{"a":"x"#, "", true);
        check(r#"{"a":nope}"#, "", true);
        check(r#"{"a":1 "b":2}"#, "a=1", true);
        check(r#"{"a":[1,2}"#, "", true);
        check("broken", "", true);
        check(r#"{"a":"\"#, "", true);
    }

    #[test]
    fn paths() {
        let document = r#"{"a":{"b":[10,{"c d":"x"}]},"e":null,"a2":"2","a":"again"}"#;
        for (text, want) in [
            ("a.b[0]", "10"),
            (r#"a.b[1]["c d"]"#, "x"),
            (r#"["a"].b[1]"#, r#"{"c d":"x"}"#),
            ("a.b[7]", ""),
            ("e", ""),
            ("a2", "2"),
            ("nope.x", ""),
        ] {
            let paths = [path(text).expect(text), path("a.b").expect("a.b")];
            let got = lookup(document, &paths).expect(text);
            assert_eq!((got[0].as_ref(), got[1].as_ref()), (want, r#"[10,{"c d":"x"}]"#), "{text}");
        }
        for text in ["", ".", "a.", "a..b", "a[", "a[x]", "a[\"x]", ".a", "a b"] {
            assert!(path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn packed_lines() {
        let (line, labels) =
            unpack(r#"{"app":"x","_entry":"the line","n":1}"#).expect("an object").expect("a packed line");
        assert_eq!((line.as_ref(), labels.len()), ("the line", 1));
        assert_eq!(unpack(r#"{"app":"x"}"#), Ok(None));
        assert!(unpack("x").is_err());
    }
}
