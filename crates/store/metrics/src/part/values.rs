//! How the floats of one series become small whole numbers, and come back bit for bit.

use crate::bytes_io::{Cursor, as_int, put_signed, put_varint, zigzag};
use crate::error::{Error, corrupt};

/// What the numbers of a series are. The codes are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One whole number, for every sample.
    Whole = 0,
    /// The bits of one float, for every sample.
    Same = 1,
    /// Decimals: differences from one sample to the next.
    Steps = 2,
    /// Decimals: differences to the first sample.
    Plain = 3,
    /// A running sum of decimals: each sample is the float sum of the one before it and a decimal.
    Sum = 4,
    /// Differences from one sample's bits to the next one's.
    Bits = 5,
    /// Decimals: by how much the steps differ from those of the series before, which has the same times and scale.
    Bucket = 6,
}

const KINDS: [Kind; 7] = [Kind::Whole, Kind::Same, Kind::Steps, Kind::Plain, Kind::Sum, Kind::Bits, Kind::Bucket];

const MAX_SCALE: u8 = 12;
const POWERS: [f64; 13] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
/// Sums are tried with these numbers of digits.
const SUM_SCALES: [u8; 4] = [0, 3, 6, 9];
/// More special values than one in this many, and a series is kept by its bits.
const SPECIAL_SHARE: usize = 4;

/// One series' floats, ready for a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub kind: Kind,
    /// Decimal digits after the point.
    pub scale: u8,
    /// Zero bits below every residual, which are not kept.
    pub shift: u8,
    /// The bits of the first value, its whole number, or its difference to the series before; by kind.
    pub first: i64,
    /// Places and bits of the NaNs among decimals: stale markers.
    pub special: Vec<(u32, u64)>,
}

impl Kind {
    pub fn from_code(code: u8) -> Result<Kind, Error> {
        KINDS.get(usize::from(code)).copied().ok_or(Error::Corrupt { why: "a series has an unknown kind" })
    }

    /// Whether the series has numbers in a stream.
    pub fn has_residuals(self) -> bool {
        !matches!(self, Kind::Whole | Kind::Same)
    }

    fn is_decimal(self) -> bool {
        matches!(self, Kind::Whole | Kind::Steps | Kind::Plain | Kind::Bucket)
    }
}

/// Decimals of the series before, for one that may be a bucket of the same histogram.
#[derive(Default)]
pub struct Before {
    pub times: u32,
    scale: u8,
    wholes: Vec<i64>,
}

/// Turns floats into numbers. Keeps its buffers from one series to the next.
#[derive(Default)]
pub struct Shaper {
    bits: Vec<u64>,
    wholes: Vec<i64>,
    candidate: Vec<i64>,
    before: Before,
}

impl Shaper {
    /// Starts a page: no series is before the next one.
    pub fn start_page(&mut self) {
        self.before.wholes.clear();
    }

    /// Shapes the values of a series with the time vector `times`; `residuals` gets what goes into a stream.
    pub fn shape(&mut self, values: &[f64], times: u32, residuals: &mut Vec<i64>) -> Shape {
        residuals.clear();
        self.bits.clear();
        self.bits.extend(values.iter().map(|v| v.to_bits()));
        let first = self.bits.first().copied().unwrap_or(0);
        if self.bits.iter().all(|&bits| bits == first) {
            return self.constant(first, times);
        }
        let special = self.take_special();
        let mut shape = match self.find_scale() {
            Some(scale) => self.decimal(scale, times, residuals),
            None => self.float(residuals),
        };
        shape.special = special;
        let all = residuals.iter().fold(0, |all, r| all | r);
        if all != 0 && all.trailing_zeros() > 0 {
            shape.shift = all.trailing_zeros() as u8;
            residuals.iter_mut().for_each(|r| *r >>= shape.shift);
        }
        shape
    }

    fn constant(&mut self, bits: u64, times: u32) -> Shape {
        let whole = as_int(bits);
        self.before.wholes.clear();
        if let Some(whole) = whole {
            self.before.wholes.resize(self.bits.len(), whole);
            (self.before.times, self.before.scale) = (times, 0);
        }
        let (kind, first) = whole.map_or((Kind::Same, bits as i64), |whole| (Kind::Whole, whole));
        Shape { kind, scale: 0, shift: 0, first, special: Vec::new() }
    }

