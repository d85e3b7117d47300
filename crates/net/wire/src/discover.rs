//! Finds out what a log line does not say outright: the service it is of, and its level.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

pub const SERVICE_NAME: &str = "service_name";
pub const DETECTED_LEVEL: &str = "detected_level";

/// The service of a stream where nothing names one.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// How deep in a JSON line a level is looked for: 1 is the object itself.
const JSON_DEPTH: u32 = 2;

/// The service of a stream that has no `service_name`: the first of `names` that it has, as the labels' `get` tells.
/// `None` when there are no names to look for.
pub fn service_name<'l>(names: &[String], get: impl Fn(&str) -> Option<&'l str>) -> Option<&'l str> {
    if names.is_empty() {
        return None;
    }
    let found = names.iter().filter_map(|name| get(name)).find(|value| !value.is_empty());
    Some(found.unwrap_or(UNKNOWN_SERVICE))
}

/// What labels and metadata say of a line's level.
#[derive(Debug, Clone, Copy)]
pub struct Level<'f> {
    fields: &'f [String],
    /// The line has one already.
    told: bool,
    /// By a field's value, if it is a level's name.
    named: Option<&'static str>,
    /// By OTLP's number.
    numbered: Option<&'static str>,
}

impl<'f> Level<'f> {
    pub fn new(fields: &'f [String]) -> Level<'f> {
        Level { fields, told: false, named: None, numbered: None }
    }

    /// Takes notice of a label or of metadata.
    pub fn see(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        if name == DETECTED_LEVEL {
            self.told = true;
        } else if name == "severity_number" {
            self.numbered = value.parse().ok().and_then(of_number);
        } else if self.named.is_none() && self.fields.iter().any(|field| field == name) {
            self.named = of_name(value);
        }
    }

    /// The level of the line; `None` if it is told already.
    pub fn find(&self, line: &str) -> Option<&'static str> {
        match self.told {
            true => None,
            false => Some(self.named.or(self.numbered).unwrap_or_else(|| of_line(line, self.fields))),
        }
    }
}

fn of_number(number: u64) -> Option<&'static str> {
    const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];
    let at = usize::try_from(number.checked_sub(1)? / 4).ok()?;
    LEVELS.get(at).copied()
}

/// The level that a field's value or a word names.
fn of_name(name: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 15] = [
        ("info", "info"),
        ("error", "error"),
        ("warn", "warn"),
        ("debug", "debug"),
        ("warning", "warn"),
        ("err", "error"),
        ("trace", "trace"),
        ("critical", "critical"),
        ("fatal", "fatal"),
        ("inf", "info"),
        ("information", "info"),
        ("wrn", "warn"),
        ("dbg", "debug"),
        ("trc", "trace"),
        ("errors", "error"),
    ];
    // Most words are told apart by their first letter.
    let first = name.as_bytes().first()?.to_ascii_lowercase();
    if !(3..=11).contains(&name.len()) || !b"iewdtcf".contains(&first) {
        return None;
    }
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
}

/// The level that a line names: in a field of its JSON or logfmt, or else the first word that is one.
fn of_line(line: &str, fields: &[String]) -> &'static str {
    let found = match line.trim_start().starts_with('{') {
        true => in_json(line, fields),
        false => in_logfmt(line, fields),
    };
    found.or_else(|| in_words(line)).unwrap_or("unknown")
}

fn in_words(line: &str) -> Option<&'static str> {
    line.split(|c: char| !c.is_ascii_alphanumeric()).find_map(of_word)
}

/// Words are read more strictly than values: in a sentence, `inf` or `trc` is none, and nobody writes `eRRoR`.
fn of_word(word: &str) -> Option<&'static str> {
    let (first, rest) = word.as_bytes().split_first()?;
    if !first.is_ascii_alphabetic() || word.len() < 3 {
        return None;
    }
    let level = of_name(word)?;
    let rest_is_lower = rest.iter().all(u8::is_ascii_lowercase);
    let is_upper = first.is_ascii_uppercase() && rest.iter().all(u8::is_ascii_uppercase);
    (word.len() > 3 || level == "error").then_some(())?;
    (rest_is_lower || is_upper).then_some(level)
}

fn in_logfmt(line: &str, fields: &[String]) -> Option<&'static str> {
    memchr::memchr_iter(b'=', line.as_bytes()).find_map(|at| {
        let (before, after) = (line.get(..at)?, line.get(at + 1..)?);
        let start = before.rfind(|c: char| c.is_whitespace()).map_or(0, |space| space + 1);
        let key = before.get(start..)?;
        if !fields.iter().any(|field| field == key) {
            return None;
        }
        let value = after.strip_prefix('"').unwrap_or(after);
        let end = value.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(value.len());
        of_name(value.get(..end)?)
    })
}

