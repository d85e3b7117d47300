//! Durations and sizes as random lines have them.

use regex::Regex;

/// Seconds.
pub fn duration(text: &str) -> Option<f64> {
    let units = [("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)];
    units_of(text, &units)
}

/// Bytes; a number alone is one too.
pub fn bytes(text: &str) -> Option<f64> {
    let units = [("", 1.0), ("B", 1.0), ("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("KiB", 1024.0), ("MiB", 1048576.0)];
    units_of(text, &units).map(f64::floor)
}

fn units_of(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let all = Regex::new("^(?:[0-9]+(?:[.][0-9]+)?[a-zA-Z]*)+$").expect("good");
    let part = Regex::new("([0-9]+(?:[.][0-9]+)?)([a-zA-Z]*)").expect("good");
    if !all.is_match(text) {
        return None;
    }
    let one = |found: regex::Captures<'_>| {
        let (_, scale) = units.iter().find(|(name, _)| *name == &found[2])?;
        Some(found[1].parse::<f64>().ok()? * scale)
    };
    part.captures_iter(text).map(one).sum()
}
