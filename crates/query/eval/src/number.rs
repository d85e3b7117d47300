//! Numbers: sums that keep their small parts, quantiles, and how floats are written.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// A sum with compensation (Kahan, in Neumaier's variant).
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Kahan {
    pub sum: f64,
    pub compensation: f64,
}

impl Kahan {
    pub fn new(first: f64) -> Kahan {
        Kahan { sum: first, compensation: 0.0 }
    }

    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        let (large, small) = if self.sum.abs() >= value.abs() { (self.sum, value) } else { (value, self.sum) };
        self.compensation = if total.is_infinite() { 0.0 } else { self.compensation + ((large - total) + small) };
        self.sum = total;
    }

    /// Adds the values of another sum.
    pub fn merge(&mut self, other: Kahan) {
        self.add(other.sum);
        self.add(other.compensation);
    }

    pub fn value(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.compensation }
    }
}

/// The mean of values added one by one. Sums first, and goes over to a running mean when the sum would overflow.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Mean {
    total: Kahan,
    count: f64,
    running: bool,
}

impl Mean {
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.running {
            let mut total = self.total;
            total.add(value);
            if self.count == 1.0 || !total.sum.is_infinite() {
                self.total = total;
                return;
            }
            // The sum overflows: from here on keep the mean itself.
            self.running = true;
            let before = self.count - 1.0;
            self.total = Kahan { sum: self.total.sum / before, compensation: self.total.compensation / before };
        }
        let mean = self.total.sum;
        if mean.is_infinite() {
            if value.is_infinite() && (mean > 0.0) == (value > 0.0) {
                return; // The mean of equal infinities stays what it is.
            }
            if value.is_finite() {
                return; // A finite value cannot change an infinite mean.
            }
        }
        let share = (self.count - 1.0) / self.count;
        let mut total = Kahan { sum: share * mean, compensation: share * self.total.compensation };
        total.add(value / self.count);
        self.total = total;
    }

    /// Adds the values of another mean.
    pub fn merge(&mut self, other: Mean) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        if !self.running && !other.running {
            let mut total = self.total;
            total.merge(other.total);
            if !total.sum.is_infinite() || self.total.sum.is_infinite() || other.total.sum.is_infinite() {
                *self = Mean { total, count, running: false };
                return;
            }
        }
        let share = |mean: &Mean| {
            let of = if mean.running { 1.0 } else { mean.count };
            let weight = mean.count / count;
            Kahan { sum: mean.total.sum / of * weight, compensation: mean.total.compensation / of * weight }
        };
        let mut total = share(self);
        total.merge(share(&other));
        *self = Mean { total, count, running: true };
    }

    pub fn count(&self) -> f64 {
        self.count
    }

    pub fn value(&self) -> f64 {
        if self.running {
            return self.total.value();
        }
        let Kahan { sum, compensation } = self.total;
        if sum.is_infinite() {
            return sum / self.count;
        }
        sum / self.count + compensation / self.count
    }
}

/// Count, mean and squared deviations of values added one by one (Welford, compensated).
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Deviation {
    count: f64,
    mean: Kahan,
    squares: Kahan,
}

impl Deviation {
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - (self.mean.sum + self.mean.compensation);
        self.mean.add(delta / self.count);
        self.squares.add(delta * (value - (self.mean.sum + self.mean.compensation)));
    }

    pub fn count(&self) -> f64 {
        self.count
    }

    /// Adds the values of another one (Chan's parallel form).
    pub fn merge(&mut self, other: Deviation) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        let delta = other.mean.value() - self.mean.value();
        self.squares.merge(other.squares);
        self.squares.add(delta * delta * (self.count * other.count / count));
        self.mean.add(delta * (other.count / count));
        self.count = count;
    }

    /// The population variance.
    pub fn variance(&self) -> f64 {
        (self.squares.sum + self.squares.compensation) / self.count
    }
}

/// The φ-quantile of values in any order, interpolated between neighbours; moves them. NaN counts as smallest.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let order = |a: &f64, b: &f64| b.is_nan().cmp(&a.is_nan()).then_with(|| a.total_cmp(b));
    let rank = q * (values.len() as f64 - 1.0);
    let place = (rank.floor().max(0.0) as usize).min(values.len() - 1);
    let (_, lower, above) = values.select_nth_unstable_by(place, order);
    let upper = above.iter().copied().min_by(order).unwrap_or(*lower);
    let weight = rank - rank.floor();
    *lower * (1.0 - weight) + upper * weight
}

/// A float as Prometheus writes it in labels and answers (Go's `%f` with the fewest digits that read back).
pub fn plain(value: f64) -> String {
    let mut out = String::new();
    push_plain(&mut out, value);
    out
}

