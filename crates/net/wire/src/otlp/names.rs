//! Prometheus's names for OpenTelemetry's, by the rules of "Prometheus and OpenMetrics Compatibility" in OpenTelemetry's
//! specification and of Prometheus's guide to OTLP.

use tenancy::Naming;

/// What a metric's name tells at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A monotonic sum.
    Counter,
    Gauge,
    /// Anything else.
    Other,
}

/// Adds `name` with each character that a label's name cannot have as an underscore.
pub fn push_escaped(out: &mut String, name: &str) {
    out.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
}

/// Adds the label name of an attribute.
pub fn push_label(out: &mut String, name: &str) {
    match name.as_bytes() {
        [b'0'..=b'9', ..] => out.push_str("key_"),
        // Names that begin with two are Prometheus's own.
        [b'_', rest @ ..] if rest.first() != Some(&b'_') => out.push_str("key"),
        _ => {}
    }
    push_escaped(out, name);
}

/// Writes the name of a metric.
pub fn metric(out: &mut String, name: &str, unit: &str, family: Family, naming: Naming) {
    out.clear();
    match naming {
        Naming::NoTranslation => out.push_str(name),
        Naming::NoUTF8EscapingWithSuffixes => with_suffixes(out, name, unit, family),
        Naming::UnderscoreEscapingWithoutSuffixes => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
            join(out, name.split(|c| !allowed(c)).filter(|part| !part.is_empty()));
        }
        Naming::UnderscoreEscapingWithSuffixes => normalized(out, name, unit, family),
    }
    if naming.escapes() && out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
}

fn join<'a>(out: &mut String, parts: impl Iterator<Item = &'a str>) {
    for part in parts {
        if !out.is_empty() {
            out.push('_');
        }
        out.push_str(part);
    }
}

/// The words of the name, then those of the unit that it does not have, then `total` or `ratio`.
fn normalized(out: &mut String, name: &str, unit: &str, family: Family) {
    let words = |text: &str, out: &mut Vec<String>| {
        let parts = text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|part| !part.is_empty());
        out.extend(parts.map(str::to_owned));
    };
    let mut all = Vec::new();
    words(name, &mut all);
    let (main, per) = unit_words(unit);
    if !main.is_empty() && !all.contains(&main) {
        words(&main, &mut all);
    }
    if !per.is_empty() && !all.contains(&per) {
        all.push("per".to_owned());
        words(&per, &mut all);
    }
    if let Some(last) = suffix(unit, family) {
        all.retain(|word| word != last);
        all.push(last.to_owned());
    }
    join(out, all.iter().map(String::as_str));
}

fn with_suffixes(out: &mut String, name: &str, unit: &str, family: Family) {
    let last = suffix(unit, family);
    let stem = last.and_then(|last| name.strip_suffix(last)?.strip_suffix('_')).unwrap_or(name);
    out.push_str(stem);
    let (main, per) = unit_words(unit);
    let mut unit = main;
    if !per.is_empty() {
        unit.push_str(if unit.is_empty() { "per_" } else { "_per_" });
        unit.push_str(&per);
    }
    for word in [unit.as_str(), last.unwrap_or("")] {
        if !word.is_empty() && !out.ends_with(word) {
            out.push('_');
            out.push_str(word);
        }
    }
}

fn suffix(unit: &str, family: Family) -> Option<&'static str> {
    match family {
        Family::Counter => Some("total"),
        Family::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    }
}

/// A unit of UCUM in words, and the one it is divided by. What stands in braces is a remark.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let clean = |unit: &str, words: fn(&str) -> Option<&'static str>| {
        let unit = unit.trim();
        if unit.contains(['{', '}']) {
            return String::new();
        }
        if let Some(words) = words(unit) {
            return words.to_owned();
        }
        let mut out = String::new();
        join(&mut out, unit.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()));
        out
    };
    (clean(main, main_unit), clean(per, per_unit))
}

fn main_unit(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        _ => return None,
    })
}

fn per_unit(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_by_each_strategy() {
        use Family::{Counter, Gauge, Other};
        let strategies = [
            Naming::UnderscoreEscapingWithSuffixes,
            Naming::UnderscoreEscapingWithoutSuffixes,
            Naming::NoUTF8EscapingWithSuffixes,
            Naming::NoTranslation,
        ];
        for (name, unit, family, wants) in [
            (
                "http.server.duration",
                "s",
                Other,
                [
                    "http_server_duration_seconds",
                    "http_server_duration",
                    "http.server.duration_seconds",
                    "http.server.duration",
                ],
            ),
            ("requests", "1", Counter, ["requests_total", "requests", "requests_total", "requests"]),
            (
                "requests.total",
                "{request}",
                Counter,
                ["requests_total", "requests_total", "requests.total", "requests.total"],
            ),
            (
                "cpu.utilization",
                "1",
                Gauge,
                ["cpu_utilization_ratio", "cpu_utilization", "cpu.utilization_ratio", "cpu.utilization"],
            ),
            ("net.io", "By/s", Gauge, ["net_io_bytes_per_second", "net_io", "net.io_bytes_per_second", "net.io"]),
            ("disk_bytes", "By", Counter, ["disk_bytes_total", "disk_bytes", "disk_bytes_total", "disk_bytes"]),
            ("5xx.count", "", Gauge, ["_5xx_count", "_5xx_count", "5xx.count", "5xx.count"]),
            ("a//b::c", "%", Gauge, ["a_b::c_percent", "a_b::c", "a//b::c_percent", "a//b::c"]),
        ] {
            for (naming, want) in strategies.into_iter().zip(wants) {
                let mut found = String::new();
                metric(&mut found, name, unit, family, naming);
                assert_eq!(found, want, "{name} in {unit:?} by {naming:?}");
            }
        }
    }

    #[test]
    fn labels_are_made_of_attributes() {
        for (name, want) in [("a.b", "a_b"), ("1st", "key_1st"), ("_x", "key_x"), ("__x", "__x"), ("ü-b", "__b")] {
            let mut found = String::new();
            push_label(&mut found, name);
            assert_eq!(found, want);
        }
    }
}
