//! Texts that are numbers in disguise: what they look like, and how they come back exactly.
//!
//! `parse` gives numbers only when `write` makes the same text of them.

/// How a text is written. Each form has one or two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `0`, `42`, `-7`: up to 18 digits.
    Int,
    /// This many digits, zeros in front.
    Padded(u8),
    /// This many digits behind the point; the number is without the point.
    Decimal(u8),
    /// Any number of digits behind the point (the second number), or none.
    Float,
    /// Date and time of day, in units of its last digit since 1970.
    Time(TimeForm),
    /// `10.0.0.1`.
    Address,
    /// `10.0.0.1:80`; the port is the second number.
    AddressPort,
    /// This many lower-case hexadecimal digits, at most 16.
    Hex(u8),
    /// Lower-case, with dashes. The number is a place in the pool.
    Uuid,
    /// 32 lower-case hexadecimal digits. The number is a place in the pool.
    Hex32,
}

/// `2026-11-22T02:11:35.029730153Z` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeForm {
    /// Between date and time: `T` or a space.
    pub separator: u8,
    /// Before the fraction: `.` or `,`.
    pub point: u8,
    /// Digits of the fraction, 0 to 9; `TRIMMED`: nine with the zeros at the end left out.
    pub digits: u8,
    /// What follows, see `ZONES`.
    pub zone: u8,
}

pub const TRIMMED: u8 = 10;
const ZONES: [&[u8]; 3] = [b"", b"Z", b"+00:00"];

/// One or two numbers, in the order of the form.
pub type Numbers = [i64; 2];

impl Form {
    /// How many numbers the form has.
    pub fn arity(self) -> usize {
        if matches!(self, Form::Float | Form::AddressPort) { 2 } else { 1 }
    }

    pub fn pooled(self) -> bool {
        matches!(self, Form::Uuid | Form::Hex32)
    }

    /// The forms that this text could have, those first that say most.
    pub fn candidates(text: &[u8]) -> Vec<Form> {
        let len = text.len().min(255) as u8;
        let scale = text.iter().position(|b| *b == b'.').map_or(0, |at| text.len() - at - 1).min(255) as u8;
        let mut forms = vec![Form::Int, Form::Padded(len), Form::Decimal(scale)];
        forms.extend(TimeForm::of(text).into_iter().flatten().map(Form::Time));
        forms.extend([Form::Address, Form::AddressPort, Form::Float, Form::Hex(len)]);
        forms.retain(|form| form.parse(text).is_some());
        if parse_uuid(text).is_some() {
            forms.push(Form::Uuid);
        }
        if parse_hex32(text).is_some() {
            forms.push(Form::Hex32);
        }
        forms
    }

    /// The numbers of a text, if it has this form. Pooled forms are parsed by `parse_wide`.
    #[inline]
    pub fn parse(self, text: &[u8]) -> Option<Numbers> {
        match self {
            Form::Int => parse_int(text).map(|n| [n, 0]),
            Form::Padded(width) => parse_padded(text, width).map(|n| [n, 0]),
            Form::Decimal(scale) => parse_decimal(text, scale).map(|n| [n, 0]),
            Form::Float => parse_float(text),
            Form::Time(form) => parse_time(text, form).map(|n| [n, 0]),
            Form::Address => parse_address(text).map(|n| [n, 0]),
            Form::AddressPort => parse_address_port(text),
            Form::Hex(width) => parse_hex(text, width).map(|n| [n, 0]),
            Form::Uuid | Form::Hex32 => None,
        }
    }

    /// The 128 bits of a text with a pooled form.
    #[inline]
    pub fn parse_wide(self, text: &[u8]) -> Option<u128> {
        match self {
            Form::Uuid => parse_uuid(text),
            Form::Hex32 => parse_hex32(text),
            _ => None,
        }
    }

    /// Appends the text of numbers; a pooled form has none. Numbers that no text has give some text, never a panic.
    #[inline]
    pub fn write(self, numbers: Numbers, out: &mut Vec<u8>) {
        let [number, second] = numbers;
        match self {
            Form::Int => write_int(number, out),
            Form::Padded(width) => write_digits(number as u64, width.into(), out),
            Form::Decimal(scale) => write_decimal(number, scale, out),
            Form::Float => match second {
                1..=17 => write_decimal(number, second as u8, out),
                _ => write_int(number, out),
            },
            Form::Time(form) => write_time(number, form, out),
            Form::Address => write_address(number, out),
            Form::AddressPort => {
                write_address(number, out);
                out.push(b':');
                write_int(second, out);
            }
            Form::Hex(width) => write_hex(number as u64, width, out),
            Form::Uuid | Form::Hex32 => {}
        }
    }