/// Appends what [`plain`] gives.
pub fn push_plain(out: &mut String, value: f64) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    if value.abs() < WHOLE && value.trunc() == value && (value != 0.0 || value.is_sign_positive()) {
        return out.push_str(itoa::Buffer::new().format(value as i64));
    }
    let mut buffer = zmij::Buffer::new();
    match buffer.format_finite(value) {
        short if !short.contains(['e', 'E']) => out.push_str(short.strip_suffix(".0").unwrap_or(short)),
        // Writing to a string cannot fail.
        _ => drop(write!(out, "{value}")),
    }
}

/// Whole numbers below are written as integers.
const WHOLE: f64 = 1e15;

/// A float as Go's `%g` writes it: an exponent for very small and very large numbers. For messages.
pub fn general(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return plain(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut out = digits.to_owned();
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "e{sign}{:02}", exponent.abs()).expect("writing to a string does not fail");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_parts_survive_a_sum() {
        let mut sum = Kahan::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.value(), 2.0);
    }

    #[test]
    fn a_mean_does_not_overflow() {
        let mean = |values: &[f64]| {
            let mut mean = Mean::default();
            values.iter().for_each(|v| mean.add(*v));
            mean.value()
        };
        assert_eq!(mean(&[1.0, 2.0, 3.0]), 2.0);
        assert!((mean(&[f64::MAX, f64::MAX, f64::MAX]) / f64::MAX - 1.0).abs() < 1e-12);
        assert_eq!(mean(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(mean(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }

    #[test]
    fn merged_means_do_not_overflow() {
        let mean = |values: &[f64]| {
            let mut mean = Mean::default();
            values.iter().for_each(|v| mean.add(*v));
            mean
        };
        let mut merged = mean(&[f64::MAX, f64::MAX]);
        merged.merge(mean(&[f64::MAX]));
        assert!((merged.value() / f64::MAX - 1.0).abs() < 1e-12);
        merged.merge(mean(&[f64::INFINITY]));
        assert_eq!(merged.value(), f64::INFINITY);
        merged.merge(Mean::default());
        assert_eq!((merged.value(), merged.count()), (f64::INFINITY, 4.0));
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(quantile(0.25, &mut [9.0, 2.0, f64::NAN, 4.0, 8.0]), 2.0);
        assert!(quantile(0.1, &mut [9.0, 2.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [9.0, 2.0, 3.0]), 9.0);
        assert_eq!(quantile(0.0, &mut [9.0, 2.0, 3.0]), 2.0);
        assert_eq!(quantile(1.5, &mut [3.0, 1.0]), f64::INFINITY);
        assert!(quantile(0.5, &mut []).is_nan());
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, text) in
            [(1.0, "1"), (0.1, "0.1"), (1e21, "1e+21"), (1e-7, "1e-07"), (f64::INFINITY, "+Inf"), (-2.5, "-2.5")]
        {
            assert_eq!(general(value), text);
        }
        assert_eq!(plain(1e-7), "0.0000001");
    }

    proptest::proptest! {
        #[test]
        fn floats_are_written_shortest_and_without_an_exponent(bits: u64, small in -1e6f64..1e6, places in 0..6i32) {
            for value in [f64::from_bits(bits), small, (small * 10f64.powi(places)).round() / 10f64.powi(places)] {
                if value.is_finite() {
                    let (text, other) = (plain(value), format!("{value}"));
                    // Where two texts of that length are equally near, the other writer takes the greater.
                    let is_tie = text.len() == other.len() && text.parse() == Ok(value);
                    proptest::prop_assert!(text == other || is_tie, "{text} or {other}");
                }
            }
        }

        #[test]
        fn parts_merge_to_the_whole(values in proptest::collection::vec(-1e9f64..1e9, 0..60), cut: proptest::sample::Index) {
            let fold = |values: &[f64]| {
                let (mut sum, mut mean, mut deviation) = (Kahan::default(), Mean::default(), Deviation::default());
                values.iter().for_each(|v| { sum.add(*v); mean.add(*v); deviation.add(*v) });
                (sum, mean, deviation)
            };
            let (left, right) = values.split_at(cut.index(values.len() + 1));
            let ((mut sum, mut mean, mut deviation), other, whole) = (fold(left), fold(right), fold(&values));
            sum.merge(other.0);
            mean.merge(other.1);
            deviation.merge(other.2);
            let near = |a: f64, b: f64| a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-12 * b.abs().max(1.0);
            proptest::prop_assert!(near(sum.value(), whole.0.value()));
            proptest::prop_assert!(near(mean.value(), whole.1.value()));
            proptest::prop_assert!(near(deviation.variance() / 1e9, whole.2.variance() / 1e9));
            proptest::prop_assert_eq!((mean.count(), deviation.count()), (whole.1.count(), whole.2.count()));
        }
    }
}
