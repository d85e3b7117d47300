//! Every form inverts exactly, or does not take the text.

use super::*;
use proptest::prelude::*;

/// All candidate forms of a text give it back.
fn check(text: &str, want: &[Form]) {
    let forms = Form::candidates(text.as_bytes());
    for form in want {
        assert!(forms.contains(form), "{text:?} should be {form:?}, is {forms:?}");
    }
    if want.is_empty() {
        assert_eq!(forms, [], "{text:?}");
    }
    inverts(text.as_bytes());
}

fn inverts(text: &[u8]) {
    for form in Form::candidates(text) {
        let mut out = Vec::new();
        match form.parse_wide(text) {
            Some(wide) => form.write_wide(wide, &mut out),
            None => form.write(form.parse(text).expect("a candidate parses"), &mut out),
        }
        assert_eq!(out, text, "{form:?}");
        assert_eq!(Form::from_code(form.code()), Some(form));
    }
}

#[test]
fn numbers() {
    for (text, form) in [
        ("0", Form::Int),
        ("-7", Form::Int),
        ("999999999999999999", Form::Int),
        ("007", Form::Padded(3)),
        ("1.50", Form::Decimal(2)),
        ("-0.5", Form::Decimal(1)),
        ("0.001", Form::Float),
        ("12", Form::Float),
        ("10.244.0.1", Form::Address),
        ("10.244.0.1:8000", Form::AddressPort),
        ("0.0.0.0:0", Form::AddressPort),
        ("00ff", Form::Hex(4)),
        ("ffffffffffffffff", Form::Hex(16)),
        ("4abf32a3-ba90-483a-a3a9-64828d31284f", Form::Uuid),
        ("4abf32a3ba90483aa3a964828d31284f", Form::Hex32),
    ] {
        check(text, &[form]);
    }
    for text in [
        "",
        "-",
        "-0",
        "-0.0",
        "1E5",
        "+1",
        "1.",
        ".5",
        "01.5",
        "1.2.3",
        "256.0.0.1",
        "1.2.3.04",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "1.2.3.4:080",
        "FFFG",
        "4ABF32A3-BA90-483A-A3A9-64828D31284F",
        "١٢",
    ] {
        check(text, &[]);
    }
    inverts(b"1000000000000000000");
    inverts(b"12345678901234567890123");
}

#[test]
fn times() {
    let form = |separator, point, digits, zone| Form::Time(TimeForm { separator, point, digits, zone });
    for (text, want) in [
        ("2026-11-22T02:11:35.029730153Z", form(b'T', b'.', 9, 1)),
        ("2026-11-22 02:12:14,573", form(b' ', b',', 3, 0)),
        ("2026-11-22T02:11:35Z", form(b'T', b'.', TRIMMED, 1)),
        ("2026-11-22T02:11:35.04Z", form(b'T', b'.', TRIMMED, 1)),
        ("2024-02-29T23:59:59+00:00", form(b'T', b'.', 0, 2)),
        ("1971-01-01 00:00:00", form(b' ', b'.', 0, 0)),
        ("2200-12-31T23:59:59.999999999Z", form(b'T', b'.', 9, 1)),
    ] {
        check(text, &[want]);
    }
    for text in [
        "2023-02-29T00:00:00Z",
        "1970-12-31T00:00:00Z",
        "2201-01-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:59:60Z",
        "2026-11-22T02:11:35.Z",
        "2026-11-22T02:11:35+01:00",
    ] {
        check(text, &[]);
    }
    assert_eq!(TimeForm::measure(b"2026-11-22 02:12:14,573] WARNING"), 23);
    assert_eq!(TimeForm::measure(b"2026-11-22 02:12:14 x"), 19);
    assert_eq!(TimeForm::measure(b"2026-11-22"), 0);
}

#[test]
fn numbers_that_no_text_has_do_not_panic() {
    for code in 0..=9u8 {
        for a in [0, 1, 9, 16, 18, 255] {
            let Some(form) = Form::from_code([code, a, b'.', a.min(10), 1]) else { continue };
            for number in [0, -1, i64::MIN, i64::MAX] {
                form.write([number, number], &mut Vec::new());
                form.write_wide(number as u128, &mut Vec::new());
            }
        }
    }
}

proptest! {
    #[test]
    fn anything_inverts(text in "[-0-9a-f.:TZ, ]{0,40}") {
        inverts(text.as_bytes());
    }

    #[test]
    fn times_invert(seconds in 31_536_000i64..7_000_000_000, nanos in 0i64..1_000_000_000, digits in 0u8..=10) {
        let form = TimeForm { separator: b'T', point: b'.', digits, zone: 1 };
        let value = seconds * 10i64.pow(u32::from(digits).min(9)) + nanos / 10i64.pow(9 - u32::from(digits).min(9));
        let mut text = Vec::new();
        write_time(value, form, &mut text);
        prop_assert_eq!(parse_time(&text, form), Some(value));
        inverts(&text);
    }

    #[test]
    fn decimals_invert(value in -1_000_000_000_000i64..1_000_000_000_000, scale in 1u8..=9) {
        let mut text = Vec::new();
        write_decimal(value, scale, &mut text);
        prop_assert_eq!(parse_decimal(&text, scale), Some(value));
        inverts(&text);
    }
}