    /// Appends the text of 128 bits in a pooled form.
    pub fn write_wide(self, bits: u128, out: &mut Vec<u8>) {
        let mut digits = [0u8; 32];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bits.to_be_bytes()) {
            *pair = HEX_PAIRS[usize::from(byte)];
        }
        if self == Form::Uuid {
            let mut text = [b'-'; 36];
            for (to, from) in [(0..8, 0..8), (9..13, 8..12), (14..18, 12..16), (19..23, 16..20), (24..36, 20..32)] {
                text[to].copy_from_slice(&digits[from]);
            }
            out.extend_from_slice(&text);
        } else {
            out.extend_from_slice(&digits);
        }
    }

    /// Four bytes that say everything about the form.
    pub fn code(self) -> [u8; 5] {
        match self {
            Form::Int => [0, 0, 0, 0, 0],
            Form::Padded(width) => [1, width, 0, 0, 0],
            Form::Decimal(scale) => [2, scale, 0, 0, 0],
            Form::Float => [3, 0, 0, 0, 0],
            Form::Time(t) => [4, t.separator, t.point, t.digits, t.zone],
            Form::Address => [5, 0, 0, 0, 0],
            Form::AddressPort => [6, 0, 0, 0, 0],
            Form::Hex(width) => [7, width, 0, 0, 0],
            Form::Uuid => [8, 0, 0, 0, 0],
            Form::Hex32 => [9, 0, 0, 0, 0],
        }
    }

    pub fn from_code(code: [u8; 5]) -> Option<Form> {
        let [kind, a, b, c, d] = code;
        Some(match kind {
            0 => Form::Int,
            1 if (1..=18).contains(&a) => Form::Padded(a),
            2 if (1..=17).contains(&a) => Form::Decimal(a),
            3 => Form::Float,
            4 if c <= TRIMMED && usize::from(d) < ZONES.len() => {
                Form::Time(TimeForm { separator: a, point: b, digits: c, zone: d })
            }
            5 => Form::Address,
            6 => Form::AddressPort,
            7 if (1..=16).contains(&a) => Form::Hex(a),
            8 => Form::Uuid,
            9 => Form::Hex32,
            _ => return None,
        })
    }
}

#[inline]
fn parse_digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value)
}

#[inline]
fn parse_int(text: &[u8]) -> Option<i64> {
    match text {
        [b'0'] => Some(0),
        [b'-', rest @ ..] if !rest.starts_with(b"0") => parse_digits(rest).map(|n| -n),
        [b'0', ..] => None,
        _ => parse_digits(text),
    }
}

#[inline]
fn parse_padded(text: &[u8], width: u8) -> Option<i64> {
    if text.len() == usize::from(width) { parse_digits(text) } else { None }
}

fn parse_decimal(text: &[u8], scale: u8) -> Option<i64> {
    let scale = usize::from(scale);
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // At least one digit before the point, and at most 18 in all.
    if scale == 0 || digits.len() < scale + 2 || digits.len() > 19 {
        return None;
    }
    let (whole, rest) = digits.split_at(digits.len() - scale - 1);
    let (point, fraction) = rest.split_first()?;
    if *point != b'.' || (whole.len() > 1 && whole[0] == b'0') {
        return None;
    }
    let value = parse_digits(whole)? * 10i64.pow(scale as u32) + parse_digits(fraction)?;
    match (negative, value) {
        (true, 0) => None,
        (true, value) => Some(-value),
        (false, value) => Some(value),
    }
}

fn parse_float(text: &[u8]) -> Option<Numbers> {
    match text.iter().position(|b| *b == b'.') {
        None => parse_int(text).map(|n| [n, 0]),
        Some(at) => {
            let scale = text.len() - at - 1;
            (1..=17).contains(&scale).then(|| parse_decimal(text, scale as u8).map(|n| [n, scale as i64]))?
        }
    }
}

