//! Reads literals: numbers, durations and quoted strings.

/// A number: decimal, hexadecimal, with an exponent, with underscores between digits, `Inf` or `NaN`.
/// As in Go, a whole number with a leading zero is octal.
pub fn number(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("inf") {
        return Some(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") || text.contains("_.") || text.contains("._")
    {
        return None;
    }
    let digits = text.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with('+')).map(|n| n as f64);
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return u64::from_str_radix(&digits, 8).ok().map(|n| n as f64);
    }
    let first = digits.bytes().next()?;
    if !(first.is_ascii_digit() || first == b'.') || !digits.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// A duration like `1h30m`: units from the largest to the smallest, each once. Answers seconds.
pub fn duration_seconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let (mut rest, mut next_unit, mut total) = (text, 0, 0i64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let at = UNITS[next_unit..].iter().position(|(unit, _)| *unit == &rest[..letters])? + next_unit;
        total = total.checked_add(count.checked_mul(UNITS[at].1)?)?;
        // Beyond what Go's nanoseconds can hold, a duration is out of range.
        if total > i64::MAX / 1_000_000 {
            return None;
        }
        next_unit = at + 1;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total as f64 / 1000.0)
}

/// The bytes of a quoted string, quotes included in `text`. Escapes are those of Go.
pub fn unquote(text: &str) -> Result<Vec<u8>, String> {
    let (Some(quote), true) = (text.bytes().next(), text.len() >= 2) else { return Err("invalid syntax".into()) };
    let body = &text[1..text.len() - 1];
    if quote == b'`' {
        return Ok(body.bytes().filter(|b| *b != b'\r').collect());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let bad = || Err("invalid syntax".to_owned());
        let Some(escape) = chars.next() else { return bad() };
        let mut digits = |count: usize, radix: u32, first: u32| -> Option<u32> {
            (0..count).try_fold(first, |value, _| value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?))
        };
        match escape {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            c if c as u32 == u32::from(quote) => out.push(quote),
            'x' => match digits(2, 16, 0) {
                Some(byte) => out.push(byte as u8),
                None => return bad(),
            },
            '0'..='7' => match digits(2, 8, escape as u32 - '0' as u32) {
                Some(byte @ 0..=255) => out.push(byte as u8),
                _ => return bad(),
            },
            'u' | 'U' => match digits(if escape == 'u' { 4 } else { 8 }, 16, 0).and_then(char::from_u32) {
                Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => return bad(),
            },
            _ => return bad(),
        }
    }
    Ok(out)
}

/// Bytes as Go's `%q` writes them.
pub fn go_quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out += "\\n",
                '\r' => out += "\\r",
                '\t' => out += "\\t",
                c if (c as u32) < 0x20 || c as u32 == 0x7f => out += &format!("\\x{:02x}", c as u32),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out += &format!("\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, want) in [
            ("1", 1.0),
            ("017", 15.0),
            ("0x1F", 31.0),
            ("1_000", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1.5e-3", 0.0015),
            ("Inf", f64::INFINITY),
            ("08", 8.0),
        ] {
            assert_eq!(number(text), Some(want), "{text}");
        }
        for bad in ["", ".", "1m", "0x", "1__0", "1_", "e5", "0x+1"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, want) in
            [("1h30m", 5400.0), ("5m", 300.0), ("1ms", 0.001), ("1y2w3d4h5m6s7ms", 33_019_506.007), ("0s", 0.0)]
        {
            assert_eq!(duration_seconds(text), Some(want), "{text}");
        }
        for bad in ["", "5", "m", "1m1h", "1m1m", "1.5m", "99999999999y"] {
            assert_eq!(duration_seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn strings() {
        for (text, want) in
            [(r#""a\n\x41\101\u00e4""#, "a\nAAä"), (r"'it\'s'", "it's"), ("`a\\n`", "a\\n"), (r#""""#, "")]
        {
            assert_eq!(unquote(text).as_deref(), Ok(want.as_bytes()), "{text}");
        }
        for bad in [r#""\z""#, r#""\x4""#, r#""\777""#, r#""\ud800""#, r#""\'""#] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
        assert_eq!(go_quote(b"a\xc5z\"\n"), r#""a\xc5z\"\n""#);
    }
}
