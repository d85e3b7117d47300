//! Go's time layouts: writing and reading times by example. All times are UTC.

const SECOND: i64 = 1_000_000_000;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    weekday: i64,
}

/// Days since 1970 to year, month, day (Howard Hinnant's `civil_from_days`).
fn civil(ns: i64) -> Civil {
    let seconds = ns.div_euclid(SECOND);
    let days = seconds.div_euclid(86_400);
    let rest = seconds.rem_euclid(86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    Civil {
        year: yoe + era * 400 + i64::from(month <= 2),
        month,
        day: doy - (153 * mp + 2) / 5 + 1,
        hour: rest / 3_600,
        minute: rest / 60 % 60,
        second: rest % 60,
        nanos: ns.rem_euclid(SECOND),
        weekday: (days + 4).rem_euclid(7),
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

const PARTS: [&str; 33] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "Z07:00",
    "Z0700",
    "-07:00",
    "-0700",
    "-07",
    ".000000000",
    ".000000",
    ".000",
    ".999999999",
    ".999999",
    ".999",
    ",000",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "002",
    "15",
    "PM",
    "pm",
    "_2",
    "1",
    "2",
    "3",
    "4",
];

/// The part of a layout that begins here.
fn part(layout: &str) -> Option<&'static str> {
    PARTS.into_iter().find(|part| layout.starts_with(part)).or_else(|| layout.starts_with('5').then_some("5"))
}

/// Writes a time after the layout.
pub(super) fn format(layout: &str, ns: i64) -> String {
    let t = civil(ns);
    let hour12 = if t.hour % 12 == 0 { 12 } else { t.hour % 12 };
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let Some(part) = part(rest) else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        rest = &rest[part.len()..];
        let text = match part {
            "January" => MONTHS[(t.month - 1) as usize].to_owned(),
            "Jan" => MONTHS[(t.month - 1) as usize][..3].to_owned(),
            "Monday" => DAYS[t.weekday as usize].to_owned(),
            "Mon" => DAYS[t.weekday as usize][..3].to_owned(),
            "MST" => "UTC".to_owned(),
            "2006" => format!("{:04}", t.year),
            "06" => format!("{:02}", t.year.rem_euclid(100)),
            "Z07:00" | "Z0700" => "Z".to_owned(),
            "-07:00" => "+00:00".to_owned(),
            "-0700" => "+0000".to_owned(),
            "-07" => "+00".to_owned(),
            "01" => format!("{:02}", t.month),
            "1" => t.month.to_string(),
            "02" => format!("{:02}", t.day),
            "_2" => format!("{:2}", t.day),
            "2" => t.day.to_string(),
            "002" => format!("{:03}", days_from_civil(t.year, t.month, t.day) - days_from_civil(t.year, 1, 1) + 1),
            "15" => format!("{:02}", t.hour),
            "03" => format!("{hour12:02}"),
            "3" => hour12.to_string(),
            "04" => format!("{:02}", t.minute),
            "4" => t.minute.to_string(),
            "05" => format!("{:02}", t.second),
            "5" => t.second.to_string(),
            "PM" => if t.hour >= 12 { "PM" } else { "AM" }.to_owned(),
            "pm" => if t.hour >= 12 { "pm" } else { "am" }.to_owned(),
            fraction => fraction_text(fraction, t.nanos),
        };
        out.push_str(&text);
    }
    out
}

fn fraction_text(part: &str, nanos: i64) -> String {
    let digits = &format!("{nanos:09}")[..part.len() - 1];
    if part[1..].starts_with('9') {
        let digits = digits.trim_end_matches('0');
        return if digits.is_empty() { String::new() } else { format!(".{digits}") };
    }
    format!("{}{digits}", &part[..1])
}

/// As Go prints a time.
pub(super) fn show(ns: i64) -> String {
    format("2006-01-02 15:04:05.999999999 -0700 MST", ns)
}

