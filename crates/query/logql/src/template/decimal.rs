//! Arithmetic on floats as the decimals that they are written as, so that 0.1 and 0.2 are 0.3.

/// Digits after the point that a division gives.
const DIVISION_DIGITS: u32 = 16;

/// A whole number of units of `10^-scale`.
#[derive(Clone, Copy)]
struct Decimal {
    units: i128,
    scale: u32,
}

impl Decimal {
    fn from_float(value: f64) -> Option<Decimal> {
        if !value.is_finite() || value.abs() > 1e20 {
            return None;
        }
        let text = format!("{value}");
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let scale = u32::try_from(fraction.len()).ok().filter(|scale| *scale <= 18)?;
        Some(Decimal { units: format!("{whole}{fraction}").parse().ok()?, scale })
    }

    fn at_scale(self, scale: u32) -> Option<i128> {
        self.units.checked_mul(10i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    fn to_float(self) -> Option<f64> {
        format!("{}e-{}", self.units, self.scale).parse().ok()
    }
}

/// The result of `+`, `-`, `*` or `/`. Falls back to floats where the numbers are too large or too fine.
pub(super) fn calculate(op: char, a: f64, b: f64) -> f64 {
    let exact = || -> Option<f64> {
        let (a, b) = (Decimal::from_float(a)?, Decimal::from_float(b)?);
        let scale = a.scale.max(b.scale);
        match op {
            '+' => Decimal { units: a.at_scale(scale)?.checked_add(b.at_scale(scale)?)?, scale },
            '-' => Decimal { units: a.at_scale(scale)?.checked_sub(b.at_scale(scale)?)?, scale },
            '*' => Decimal { units: a.units.checked_mul(b.units)?, scale: a.scale + b.scale },
            _ => {
                let (left, right) = (a.at_scale(scale)?, b.at_scale(scale)?);
                let left = left.checked_mul(10i128.pow(DIVISION_DIGITS))?;
                let (quotient, rest) = (left.checked_div(right)?, left.checked_rem(right)?);
                let up = i128::from(rest.unsigned_abs() * 2 >= right.unsigned_abs());
                let away = if (left < 0) == (right < 0) { up } else { -up };
                Decimal { units: quotient + away, scale: DIVISION_DIGITS }
            }
        }
        .to_float()
    };
    exact().unwrap_or(match op {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        _ => a / b,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for (op, a, b, want) in [
            ('+', 0.1, 0.2, 0.3),
            ('-', 0.3, 0.1, 0.2),
            ('*', 1.1, 1.1, 1.21),
            ('/', 20.2, 5.25, 3.8476190476190477),
            ('/', -2.0, 3.0, -0.6666666666666667),
            ('/', 1.0, 0.0, f64::INFINITY),
            ('+', 1e300, 1.0, 1e300),
            ('*', 1e-300, 2.0, 2e-300),
        ] {
            assert_eq!(calculate(op, a, b), want, "{a} {op} {b}");
        }
    }
}
