//! Durations, byte sizes and numbers as Go and Prometheus write and read them.

use crate::quote::quote;

/// Go's `time.ParseDuration`: nanoseconds, or Go's error text.
pub(crate) fn go_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0i128;
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (digits, tail) = rest.split_at(number);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || digits.len() > 40 {
            return Err(invalid());
        }
        let unit = tail.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale: i128 = match unit {
            "" => return Err(format!("time: missing unit in duration {}", quote(text))),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text))),
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let mut value = whole.checked_mul(scale).ok_or_else(invalid)?;
        if !fraction.is_empty() {
            let part: f64 = format!("0.{fraction}").parse().map_err(|_| invalid())?;
            value += (part * scale as f64) as i128;
        }
        total = total.checked_add(value).ok_or_else(invalid)?;
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = tail;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if negative { -total } else { total })
}

const DAY: i64 = 86_400_000_000_000;

/// Prometheus' durations (`1w2d3h`): nanoseconds, or its error text.
pub(crate) fn prometheus_duration(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * DAY),
        ("w", 7 * DAY),
        ("d", DAY),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
    ];
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("empty duration string".into());
    }
    let (mut rest, mut total, mut next) = (text, 0i64, 0);
    while !rest.is_empty() {
        let invalid = || format!("not a valid duration string: {}", quote(text));
        let number = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        if digits.is_empty() || unit.is_empty() {
            return Err(invalid());
        }
        let Some(at) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(format!("unknown unit {} in duration {}", quote(unit), quote(text)));
        };
        if at < next {
            return Err(invalid());
        }
        next = at + 1;
        let value = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(UNITS[at].1));
        total = value.and_then(|v| total.checked_add(v)).ok_or("duration out of range")?;
        rest = tail;
    }
    Ok(total)
}

/// What LogQL takes for a duration: Go's notation, else Prometheus'.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    go_duration(text).or_else(|_| prometheus_duration(text))
}

/// Go's `Duration.String`.
pub(crate) fn show_go_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let size = ns.unsigned_abs();
    if size == 0 {
        return "0s".into();
    }
    if size < 1_000_000_000 {
        let (scale, unit) = match size {
            0..1_000 => (1u64, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{unit}", fraction(size, scale));
    }
    let (hours, minutes) = (size / 3_600_000_000_000, size / 60_000_000_000 % 60);
    let seconds = fraction(size % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

fn fraction(value: u64, scale: u64) -> String {
    let rest = value % scale;
    if rest == 0 {
        return (value / scale).to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{}.{}", value / scale, digits.trim_end_matches('0'))
}

/// Prometheus' `Duration.String`, to the millisecond.
pub(crate) fn show_prometheus_duration(ns: i64) -> String {
    let mut ms = ns.unsigned_abs() / 1_000_000;
    if ms == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, size, exact) in [
        ("y", 31_536_000_000u64, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ] {
        if exact && !ms.is_multiple_of(size) {
            continue;
        }
        if ms / size > 0 {
            out.push_str(&format!("{}{unit}", ms / size));
            ms %= size;
        }
    }
    out
}

/// Reads a byte size as `humanize.ParseBytes` does: decimal and binary units in any case, spaces allowed.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let number = text.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b',')).count();
    let (digits, unit) = text.split_at(number);
    let digits = digits.replace(',', "");
    let value = number_text(&digits)?;
    let unit = unit.trim().to_lowercase();
    let scale = match unit.as_str() {
        "" | "b" => 1u64,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "p" | "pb" => 1_000_000_000_000_000,
        "e" | "eb" => 1_000_000_000_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        "pi" | "pib" => 1 << 50,
        "ei" | "eib" => 1 << 60,
        _ => return Err(format!("unhandled size name: {unit}")),
    };
    let size = value * scale as f64;
    if size >= u64::MAX as f64 { Err(format!("too large: {text}")) } else { Ok(size as u64) }
}

fn number_text(text: &str) -> Result<f64, String> {
    float(text).ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text)))
}

/// Whether a unit follows a number directly in a query text: LogQL itself knows only these spellings.
pub(crate) fn is_byte_unit(unit: &str) -> bool {
    const UNITS: [&str; 20] = [
        "B", "kB", "KB", "MB", "GB", "TB", "PB", "EB", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "Ki", "Mi", "Gi",
        "Ti", "Pi", "Ei",
    ];
    UNITS.contains(&unit)
}

