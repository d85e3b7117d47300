//! Numbers as people read them.

use logql::template::Value;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const LARGE_1024: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// The functions whose one argument is a number.
pub(super) fn call(name: &str, arg: &Value) -> Result<Value, String> {
    let v = number(arg)?;
    Ok(match name {
        "humanize" => Value::Text(humanize(v)),
        "humanize1024" => Value::Text(humanize_1024(v)),
        "humanizeDuration" => Value::Text(duration(v)),
        "humanizePercentage" => Value::Text(format!("{}%", four(v * 100.0))),
        "humanizeTimestamp" | "toTime" => match time(v) {
            Some(ns) if name == "toTime" => Value::Time(ns),
            Some(ns) => Value::Text(Value::Time(ns).show()),
            None => Value::Text(four(v)),
        },
        other => return Err(format!("{other} is not known here")),
    })
}

fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Text(text) => text.trim().parse().map_err(|_| format!("{text:?} is not a number")),
        other => Err(format!("can't convert {} to float", other.show())),
    }
}

fn time(seconds: f64) -> Option<i64> {
    let ns = seconds * 1e9;
    (ns.is_finite() && ns.abs() < 9.2e18).then_some(ns as i64)
}

fn scaled(mut v: f64, prefixes: &[&'static str], step: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if v.abs() < step {
            break;
        }
        (prefix, v) = (next, v / step);
    }
    (v, prefix)
}

fn shrunk(mut v: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if v.abs() >= 1.0 {
            break;
        }
        (prefix, v) = (next, v * 1000.0);
    }
    (v, prefix)
}

fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return four(v);
    }
    let (v, prefix) = if v.abs() >= 1.0 { scaled(v, &LARGE, 1000.0) } else { shrunk(v) };
    four(v) + prefix
}

fn humanize_1024(v: f64) -> String {
    if v.abs() <= 1.0 || !v.is_finite() {
        return four(v);
    }
    let (v, prefix) = scaled(v, &LARGE_1024, 1024.0);
    four(v) + prefix
}

fn duration(v: f64) -> String {
    if !v.is_finite() {
        return four(v);
    }
    if v.abs() < 1.0 {
        let (v, prefix) = if v == 0.0 { (v, "") } else { shrunk(v) };
        return format!("{}{prefix}s", four(v));
    }
    let (sign, v) = (if v < 0.0 { "-" } else { "" }, v.abs());
    let whole = v as i64;
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four(v)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// Go's `%.4g`: four digits, an exponent from ten thousand up and below a ten-thousandth, no zeros at the end.
fn four(v: f64) -> String {
    if v.is_nan() {
        return "NaN".into();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let scientific = format!("{v:.3e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..4).contains(&exponent) {
        return trimmed(&format!("{v:.*}", (3 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
}