#[inline]
fn parse_address(text: &[u8]) -> Option<i64> {
    let mut value = 0u32;
    let (mut octet, mut digits, mut dots) = (0u32, 0, 0);
    for byte in text {
        if *byte == b'.' {
            if digits == 0 || dots == 3 {
                return None;
            }
            value = value << 8 | octet;
            (octet, digits, dots) = (0, 0, dots + 1);
            continue;
        }
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 || (digits > 0 && octet == 0) {
            return None;
        }
        octet = octet * 10 + u32::from(digit);
        digits += 1;
        if octet > 255 {
            return None;
        }
    }
    (dots == 3 && digits > 0).then_some(i64::from(value << 8 | octet))
}

#[inline]
fn parse_address_port(text: &[u8]) -> Option<Numbers> {
    // A port has one to five digits.
    let tail = &text[text.len().saturating_sub(6)..];
    let at = text.len() - tail.len() + tail.iter().position(|b| *b == b':')?;
    let port = parse_int(&text[at + 1..])?;
    if !(0..=65535).contains(&port) {
        return None;
    }
    Some([parse_address(&text[..at])?, port])
}

const NOT_HEX: u8 = 0xff;
/// The value of each lower-case hexadecimal digit.
const HEX_VALUES: [u8; 256] = {
    let mut values = [NOT_HEX; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};
const HEX_PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [b"0123456789abcdef"[byte >> 4], b"0123456789abcdef"[byte & 15]];
        byte += 1;
    }
    pairs
};

#[inline]
fn parse_hex_digits(text: &[u8]) -> Option<u64> {
    let (mut value, mut bad) = (0u64, 0u8);
    for byte in text {
        let digit = HEX_VALUES[usize::from(*byte)];
        bad |= digit;
        value = value << 4 | u64::from(digit & 15);
    }
    (bad < 16).then_some(value)
}

fn parse_hex(text: &[u8], width: u8) -> Option<i64> {
    if text.len() != usize::from(width) || text.is_empty() || text.len() > 16 {
        return None;
    }
    parse_hex_digits(text).map(|value| value as i64)
}

#[inline]
pub fn parse_uuid(text: &[u8]) -> Option<u128> {
    let text: &[u8; 36] = text.try_into().ok()?;
    if text[8] != b'-' || text[13] != b'-' || text[18] != b'-' || text[23] != b'-' {
        return None;
    }
    let high =
        parse_hex_digits(&text[..8])? << 32 | parse_hex_digits(&text[9..13])? << 16 | parse_hex_digits(&text[14..18])?;
    let low = parse_hex_digits(&text[19..23])? << 48 | parse_hex_digits(&text[24..])?;
    Some(u128::from(high) << 64 | u128::from(low))
}

#[inline]
pub fn parse_hex32(text: &[u8]) -> Option<u128> {
    let text: &[u8; 32] = text.try_into().ok()?;
    let (high, low) = text.split_at(16);
    Some(u128::from(parse_hex_digits(high)?) << 64 | u128::from(parse_hex_digits(low)?))
}

impl TimeForm {
    /// The forms that a text which begins with a time could have: with the digits that it has, and trimmed.
    fn of(text: &[u8]) -> Option<[TimeForm; 2]> {
        let separator = *text.get(10)?;
        let point = text.get(19).copied().filter(|b| matches!(b, b'.' | b','));
        let digits = match point {
            Some(_) => text[20..].iter().take_while(|b| b.is_ascii_digit()).count().min(9) as u8,
            None => 0,
        };
        let end = if digits == 0 { 19 } else { 20 + usize::from(digits) };
        let zone = ZONES.iter().position(|zone| text.get(end..) == Some(*zone))? as u8;
        let form = TimeForm { separator, point: point.unwrap_or(b'.'), digits, zone };
        Some([form, TimeForm { digits: TRIMMED, ..form }])
    }

    /// The length of the time that a text begins with, without a zone; 0 when it does not begin with one.
    pub fn measure(text: &[u8]) -> usize {
        let Some(head) = text.get(..19) else { return 0 };
        let form = TimeForm { separator: head[10], point: b'.', digits: 0, zone: 0 };
        if !matches!(head[10], b'T' | b' ') || parse_time(head, form).is_none() {
            return 0;
        }
        match text.get(19) {
            Some(b'.' | b',') => match text[20..].iter().take_while(|b| b.is_ascii_digit()).count() {
                0 => 19,
                digits => 20 + digits.min(9),
            },
            _ => 19,
        }
    }

