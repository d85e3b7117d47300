//! The functions of templates that work on texts.

use super::exec::MAX_OUTPUT;
use super::value::{Value, show_float};
use crate::quote::quote;
use crate::re;

pub(super) fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let text = |at: usize| args.get(at).map(Value::show).unwrap_or_default();
    let set = |at: usize| -> Vec<char> { text(at).chars().collect() };
    let ok = |text: String| Ok(Value::Text(text));
    match name {
        "ToLower" | "lower" => ok(text(0).to_lowercase()),
        "ToUpper" | "upper" => ok(text(0).to_uppercase()),
        "title" => ok(title(&text(0))),
        "Replace" => ok(match args[3].int() {
            count if count < 0 => replaced(&text(0), &text(1), &text(2), usize::MAX)?,
            count => replaced(&text(0), &text(1), &text(2), usize::try_from(count).unwrap_or(0))?,
        }),
        "replace" => ok(replaced(&text(2), &text(0), &text(1), usize::MAX)?),
        "Trim" => ok(text(0).trim_matches(&*set(1)).to_owned()),
        "trimAll" | "trimall" => ok(text(1).trim_matches(&*set(0)).to_owned()),
        "TrimLeft" => ok(text(0).trim_start_matches(&*set(1)).to_owned()),
        "TrimRight" => ok(text(0).trim_end_matches(&*set(1)).to_owned()),
        "TrimPrefix" => ok(text(0).strip_prefix(text(1).as_str()).map(str::to_owned).unwrap_or_else(|| text(0))),
        "trimPrefix" => ok(text(1).strip_prefix(text(0).as_str()).map(str::to_owned).unwrap_or_else(|| text(1))),
        "TrimSuffix" => ok(text(0).strip_suffix(text(1).as_str()).map(str::to_owned).unwrap_or_else(|| text(0))),
        "trimSuffix" => ok(text(1).strip_suffix(text(0).as_str()).map(str::to_owned).unwrap_or_else(|| text(1))),
        "TrimSpace" | "trim" => ok(text(0).trim().to_owned()),
        "regexReplaceAll" | "regexReplaceAllLiteral" => {
            let regex = re::compile(&text(0)).map_err(|why| format!("error calling {name}: {why}"))?;
            let (subject, by) = (text(1), text(2));
            let done = if name == "regexReplaceAll" {
                regex.replace_all(&subject, by.as_str())
            } else {
                regex.replace_all(&subject, regex::NoExpand(&by))
            };
            ok(done.into_owned())
        }
        "count" => {
            let regex = re::compile(&text(0)).map_err(|why| format!("error calling count: {why}"))?;
            Ok(Value::Int(i64::try_from(regex.find_iter(&text(1)).count()).unwrap_or(i64::MAX)))
        }
        "trunc" => ok(trunc(args[0].int(), &text(1))),
        "substr" => ok(substr(args[0].int(), args[1].int(), &text(2))),
        "slice" => ok(substr(args.get(1).map_or(0, Value::int), args.get(2).map_or(-1, Value::int), &text(0))),
        "contains" => Ok(Value::Bool(text(1).contains(&text(0)))),
        "hasPrefix" => Ok(Value::Bool(text(1).starts_with(&text(0)))),
        "hasSuffix" => Ok(Value::Bool(text(1).ends_with(&text(0)))),
        "indent" => ok(indent(args[0].int(), &text(1))?),
        "nindent" => ok(format!("\n{}", indent(args[0].int(), &text(1))?)),
        "repeat" => {
            let (count, unit) = (usize::try_from(args[0].int()).unwrap_or(0), text(1));
            if unit.len().saturating_mul(count) > MAX_OUTPUT {
                return Err(format!("error calling repeat: the text is longer than {MAX_OUTPUT} bytes"));
            }
            ok(unit.repeat(count))
        }
        "alignLeft" | "alignRight" => align(name, args[0].int(), &text(1)),
        "urlencode" | "urlquery" => ok(url_encode(&text(0))),
        "urldecode" => url_decode(&text(0))
            .map(Value::Text)
            .ok_or_else(|| format!("error calling urldecode: invalid URL escape in {}", quote(&text(0)))),
        "b64enc" => ok(base64(text(0).as_bytes())),
        "b64dec" => ok(unbase64(&text(0))
            .map_or_else(|| "illegal base64 data".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())),
        "quote" => ok(args.iter().map(|a| quote(&a.show())).collect::<Vec<String>>().join(" ")),
        "squote" => ok(args.iter().map(|a| format!("'{}'", a.show())).collect::<Vec<String>>().join(" ")),
        "print" => ok(print(args)),
        "println" => ok(args.iter().map(Value::show).collect::<Vec<String>>().join(" ") + "\n"),
        "html" => {
            ok(escape(&print(args), &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&#34;"), ('\'', "&#39;")]))
        }
        "js" => ok(escape(
            &print(args),
            &[
                ('\\', "\\\\"),
                ('\'', "\\'"),
                ('"', "\\\""),
                ('<', "\\u003C"),
                ('>', "\\u003E"),
                ('&', "\\u0026"),
                ('=', "\\u003D"),
            ],
        )),
        "printf" => ok(printf(&text(0), &args[1..])),
        _ => Err(format!("function {name:?} not defined")),
    }
}

fn replaced(text: &str, from: &str, to: &str, count: usize) -> Result<String, String> {
    let times = if from.is_empty() { text.len() + 1 } else { text.len() / from.len() };
    if text.len() + times.min(count).saturating_mul(to.len()) > 4 * MAX_OUTPUT {
        return Err(format!("the text is longer than {MAX_OUTPUT} bytes"));
    }
    Ok(text.replacen(from, to, count))
}

/// Each word with a capital; the rest stays.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut starts = true;
    for c in text.chars() {
        if starts {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        starts = !(c.is_alphanumeric() || matches!(c, '_' | '\''));
    }
    out
}

/// The first characters, or with a negative count the last.
fn trunc(count: i64, text: &str) -> String {
    let length = text.chars().count();
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(length);
    if count < 0 { text.chars().skip(length - wanted).collect() } else { text.chars().take(wanted).collect() }
}

fn substr(start: i64, end: i64, text: &str) -> String {
    let length = text.chars().count();
    let start = usize::try_from(start).unwrap_or(0).min(length);
    let end = usize::try_from(end).unwrap_or(length).min(length);
    text.chars().skip(start).take(end.saturating_sub(start)).collect()
}

fn indent(spaces: i64, text: &str) -> Result<String, String> {
    let spaces = usize::try_from(spaces).unwrap_or(0);
    let lines = text.matches('\n').count() + 1;
    if spaces.saturating_mul(lines) > MAX_OUTPUT {
        return Err(format!("the text is longer than {MAX_OUTPUT} bytes"));
    }
    let pad = " ".repeat(spaces);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn align(name: &str, width: i64, text: &str) -> Result<Value, String> {
    let width = usize::try_from(width).unwrap_or(0);
    if width > MAX_OUTPUT {
        return Err(format!("error calling {name}: the text is longer than {MAX_OUTPUT} bytes"));
    }
    let length = text.chars().count();
    Ok(Value::Text(match (length <= width, name) {
        (true, "alignLeft") => format!("{text}{}", " ".repeat(width - length)),
        (true, _) => format!("{}{text}", " ".repeat(width - length)),
        (false, "alignLeft") => text.chars().take(width).collect(),
        (false, _) => text.chars().skip(length - width).collect(),
    }))
}

fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            b' ' => out.push('+'),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn url_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b => b,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let index = (word >> (18 - 6 * at)) & 63;
            out.push(if at <= chunk.len() { char::from(ALPHABET[index as usize]) } else { '=' });
        }
    }
    out
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut word, mut bits, mut out) = (0u32, 0, Vec::new());
    for b in text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')) {
        let index = ALPHABET.iter().position(|a| *a == b)?;
        word = (word << 6 | index as u32) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
        }
    }
    Some(out)
}