    /// Takes NaNs out: each gets the value before it (at the start: the first other one).
    fn take_special(&mut self) -> Vec<(u32, u64)> {
        let is_special = |bits: u64| f64::from_bits(bits).is_nan();
        let count = self.bits.iter().filter(|&&bits| is_special(bits)).count();
        if count == 0 || count > self.bits.len() / SPECIAL_SHARE {
            return Vec::new();
        }
        let mut last = self.bits.iter().copied().find(|&bits| !is_special(bits)).unwrap_or(0);
        let mut special = Vec::with_capacity(count);
        for (at, bits) in (0u32..).zip(&mut self.bits) {
            if is_special(*bits) {
                special.push((at, std::mem::replace(bits, last)));
            }
            last = *bits;
        }
        special
    }

    /// The digits after the point that all values have, if they are decimals; then `wholes` has their numbers.
    fn find_scale(&mut self) -> Option<u8> {
        let mut scale = 0;
        'again: loop {
            self.wholes.clear();
            for &bits in &self.bits {
                match decimal(bits, scale) {
                    Some(whole) => self.wholes.push(whole),
                    None => {
                        scale = (scale + 1..=MAX_SCALE).find(|&scale| decimal(bits, scale).is_some())?;
                        continue 'again;
                    }
                }
            }
            return Some(scale);
        }
    }

    fn decimal(&mut self, scale: u8, times: u32, residuals: &mut Vec<i64>) -> Shape {
        let wholes = &self.wholes;
        let first = wholes[0];
        residuals.extend(wholes.windows(2).map(|pair| pair[1] - pair[0]));
        let mut best = cost(residuals);
        let mut shape = Shape { kind: Kind::Steps, scale, shift: 0, first, special: Vec::new() };
        self.candidate.clear();
        self.candidate.extend(wholes[1..].iter().map(|whole| whole - first));
        if cost(&self.candidate) < best {
            best = cost(&self.candidate);
            shape.kind = Kind::Plain;
            std::mem::swap(residuals, &mut self.candidate);
        }
        let before = &mut self.before;
        if before.times == times && before.scale == scale && before.wholes.len() == wholes.len() {
            self.candidate.clear();
            let steps = wholes.windows(2).zip(before.wholes.windows(2));
            self.candidate.extend(steps.map(|(own, other)| (own[1] - own[0]) - (other[1] - other[0])));
            if cost(&self.candidate) < best {
                (shape.kind, shape.first) = (Kind::Bucket, first - before.wholes[0]);
                std::mem::swap(residuals, &mut self.candidate);
            }
        }
        (before.times, before.scale) = (times, scale);
        std::mem::swap(&mut before.wholes, &mut self.wholes);
        shape
    }

    fn float(&mut self, residuals: &mut Vec<i64>) -> Shape {
        self.before.wholes.clear();
        let first = self.bits[0] as i64;
        for scale in SUM_SCALES {
            residuals.clear();
            let steps = self.bits.windows(2).map_while(|pair| step(pair[0], pair[1], scale));
            residuals.extend(steps);
            if residuals.len() + 1 == self.bits.len() {
                return Shape { kind: Kind::Sum, scale, shift: 0, first, special: Vec::new() };
            }
        }
        residuals.clear();
        residuals.extend(self.bits.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as i64));
        Shape { kind: Kind::Bits, scale: 0, shift: 0, first, special: Vec::new() }
    }
}

/// The whole number that gives these bits when it is divided by 10^scale.
fn decimal(bits: u64, scale: u8) -> Option<i64> {
    if scale == 0 {
        return as_int(bits);
    }
    let whole = (f64::from_bits(bits) * POWERS[usize::from(scale)]).round() as i64;
    (undecimal(whole, scale).to_bits() == bits && whole.unsigned_abs() < 1 << 53).then_some(whole)
}

fn undecimal(whole: i64, scale: u8) -> f64 {
    if scale == 0 { whole as f64 } else { whole as f64 / POWERS[usize::from(scale)] }
}