    /// Nanoseconds in one unit.
    pub fn unit(self) -> i64 {
        if self.digits >= 9 { 1 } else { 10i64.pow(9 - u32::from(self.digits)) }
    }
}

#[inline]
fn two(text: &[u8], at: usize) -> Option<i64> {
    let (a, b) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (a <= 9 && b <= 9).then(|| i64::from(a) * 10 + i64::from(b))
}

fn parse_time(text: &[u8], form: TimeForm) -> Option<i64> {
    if text.len() < 19 || text[4] != b'-' || text[7] != b'-' || text[10] != form.separator {
        return None;
    }
    if text[13] != b':' || text[16] != b':' {
        return None;
    }
    let year = two(text, 0)? * 100 + two(text, 2)?;
    let (month, day) = (two(text, 5)?, two(text, 8)?);
    let (hour, minute, second) = (two(text, 11)?, two(text, 14)?, two(text, 17)?);
    // In nanoseconds, these years are far from the ends of an i64.
    if !(1971..=2200).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let rest = match (form.zone, &text[19..]) {
        (0, rest) => rest,
        (1, [rest @ .., b'Z']) => rest,
        (2, [rest @ .., b'+', b'0', b'0', b':', b'0', b'0']) => rest,
        _ => return None,
    };
    if form.digits == 0 {
        return rest.is_empty().then_some(seconds);
    }
    if form.digits == TRIMMED && rest.is_empty() {
        return Some(seconds * 1_000_000_000);
    }
    let (point, fraction) = rest.split_first()?;
    if *point != form.point || fraction.len() > 9 {
        return None;
    }
    let value = parse_digits(fraction)?;
    if form.digits == TRIMMED {
        let shift = 10i64.pow(9 - fraction.len() as u32);
        return (!fraction.ends_with(b"0")).then_some(seconds * 1_000_000_000 + value * shift);
    }
    (fraction.len() == usize::from(form.digits)).then(|| seconds * 10i64.pow(form.digits.into()) + value)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, after Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn write_int(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    while rest >= 100 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    if rest >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[rest as usize]);
    } else {
        at -= 1;
        digits[at] = b'0' + rest as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// The last `width` digits of a number.
fn write_digits(mut value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let width = width.min(digits.len());
    for at in (digits.len() - width..digits.len()).rev() {
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[digits.len() - width..]);
}

fn write_decimal(value: i64, scale: u8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let unit = 10u64.pow(u32::from(scale).min(18));
    let value = value.unsigned_abs();
    write_int((value / unit) as i64, out);
    out.push(b'.');
    write_digits(value % unit, scale.into(), out);
}

fn write_address(value: i64, out: &mut Vec<u8>) {
    for (at, octet) in (value as u32).to_be_bytes().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        write_int(octet.into(), out);
    }
}

fn write_hex(value: u64, width: u8, out: &mut Vec<u8>) {
    let mut digits = [0u8; 16];
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(value.to_be_bytes()) {
        *pair = HEX_PAIRS[usize::from(byte)];
    }
    out.extend_from_slice(&digits[16 - usize::from(width).min(16)..]);
}

fn write_time(value: i64, form: TimeForm, out: &mut Vec<u8>) {
    let unit = 10i64.pow(u32::from(form.digits).min(9));
    let (seconds, fraction) = (value.div_euclid(unit), value.rem_euclid(unit));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let pair = |n: i64| PAIRS[n.rem_euclid(100) as usize];
    let [y1, y2] = pair(year / 100);
    let [y3, y4] = pair(year);
    let [m1, m2] = pair(month);
    let [d1, d2] = pair(day);
    let [h1, h2] = pair(of_day / 3600);
    let [n1, n2] = pair(of_day / 60 % 60);
    let [s1, s2] = pair(of_day % 60);
    let separator = form.separator;
    out.extend_from_slice(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, separator, h1, h2, b':', n1, n2, b':', s1, s2]);
    if form.digits == TRIMMED {
        if fraction != 0 {
            out.push(form.point);
            write_digits(fraction as u64, 9, out);
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
    } else if form.digits > 0 {
        out.push(form.point);
        write_digits(fraction as u64, form.digits.into(), out);
    }
    out.extend_from_slice(ZONES[usize::from(form.zone)]);
}

#[cfg(test)]
mod tests;
