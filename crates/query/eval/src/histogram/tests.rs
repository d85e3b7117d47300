//! Arithmetic of native histograms.

use super::*;

/// Counts of buckets 1, 2, … of schema 0, without a zero bucket.
fn plain(counts: &[f64]) -> Native {
    let count = counts.iter().sum();
    Native { count, sum: count, positive: (1..).zip(counts.iter().copied()).collect(), ..Native::default() }
}

fn custom(bounds: &[f64], counts: &[f64]) -> Native {
    let count = counts.iter().sum();
    Native {
        schema: CUSTOM_BUCKETS,
        custom: bounds.into(),
        count,
        sum: count,
        positive: (0..).zip(counts.iter().copied()).collect(),
        ..Native::default()
    }
}

#[test]
fn layouts_survive_the_way_through_spans() {
    let native =
        Native { positive: vec![(-3, 1.0), (0, 2.0), (1, 3.0)], negative: vec![(5, 1.0)], ..Native::default() };
    let back = Native::from_model(&native.to_model());
    assert_eq!((back.positive, back.negative), (native.positive, native.negative));
}

#[test]
fn broken_spans_are_bounded() {
    let broken = Histogram {
        positive_spans: vec![Span { offset: i32::MAX, length: u32::MAX }, Span { offset: i32::MIN, length: 9 }],
        positive: vec![1.0, 2.0],
        ..Histogram::default()
    };
    assert!(Native::from_model(&broken).positive.len() <= 2);
}

#[test]
fn coarser_layout_wins_when_adding() {
    let mut fine =
        Native { schema: 1, count: 4.0, positive: vec![(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)], ..Native::default() };
    assert_eq!(fine.add(&plain(&[1.0, 1.0])), Ok(Bent::default()));
    assert_eq!((fine.schema, fine.positive), (0, vec![(1, 3.0), (2, 3.0)]));
    assert_eq!(plain(&[1.0]).add(&custom(&[1.0], &[1.0])), Err(Incompatible));
}

#[test]
fn custom_bounds_meet_at_what_they_share() {
    let mut sum = custom(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0, 1.0]);
    assert_eq!(sum.add(&custom(&[2.0, 4.0], &[1.0, 1.0, 1.0])), Ok(Bent { collision: false, reconciled: true }));
    assert_eq!((&*sum.custom, sum.positive), (&[2.0][..], vec![(0, 3.0), (1, 4.0)]));
}

#[test]
fn a_wider_zero_bucket_swallows() {
    let mut wide = Native { zero_threshold: 2.0, zero_count: 1.0, count: 1.0, ..Native::default() };
    let narrow = Native {
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 3.0,
        positive: vec![(1, 1.0), (2, 1.0)],
        ..Native::default()
    };
    assert_eq!(wide.add(&narrow), Ok(Bent::default()));
    assert_eq!((wide.zero_count, wide.count, wide.positive), (3.0, 4.0, vec![(2, 1.0)]));
}

#[test]
fn a_zero_bucket_without_a_number_ends() {
    for (a, b) in [(f64::NAN, 0.0), (0.0, f64::NAN), (f64::NAN, f64::NAN), (f64::INFINITY, 1.0), (-1.0, 1.0)] {
        let native = |zero_threshold| Native { zero_threshold, ..plain(&[1.0, 2.0]) };
        let mut sum = native(a);
        assert!(sum.add(&native(b)).is_ok());
        let _ = sum.is_reset_after(&native(b));
        let _ = native(b).is_reset_after(&sum);
    }
}

#[test]
fn resets_are_found() {
    let check = |before: &[f64], now: &[f64], want| {
        assert_eq!(plain(now).is_reset_after(&plain(before)), want, "{before:?} {now:?}")
    };
    check(&[1.0, 2.0], &[1.0, 2.0], false);
    check(&[1.0, 2.0], &[2.0, 2.0], false);
    check(&[1.0, 2.0], &[5.0, 1.0], true);
    check(&[1.0, 2.0], &[1.0], true);
    let finer = Native { schema: 2, ..plain(&[9.0, 9.0]) };
    assert!(finer.is_reset_after(&plain(&[1.0])));
}

#[test]
fn quantiles_and_fractions() {
    let native = plain(&[1.0, 2.0, 1.0]); // (1,2] (2,4] (4,8]
    assert!((native.quantile(0.5).0 - 8f64.sqrt()).abs() < 1e-9);
    assert_eq!(native.quantile(1.0).0, 8.0);
    assert_eq!(native.fraction(2.0, 4.0), 0.5);
    assert_eq!(native.fraction(f64::NEG_INFINITY, f64::INFINITY), 1.0);
    assert_eq!(custom(&[10.0, 20.0], &[5.0, 5.0]).quantile(0.25).0, 5.0);
    assert_eq!(custom(&[10.0], &[0.0, 5.0]).quantile(0.9).0, 10.0);
    let (value, effect) = Native { sum: f64::NAN, count: 8.0, ..plain(&[1.0, 2.0, 1.0]) }.quantile(0.9);
    assert!(value.is_nan() && effect == quantile::NanEffect::Result);
}
