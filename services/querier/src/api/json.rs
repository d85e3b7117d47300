//! Writes JSON straight into a buffer: answers can have millions of points.

use eval::histogram::buckets::Bucket;
use model::{Histogram, Labels};
use std::fmt::Write;

/// A JSON string of any text.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "\\u{byte:04x}")),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// `{"name":"value",…}`.
pub fn labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        string(out, value);
    }
    out.push('}');
}

/// `["a","b"]`.
pub fn strings<'a>(out: &mut String, all: impl IntoIterator<Item = &'a str>) {
    list(out, all, string);
}

/// Adds `warnings` to an object that is written already, if there are any.
pub fn warn(object: &mut String, warnings: &[String]) {
    if !warnings.is_empty() && object.pop() == Some('}') {
        object.push_str(if object.ends_with('{') { "\"warnings\":" } else { ",\"warnings\":" });
        strings(object, warnings.iter().map(String::as_str));
        object.push('}');
    }
}

/// `[…]` of anything.
pub fn list<T>(out: &mut String, all: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    out.push('[');
    for (at, item) in all.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

/// Unix milliseconds as seconds, with three decimals unless they are zero: as Prometheus writes times.
pub fn seconds(out: &mut String, millis: i64) {
    let (whole, rest) = (millis / 1000, (millis % 1000).abs());
    if millis < 0 && whole == 0 {
        out.push('-');
    }
    out.push_str(itoa::Buffer::new().format(whole));
    if rest != 0 {
        let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| char::from(b'0' + digit as u8));
        out.push('.');
        out.extend(digits);
    }
}

/// A float as Prometheus writes sample values: shortest exact text, never an exponent, in quotes.
pub fn float(out: &mut String, value: f64) {
    out.push('"');
    eval::number::push_plain(out, value);
    out.push('"');
}

/// `[seconds,"value"]`.
pub fn point(out: &mut String, millis: i64, value: f64) {
    out.push('[');
    seconds(out, millis);
    out.push(',');
    float(out, value);
    out.push(']');
}

/// A native histogram as Prometheus writes it: count, sum, and the buckets that are not empty as
/// `[boundary rule, lower, upper, count]`.
pub fn histogram(out: &mut String, h: &Histogram) {
    out.push_str("{\"count\":");
    float(out, h.count);
    out.push_str(",\"sum\":");
    float(out, h.sum);
    let native = eval::histogram::Native::from_model(h);
    let buckets = native.buckets();
    if !buckets.is_empty() {
        out.push_str(",\"buckets\":");
        // Prometheus leaves out a zero bucket that a subtraction made negative, and no other.
        let custom = native.is_custom();
        let shown = |b: &&Bucket| b.count != 0.0 && !(b.count < 0.0 && !custom && is_zero(b));
        list(out, buckets.iter().filter(shown), |out, bucket| {
            let _ = write!(out, "[{},", boundaries(bucket, custom));
            for (at, value) in [bucket.lower, bucket.upper, bucket.count].into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                float(out, value);
            }
            out.push(']');
        });
    }
    out.push('}');
}

/// Which bounds belong to a bucket: 0 the upper one, 1 the lower one, 3 both.
fn boundaries(bucket: &Bucket, custom: bool) -> u8 {
    match bucket {
        b if custom && b.lower == f64::NEG_INFINITY => 3,
        _ if custom => 0,
        b if is_zero(b) => 3,
        b if b.lower < 0.0 => 1,
        _ => 0,
    }
}

/// Whether a bucket of an exponential histogram is its zero bucket.
fn is_zero(bucket: &Bucket) -> bool {
    bucket.lower <= 0.0 && bucket.upper >= 0.0
}

#[cfg(test)]
mod tests;