/// The decimal that leads from one float to the next by a float addition.
fn step(from: u64, to: u64, scale: u8) -> Option<i64> {
    let (from, to) = (f64::from_bits(from), f64::from_bits(to));
    let whole = ((to - from) * POWERS[usize::from(scale)]).round() as i64;
    let exact = (from + undecimal(whole, scale)).to_bits() == to.to_bits();
    (exact && whole.unsigned_abs() < 1 << 53).then_some(whole)
}

/// About how many bits the numbers take.
pub fn cost(numbers: &[i64]) -> u64 {
    numbers.iter().map(|&n| u64::from(64 - zigzag(n).leading_zeros())).sum()
}

impl Shape {
    /// Appends what is not in a page's columns of kinds and streams.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Same | Kind::Sum | Kind::Bits => out.extend_from_slice(&self.first.to_le_bytes()),
            _ => put_signed(out, self.first),
        }
        if !self.special.is_empty() {
            put_varint(out, self.special.len() as u64);
            let mut last = 0;
            for &(at, bits) in &self.special {
                put_varint(out, u64::from(at - last));
                out.extend_from_slice(&bits.to_le_bytes());
                last = at;
            }
        }
    }

    /// Reads what `put` wrote.
    pub fn take(cursor: &mut Cursor<'_>, kind: Kind, scale: u8, shift: u8, special: bool) -> Result<Shape, Error> {
        if scale > MAX_SCALE || shift > 63 {
            return corrupt("a series has an unknown scale");
        }
        let first = match kind {
            Kind::Same | Kind::Sum | Kind::Bits => cursor.u64_le()? as i64,
            _ => cursor.signed()?,
        };
        let mut shape = Shape { kind, scale, shift, first, special: Vec::new() };
        if special {
            let mut at = 0u32;
            for _ in 0..cursor.count(9)? {
                at = at.saturating_add(cursor.u32()?);
                shape.special.push((at, cursor.u64_le()?));
            }
        }
        Ok(shape)
    }

    /// Gives the values back. `wholes` holds the decimals of the series before (for buckets), and gets this one's;
    /// `out` gets one value for each residual, and one.
    pub fn restore(&self, n: usize, residuals: &[i64], wholes: &mut Vec<i64>, out: &mut Vec<f64>) -> Result<(), Error> {
        let start = out.len();
        if n > 0 && self.kind.is_decimal() {
            self.restore_wholes(n, residuals, wholes)?;
            out.extend(wholes.iter().map(|&whole| undecimal(whole, self.scale)));
        } else if n > 0 {
            wholes.clear();
            self.restore_floats(n, residuals, out);
        }
        for &(at, bits) in &self.special {
            match out.get_mut(start..).and_then(|own| own.get_mut(at as usize)) {
                Some(value) => *value = f64::from_bits(bits),
                None => return corrupt("a special value is past the end of its series"),
            }
        }
        Ok(())
    }

    /// The decimals alone, as the next bucket needs them.
    pub fn restore_wholes(&self, n: usize, residuals: &[i64], wholes: &mut Vec<i64>) -> Result<(), Error> {
        let residuals = residuals.iter().map(|r| r << self.shift);
        match self.kind {
            _ if n == 0 => wholes.clear(),
            Kind::Bucket => {
                if wholes.len() != n {
                    return corrupt("a bucket does not fit the series before it");
                }
                // The steps of the series before are taken up as they are overwritten.
                let mut other = wholes[0];
                let mut last = other.wrapping_add(self.first);
                wholes[0] = last;
                for (whole, residual) in wholes[1..].iter_mut().zip(residuals) {
                    let step = whole.wrapping_sub(other);
                    other = *whole;
                    last = last.wrapping_add(step).wrapping_add(residual);
                    *whole = last;
                }
            }
            Kind::Whole => {
                wholes.clear();
                wholes.resize(n, self.first);
            }
            Kind::Plain => {
                wholes.clear();
                wholes.push(self.first);
                wholes.extend(residuals.map(|r| self.first.wrapping_add(r)));
            }
            Kind::Steps => {
                wholes.clear();
                wholes.push(self.first);
                let mut last = self.first;
                wholes.extend(residuals.map(|r| {
                    last = last.wrapping_add(r);
                    last
                }));
            }
            Kind::Same | Kind::Sum | Kind::Bits => wholes.clear(),
        }
        Ok(())
    }

    fn restore_floats(&self, n: usize, residuals: &[i64], out: &mut Vec<f64>) {
        let mut bits = self.first as u64;
        out.push(f64::from_bits(bits));
        match self.kind {
            Kind::Sum => {
                let mut value = f64::from_bits(bits);
                out.extend(residuals.iter().map(|r| {
                    value += undecimal(r << self.shift, self.scale);
                    value
                }));
            }
            Kind::Bits => out.extend(residuals.iter().map(|r| {
                bits = bits.wrapping_add((r << self.shift) as u64);
                f64::from_bits(bits)
            })),
            _ => out.extend(std::iter::repeat_n(f64::from_bits(bits), n - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shapes series that share their times, restores them, and says which kinds were chosen.
    fn check(all: &[Vec<f64>]) -> Vec<Kind> {
        let mut shaper = Shaper::default();
        let (mut residuals, mut wholes) = (Vec::new(), Vec::new());
        let mut kinds = Vec::new();
        for values in all {
            let shape = shaper.shape(values, 1, &mut residuals);
            let mut bytes = Vec::new();
            shape.put(&mut bytes);
            let mut cursor = Cursor::new(&bytes);
            let read = Shape::take(&mut cursor, shape.kind, shape.scale, shape.shift, !shape.special.is_empty());
            assert_eq!(read.expect("reads"), shape);
            let mut got = Vec::new();
            shape.restore(values.len(), &residuals, &mut wholes, &mut got).expect("restores");
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(values), "{shape:?}");
            kinds.push(shape.kind);
        }
        kinds
    }

    #[test]
    fn kinds_are_chosen_by_what_values_are() {
        let noise = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50) as f64;
        let stale = f64::from_bits(model::rows::STALE_NAN_BITS);
        let counter: Vec<f64> = (0..60).map(|at| 1e6 + (at * 100) as f64 + noise(at) % 7.0).collect();
        let bucket: Vec<f64> = counter.iter().enumerate().map(|(at, v)| v + 5.0 + (at / 20) as f64).collect();
        let gauge: Vec<f64> = (0..60).map(|at| noise(at) / 10.0).collect();
        let mut sum = vec![std::f64::consts::PI * 1e4];
        (0..59).for_each(|at| sum.push(sum[at as usize] + noise(at) / 1e6));
        let mut ended = counter.clone();
        ended[59] = stale;
        let float: Vec<f64> = (0..60).map(|at| (noise(at) + 1.0).ln()).collect();
        let cases: [(&str, Vec<Vec<f64>>, Kind); 9] = [
            ("constant", vec![vec![3.0; 60]], Kind::Whole),
            ("minus zero", vec![vec![-0.0; 60]], Kind::Same),
            ("counter", vec![counter.clone()], Kind::Steps),
            ("ended counter", vec![ended], Kind::Steps),
            ("decimal gauge", vec![gauge], Kind::Plain),
            ("sum", vec![sum], Kind::Sum),
            ("float", vec![float], Kind::Bits),
            ("buckets", vec![counter, bucket], Kind::Bucket),
            ("one", vec![vec![0.1]], Kind::Same),
        ];
        for (name, series, want) in cases {
            assert_eq!(check(&series).last(), Some(&want), "{name}");
        }
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-1000i32..1000).prop_map(f64::from),
            (-1000i32..1000).prop_map(|n| f64::from(n) / 100.0),
            any::<i64>().prop_map(|n| n as f64),
            Just(f64::from_bits(model::rows::STALE_NAN_BITS)),
            Just(f64::INFINITY),
            Just(-0.0),
        ]
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(
            len in 1usize..40,
            seed in prop::collection::vec(prop::collection::vec(any_value(), 40), 1..5),
            mixed in prop::collection::vec(prop::collection::vec((-50i32..50).prop_map(f64::from), 40), 0..5),
        ) {
            check(&seed.iter().chain(&mixed).map(|values| values[..len].to_vec()).collect::<Vec<_>>());
        }
    }
}
