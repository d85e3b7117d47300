//! Parts of a date, in UTC.

/// The function of a name: from Unix seconds to a part of the date.
pub fn by_name(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "year" => |t| civil(t).map_or(f64::NAN, |d| d.year as f64),
        "month" => |t| civil(t).map_or(f64::NAN, |d| f64::from(d.month)),
        "day_of_month" => |t| civil(t).map_or(f64::NAN, |d| f64::from(d.day)),
        "day_of_week" => |t| days(t).map_or(f64::NAN, |days| (days + 4).rem_euclid(7) as f64),
        "day_of_year" => |t| civil(t).map_or(f64::NAN, |d| (d.days - days_before(d.year) + 1) as f64),
        "days_in_month" => |t| civil(t).map_or(f64::NAN, |d| f64::from(month_length(d.year, d.month))),
        "hour" => |t| second_of_day(t).map_or(f64::NAN, |s| (s / 3600) as f64),
        "minute" => |t| second_of_day(t).map_or(f64::NAN, |s| (s % 3600 / 60) as f64),
        _ => return None,
    })
}

struct Date {
    /// Since 1970-01-01.
    days: i64,
    year: i64,
    month: u32,
    day: u32,
}

/// Whole seconds; nothing for what is no time or too far away.
fn whole(seconds: f64) -> Option<i64> {
    (seconds.is_finite() && seconds.abs() < 1e17).then_some(seconds as i64)
}

fn days(seconds: f64) -> Option<i64> {
    Some(whole(seconds)?.div_euclid(86_400))
}

fn second_of_day(seconds: f64) -> Option<i64> {
    Some(whole(seconds)?.rem_euclid(86_400))
}

/// The proleptic Gregorian date (Howard Hinnant's algorithm: years begin in March).
fn civil(seconds: f64) -> Option<Date> {
    let days = days(seconds)?;
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some(Date { days, year, month, day })
}

/// Days from 1970-01-01 to the first day of a year.
fn days_before(year: i64) -> i64 {
    let y = year - 1;
    365 * (year - 1970) + (y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400)) - 477
}

fn month_length(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_dates() {
        let check = |name: &str, seconds: f64, want: f64| {
            assert_eq!(by_name(name).map(|f| f(seconds)), Some(want), "{name} {seconds}")
        };
        check("year", 0.0, 1970.0);
        check("year", -1.0, 1969.0);
        check("month", 1_136_239_445.0, 1.0);
        check("day_of_month", 1_136_239_445.0, 2.0);
        check("day_of_week", 1_136_239_445.0, 1.0);
        check("hour", 1_136_239_445.0, 22.0);
        check("minute", 1_136_239_445.0, 4.0);
        check("days_in_month", 951_782_400.0, 29.0); // February 2000
        check("day_of_year", 951_782_400.0, 60.0);
        check("day_of_year", 0.0, 1.0);
        assert!(by_name("year").is_some_and(|f| f(f64::NAN).is_nan()));
    }
}