fn in_json(line: &str, fields: &[String]) -> Option<&'static str> {
    let mut found = Found { level: None, depth: u32::MAX };
    let mut reader = serde_json::Deserializer::from_str(line);
    // A line that is cut off may have told its level before.
    let _ = Scan { fields, depth: 1, found: &mut found }.deserialize(&mut reader);
    found.level
}

/// The level that stands highest in the line.
struct Found {
    level: Option<&'static str>,
    depth: u32,
}

/// Walks a JSON value; strings are not kept.
struct Scan<'f, 'a> {
    fields: &'f [String],
    depth: u32,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Scan<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.depth > JSON_DEPTH {
            true => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            false => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Scan<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Scan { fields, depth, found } = self;
        while let Some(is_level) = map.next_key_seed(Key(fields))? {
            match is_level && depth < found.depth {
                true => map.next_value_seed(Value { depth, found })?,
                false => map.next_value_seed(Scan { fields, depth: depth + 1, found })?,
            }
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Whether a key is one of the fields.
struct Key<'f>(&'f [String]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0.iter().any(|field| field == key))
    }
}

/// The value of such a key.
struct Value<'a> {
    depth: u32,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let value: &RawValue = serde::Deserialize::deserialize(deserializer)?;
        let text = value.get().trim_matches('"');
        if let Some(level) = of_name(text) {
            *self.found = Found { level: Some(level), depth: self.depth };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenancy::DiscoverySettings;

    #[test]
    fn levels_are_found() {
        let fields = DiscoverySettings::default().level_fields;
        let check = |seen: &[(&str, &str)], line: &str, want: Option<&str>| {
            let mut level = Level::new(&fields);
            seen.iter().for_each(|(name, value)| level.see(name, value));
            assert_eq!(level.find(line), want, "{seen:?} {line:?}");
        };
        for (line, want) in [
            ("", "unknown"),
            ("nothing of that kind", "unknown"),
            ("information desk is a terror to debugging", "info"),
            ("terrors and debuggers", "unknown"),
            ("2024-01-01T00:00:00Z WARN slow", "warn"),
            ("[ERR] it broke: info follows", "error"),
            ("x inf y", "unknown"),
            (r#"{"level":"inf"}"#, "info"),
            (r#"{"a":{"level":"error"},"level":"debug"}"#, "debug"),
            (r#"{"level":"debug","a":{"level":"error"}}"#, "debug"),
            (r#"{"a":{"severity":"error"}}"#, "error"),
            (r#"{"a":{"b":{"severity":"fatal"}},"m":"x warn"}"#, "fatal"),
            (r#"{"a":[1,"error"],"level":5,"c":null}"#, "error"),
            (r#"{"level":"warn","cut":"#, "warn"),
            ("a=b level=crit msg=x", "unknown"),
            (r#"msg="an error" level="warning" x=y"#, "warn"),
            ("leveled=error severity=trace", "trace"),
            ("=level=info", "info"),
        ] {
            check(&[], line, Some(want));
        }
        check(&[("level", "Warning")], "error", Some("warn"));
        check(&[("level", "notice")], "error", Some("error"));
        check(&[("severity_number", "10")], "error", Some("info"));
        check(&[("severity_number", "25")], "error", Some("error"));
        check(&[("severity_number", "0")], "x", Some("unknown"));
        check(&[("severity_text", "ERROR"), ("severity_number", "1")], "x", Some("error"));
        check(&[("detected_level", "x")], "error", None);
        check(&[("detected_level", "")], "error", Some("error"));
    }

    #[test]
    fn services_are_found() {
        let names = ["app".to_owned(), "job".to_owned()];
        let labels =
            |name: &str| [("job", "j"), ("app", ""), ("other", "x")].into_iter().find(|l| l.0 == name).map(|l| l.1);
        assert_eq!(service_name(&names, labels), Some("j"));
        assert_eq!(service_name(&names, |_| None), Some("unknown_service"));
        assert_eq!(service_name(&[], labels), None);
    }

    proptest::proptest! {
        #[test]
        fn any_line_has_a_level(line: String) {
            let fields = DiscoverySettings::default().level_fields;
            proptest::prop_assert!(Level::new(&fields).find(&line).is_some());
        }
    }
}
