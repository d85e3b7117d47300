//! Makes a Loki push of plain lines, as a content delivery network or a shell script sends them.

use crate::error::DecodeError;
use crate::loki::Builder;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// How lines become entries.
#[derive(Debug, Clone, Copy)]
pub struct Mapping<'a> {
    /// The labels of all lines, as a label text.
    pub labels: &'a str,
    /// The field of JSON lines that has their time. Lines that have none get `now`.
    pub time_field: Option<&'a str>,
    /// Unix nanoseconds.
    pub now: i64,
    /// Bytes that the push may have.
    pub limit: usize,
}

/// The uncompressed body of a push of these lines; empty when there are none. Lines end with `\n` or `\r\n`; empty ones are
/// left out, and bytes that are not UTF-8 become U+FFFD. Lines without a time of their own get one nanosecond after the
/// other, so that they stay in order.
pub fn translate(body: &[u8], mapping: Mapping<'_>) -> Result<Vec<u8>, DecodeError> {
    let Mapping { labels, time_field, now, limit } = mapping;
    let mut builder = Builder::new();
    let mut any = false;
    let lines = body.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for (line, later) in lines.filter(|line| !line.is_empty()).zip(0i64..) {
        if !std::mem::replace(&mut any, true) {
            builder.stream(labels);
        }
        let line = String::from_utf8_lossy(line);
        let told = time_field.and_then(|field| time_of(&line, field));
        builder.entry(told.unwrap_or(now.saturating_add(later)), &line, []);
        if builder.len() > limit {
            return Err(DecodeError::TooLarge { len: builder.len(), limit });
        }
    }
    Ok(builder.finish())
}

/// The time in a field of a JSON object, in Unix nanoseconds.
fn time_of(line: &str, field: &str) -> Option<i64> {
    let mut reader = serde_json::Deserializer::from_str(line);
    let mut found = None;
    // A line that is cut off may have told its time before.
    let _ = Fields { field, found: &mut found }.deserialize(&mut reader);
    match found? {
        Time::Text(text) => read_number(&text).or_else(|| read_date(&text)),
        Time::Number(number) => read_number(&number),
    }
}

enum Time<'a> {
    Text(Cow<'a, str>),
    Number(String),
}

/// Seconds, or what their size says: milli-, micro- or nanoseconds. Digits after a point count.
fn read_number(text: &str) -> Option<i64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 19 || !digits(whole) || !digits(rest) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    // Until the year 5138, each unit has sizes of its own.
    let unit: i64 = match whole {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let rest = rest.get(..rest.len().min(9))?;
    let part = match rest {
        "" => 0,
        rest => i128::from(unit) * rest.parse::<i128>().ok()? / 10i128.pow(rest.len() as u32),
    };
    whole.checked_mul(unit)?.checked_add(i64::try_from(part).ok()?)
}

/// As RFC 3339 writes it, the offset with or without a colon.
fn read_date(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// Looks for a field of an object; other values are not kept.
struct Fields<'f, 'o, 'de> {
    field: &'f str,
    found: &'o mut Option<Time<'de>>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.0 != self.field || self.found.is_some() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: &serde_json::value::RawValue = map.next_value()?;
            *self.found = match value.get().as_bytes().first() {
                Some(b'"') => serde_json::from_str::<Text<'de>>(value.get()).ok().map(|text| Time::Text(text.0)),
                _ => Some(Time::Number(value.get().to_owned())),
            };
        }
        Ok(())
    }
}

/// Borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loki::streams;
    use proptest::prelude::*;

    fn entries(body: &[u8]) -> Vec<(i64, String)> {
        let all = streams(body).map(|stream| stream.expect("reads"));
        all.flat_map(|stream| {
            assert_eq!(stream.labels, "{a=\"b\"}");
            stream.entries().map(|entry| entry.expect("reads")).map(|e| (e.time, e.line.to_owned())).collect::<Vec<_>>()
        })
        .collect()
    }

    fn mapping(time_field: Option<&str>) -> Mapping<'_> {
        Mapping { labels: "{a=\"b\"}", time_field, now: 1_000, limit: 1 << 20 }
    }

    #[test]
    fn lines_stay_in_order() {
        let body = translate(b"one\r\n\n\ntwo\n\xffthree", mapping(None)).expect("fits");
        let want = [(1_000, "one"), (1_001, "two"), (1_002, "\u{fffd}three")];
        assert_eq!(entries(&body), want.map(|(time, line)| (time, line.to_owned())));
        for nothing in [&b""[..], b"\n", b"\r\n\n"] {
            assert_eq!(translate(nothing, mapping(None)), Ok(Vec::new()));
        }
    }

    #[test]
    fn times_are_read_from_a_field() {
        let second = 1_700_000_000_000_000_000;
        for (line, want) in [
            (r#"{"t":1700000000}"#, second),
            (r#"{"x":{"t":5},"t":1700000000123}"#, second + 123_000_000),
            (r#"{"t":1700000000123456}"#, second + 123_456_000),
            (r#"{"t":1700000000123456789}"#, second + 123_456_789),
            (r#"{"t":1700000000.5}"#, second + 500_000_000),
            (r#"{"t":"1700000000.123456789012"}"#, second + 123_456_789),
            (r#"{"t":1700000000123.25}"#, second + 123_250_000),
            (r#"{"t":"2023-11-14T22:13:20Z"}"#, second),
            (r#"{"t":"2023-11-14T23:13:20.5+01:00"}"#, second + 500_000_000),
            (r#"{"t":"2023-11-14T22:13:20+0000"}"#, second),
            (r#"{"\u0074":"2023-11-14T22:13:20\u005a"}"#, second),
            (r#"{"t":1700000000,"cut":"#, second),
            // None of these tells one.
            (r#"{"t":"yesterday"}"#, 1_000),
            (r#"{"t":null}"#, 1_000),
            (r#"{"t":{"t":1700000000}}"#, 1_000),
            (r#"{"t":-5}"#, 1_000),
            (r#"{"t":1e9}"#, 1_000),
            (r#"{"t":99999999999999999999}"#, 1_000),
            (r#"{"t":9999999999}"#, 1_000),
            (r#"[1700000000]"#, 1_000),
            ("t=1700000000", 1_000),
        ] {
            let body = translate(line.as_bytes(), mapping(Some("t"))).expect("fits");
            assert_eq!(entries(&body), [(want, line.to_owned())]);
        }
    }

    #[test]
    fn many_short_lines_are_held_to_the_limit() {
        let error = translate(&b"x\n".repeat(1000), Mapping { limit: 5_000, ..mapping(None) }).expect_err("too large");
        assert!(matches!(error, DecodeError::TooLarge { len: 5_001..5_100, limit: 5_000 }), "{error:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_lines(body: Vec<u8>, field in "[a-c]?") {
            let made = translate(&body, mapping(Some(&field))).expect("fits");
            let text = String::from_utf8_lossy(&body).into_owned();
            let want = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).filter(|l| !l.is_empty());
            prop_assert_eq!(entries(&made).len(), want.count());
        }

        #[test]
        fn any_json_is_a_line(value in "[\\[\\]{}\":,0-9.eE+-]{0,40}", t in "[0-9.eZT:+-]{0,30}") {
            for line in [format!("{{\"t\":{value}}}"), format!("{{\"t\":\"{t}\"}}"), format!("{{\"t\":{t}")] {
                let made = translate(line.as_bytes(), mapping(Some("t"))).expect("fits");
                prop_assert_eq!(&entries(&made)[0].1, &line);
            }
        }
    }
}