/// `humanize.Bytes` without its space: one decimal below ten of a unit.
pub(crate) fn show_bytes(size: u64) -> String {
    if size < 10 {
        return format!("{size}B");
    }
    let (mut scaled, mut unit) = (size as f64, 0);
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    while scaled >= 1000.0 && unit < UNITS.len() - 1 {
        scaled /= 1000.0;
        unit += 1;
    }
    let value = (scaled * 10.0 + 0.5).floor() / 10.0;
    if value < 10.0 { format!("{value:.1}{}", UNITS[unit]) } else { format!("{value:.0}{}", UNITS[unit]) }
}

/// Go's `strconv.ParseFloat`, including hexadecimal floats, `Inf` and `NaN` in any case.
pub(crate) fn float(text: &str) -> Option<f64> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
        return Some(sign * hex_float(hex)?);
    }
    match body.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let plain = body.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    if !plain || matches!(body.as_bytes().first(), Some(b'-' | b'+')) {
        return None;
    }
    body.parse::<f64>().ok().map(|value| sign * value)
}

fn hex_float(text: &str) -> Option<f64> {
    let at = text.find(['p', 'P'])?; // Go wants an exponent here
    let exponent: i32 = text[at + 1..].parse().ok()?;
    let (mut value, mut scale, mut digits, mut point) = (0f64, 0i32, 0, false);
    for c in text[..at].chars() {
        if c == '.' && !point {
            point = true;
            continue;
        }
        value = value * 16.0 + f64::from(c.to_digit(16)?);
        digits += 1;
        scale -= if point { 4 } else { 0 };
    }
    if digits == 0 {
        return None;
    }
    Some(value * 2f64.powi(exponent.clamp(-2000, 2000).saturating_add(scale)))
}

/// A number as canonical texts show it: shortest, without an exponent.
pub(crate) fn show_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("1h0.0m0s", Ok(3_600_000_000_000)),
            ("250ms", Ok(250_000_000)),
            ("-1.5s", Ok(-1_500_000_000)),
            ("5d", Ok(5 * DAY)),
            ("1w2d", Ok(9 * DAY)),
            ("0", Ok(0)),
            ("5minutes", Err("unknown unit \"minutes\" in duration \"5minutes\"")),
            ("5", Err("not a valid duration string: \"5\"")),
            ("", Err("empty duration string")),
            ("99999999999999999999h", Err("duration out of range")),
        ] {
            assert_eq!(duration(text), want.map_err(String::from), "{text}");
        }
        assert_eq!(go_duration("90"), Err("time: missing unit in duration \"90\"".into()));
        assert_eq!(go_duration("nope"), Err("time: invalid duration \"nope\"".into()));
        for (ns, go, prometheus) in [
            (120 * 3_600_000_000_000, "120h0m0s", "5d"),
            (250_000_000, "250ms", "250ms"),
            (1_500_000_000, "1.5s", "1s500ms"),
            (300_000_000_000, "5m0s", "5m"),
            (0, "0s", "0s"),
        ] {
            assert_eq!((show_go_duration(ns).as_str(), show_prometheus_duration(ns).as_str()), (go, prometheus));
        }
    }

    #[test]
    fn sizes() {
        for (text, want) in [
            ("3 kB", Ok(3_000)),
            ("3mb", Ok(3_000_000)),
            ("2.5KiB", Ok(2_560)),
            ("42", Ok(42)),
            ("2qb", Err("unhandled size name: qb")),
            ("oops", Err("strconv.ParseFloat: parsing \"\": invalid syntax")),
        ] {
            assert_eq!(bytes(text), want.map_err(String::from), "{text}");
        }
        assert_eq!(show_bytes(2_560), "2.6kB");
        assert_eq!(show_bytes(1_000_000_000), "1.0GB");
        assert_eq!(show_bytes(42_000), "42kB");
    }

    #[test]
    fn numbers() {
        for (text, want) in [
            ("1e3", Some(1e3)),
            ("0x1.8p3", Some(12.0)),
            ("+Inf", Some(f64::INFINITY)),
            ("0x1A", None),
            ("1_0", None),
            ("", None),
            ("--1", None),
        ] {
            assert_eq!(float(text), want, "{text}");
        }
    }
}