/// Go's `Sprint`: a space between two values of which neither is a text.
fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (at, arg) in args.iter().enumerate() {
        if at > 0 && !matches!(arg, Value::Text(_)) && !matches!(args[at - 1], Value::Text(_)) {
            out.push(' ');
        }
        out.push_str(&arg.show());
    }
    out
}

fn escape(text: &str, by: &[(char, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match by.iter().find(|(from, _)| *from == c) {
            Some((_, to)) => out.push_str(to),
            None => out.push(c),
        }
    }
    out
}

/// Go's `Sprintf` with its flags `-`, `0`, `+`, width and precision.
fn printf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut args = args.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let spec = rest.find(|c: char| c.is_ascii_alphabetic() || c == '%').unwrap_or(rest.len());
        let (flags, tail) = rest.split_at(spec);
        let Some(verb) = tail.chars().next() else {
            out.push_str("%!(NOVERB)");
            rest = "";
            break;
        };
        rest = &tail[1..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(arg) = args.next() else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        let digits_from = flags.find(|c: char| !matches!(c, '-' | '+' | '0' | ' ' | '#')).unwrap_or(flags.len());
        let (marks, size) = flags.split_at(digits_from);
        let (width, precision) =
            size.split_once('.').map_or((size, None), |(w, p)| (w, Some(p.parse::<usize>().unwrap_or(0).min(100))));
        let width = width.parse::<usize>().unwrap_or(0).min(10_000);
        let text = verb_text(verb, arg, precision, marks.contains('+'));
        let missing = width.saturating_sub(text.chars().count());
        if marks.contains('-') {
            out.push_str(&text);
            out.push_str(&" ".repeat(missing));
        } else if marks.contains('0') && !matches!(verb, 's' | 'q' | 'v') {
            let sign = usize::from(text.starts_with(['-', '+']));
            out.push_str(&text[..sign]);
            out.push_str(&"0".repeat(missing));
            out.push_str(&text[sign..]);
        } else {
            out.push_str(&" ".repeat(missing));
            out.push_str(&text);
        }
        if out.len() > MAX_OUTPUT {
            return out;
        }
    }
    out.push_str(rest);
    let extra: Vec<String> = args
        .map(|a| format!("{}={}", if matches!(a, Value::Text(_)) { "string" } else { "value" }, a.show()))
        .collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn verb_text(verb: char, arg: &Value, precision: Option<usize>, plus: bool) -> String {
    let signed = |text: String| if plus && !text.starts_with('-') { format!("+{text}") } else { text };
    match (verb, arg) {
        ('v', Value::Float(value)) if precision.is_none() => show_float(*value),
        ('s' | 'v', arg) => match precision {
            Some(count) => arg.show().chars().take(count).collect(),
            None => arg.show(),
        },
        ('q', arg) => quote(&arg.show()),
        ('d', Value::Int(value)) => signed(value.to_string()),
        ('x', Value::Int(value)) => format!("{value:x}"),
        ('X', Value::Int(value)) => format!("{value:X}"),
        ('x', Value::Text(text)) => text.bytes().map(|b| format!("{b:02x}")).collect(),
        ('b', Value::Int(value)) => format!("{value:b}"),
        ('o', Value::Int(value)) => format!("{value:o}"),
        ('c', Value::Int(value)) => {
            u32::try_from(*value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
        }
        ('f' | 'F', Value::Float(value)) => signed(format!("{value:.*}", precision.unwrap_or(6))),
        ('g', Value::Float(value)) => signed(show_float(*value)),
        ('e', Value::Float(value)) => {
            let text = format!("{value:.*e}", precision.unwrap_or(6));
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            signed(format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()))
        }
        ('t', Value::Bool(value)) => value.to_string(),
        (verb, Value::Text(text)) => format!("%!{verb}(string={text})"),
        (verb, arg) => format!("%!{verb}({})", arg.show()),
    }
}