/// Reads a time after the layout: nanoseconds. `None` when the text does not fit.
pub(super) fn parse(layout: &str, text: &str) -> Option<i64> {
    let (mut year, mut month, mut day) = (1i64, 1i64, 1i64);
    let (mut hour, mut minute, mut second, mut nanos, mut offset) = (0i64, 0i64, 0i64, 0i64, 0i64);
    let mut afternoon = None;
    let (mut layout, mut rest) = (layout, text);
    while let Some(c) = layout.chars().next() {
        let Some(part) = part(layout) else {
            rest = rest.strip_prefix(c)?;
            layout = &layout[c.len_utf8()..];
            continue;
        };
        layout = &layout[part.len()..];
        match part {
            "January" | "Jan" => month = name(&mut rest, &MONTHS, part.len() == 3)? + 1,
            "Monday" | "Mon" => drop(name(&mut rest, &DAYS, part.len() == 3)?),
            "MST" => rest = rest.strip_prefix("UTC").or_else(|| rest.strip_prefix("GMT"))?,
            "2006" => year = digits(&mut rest, 4, 4)?,
            "06" => {
                let short = digits(&mut rest, 2, 2)?;
                year = if short >= 69 { 1900 + short } else { 2000 + short };
            }
            "Z07:00" | "Z0700" if rest.starts_with('Z') => rest = &rest[1..],
            "Z07:00" | "-07:00" | "Z0700" | "-0700" | "-07" => offset = zone(&mut rest, part)?,
            "01" => month = digits(&mut rest, 2, 2)?,
            "1" => month = digits(&mut rest, 1, 2)?,
            "02" => day = digits(&mut rest, 2, 2)?,
            "_2" => {
                rest = rest.trim_start_matches(' ');
                day = digits(&mut rest, 1, 2)?;
            }
            "2" => day = digits(&mut rest, 1, 2)?,
            "002" => {
                day = digits(&mut rest, 3, 3)?;
                month = 1;
            }
            "15" | "03" => hour = digits(&mut rest, 2, 2)?,
            "3" => hour = digits(&mut rest, 1, 2)?,
            "04" => minute = digits(&mut rest, 2, 2)?,
            "4" => minute = digits(&mut rest, 1, 2)?,
            "05" | "5" => {
                second = digits(&mut rest, part.len(), 2)?;
                // A fraction may follow seconds even where the layout has none.
                if rest.starts_with('.') && !layout.starts_with(['.', ',']) {
                    nanos = fraction(&mut rest)?;
                }
            }
            "PM" | "pm" => {
                let (word, after) = (rest.get(..2)?, rest.get(2..)?);
                afternoon = Some(word.eq_ignore_ascii_case("pm"));
                rest = after;
            }
            _ if rest.starts_with(['.', ',']) => nanos = fraction(&mut rest)?,
            _ if part[1..].starts_with('9') => {}
            _ => return None,
        }
    }
    let sound = rest.is_empty()
        && (1..=12).contains(&month)
        && (1..=366).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !sound {
        return None;
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    seconds.checked_mul(SECOND)?.checked_add(nanos)
}

fn digits(rest: &mut &str, least: usize, most: usize) -> Option<i64> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (digits, after) = rest.split_at(count);
    *rest = after;
    digits.parse().ok()
}

fn fraction(rest: &mut &str) -> Option<i64> {
    *rest = &rest[1..];
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at(count);
    *rest = after;
    let digits = &digits[..digits.len().min(9)];
    Some(digits.parse::<i64>().ok()? * 10i64.pow(9 - digits.len() as u32))
}

fn zone(rest: &mut &str, part: &str) -> Option<i64> {
    let sign = match rest.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    *rest = &rest[1..];
    let hours = digits(rest, 2, 2)?;
    if part == "-07" {
        return Some(sign * hours * 3_600);
    }
    if part.contains(':') {
        *rest = rest.strip_prefix(':')?;
    }
    Some(sign * (hours * 3_600 + digits(rest, 2, 2)? * 60))
}

fn name(rest: &mut &str, names: &[&str], short: bool) -> Option<i64> {
    let found = names.iter().position(|name| {
        let name = if short { &name[..3] } else { name };
        rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    })?;
    *rest = &rest[if short { 3 } else { names[found].len() }..];
    Some(found as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let ns = 1_656_353_124_120_000_000;
        for (layout, want) in [
            ("2006-01-02T15:04:05.000Z07:00", "2022-06-27T18:05:24.120Z"),
            ("Mon, 02 Jan 2006 15:04:05.999 -0700", "Mon, 27 Jun 2022 18:05:24.12 +0000"),
            ("January 2, 2006 3:04:05.000 PM", "June 27, 2022 6:05:24.120 PM"),
        ] {
            assert_eq!(format(layout, ns), want);
            assert_eq!(parse(layout, want), Some(ns), "{layout}");
        }
        assert_eq!(show(1_257_894_000 * SECOND), "2009-11-10 23:00:00 +0000 UTC");
        assert_eq!(parse("2006-01-02", "2021-13-02"), None);
        assert_eq!(parse("2006-01-02T15:04:05-07:00", "2021-01-02T00:00:00+01:00"), Some(1_609_542_000 * SECOND));
        assert_eq!(format("2006", i64::MIN), "1677");
    }
}
