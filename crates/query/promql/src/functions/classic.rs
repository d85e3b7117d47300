//! Quantiles and fractions of classic histograms: cumulative counts in buckets with a label `le`.

/// One bucket: how many observations were at most `upper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    pub upper: f64,
    pub count: f64,
}

/// Counts that differ by less than this share are taken for equal: they come from floats that were summed.
const TOLERANCE: f64 = 1e-12;

/// Sorts buckets, joins those with equal bounds and takes decreases away. Says whether there were decreases; `None`
/// when there is no bucket for everything, so that nothing can be known.
pub fn prepare(buckets: &mut Vec<Bucket>) -> Option<bool> {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last()?.upper != f64::INFINITY {
        return None;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    let mut forced = false;
    let mut before = buckets[0].count;
    for bucket in buckets.iter_mut().skip(1) {
        let nearly = (bucket.count - before).abs() <= TOLERANCE * (bucket.count.abs() + before.abs());
        if nearly {
            bucket.count = before;
        } else if bucket.count < before {
            forced = true;
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    Some(forced)
}

/// The φ-quantile of prepared buckets.
pub fn quantile(q: f64, buckets: &[Bucket]) -> f64 {
    if buckets.len() < 2 {
        return f64::NAN;
    }
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if observations == 0.0 || observations.is_nan() {
        return f64::NAN;
    }
    let rank = q * observations;
    let at = buckets[..last].partition_point(|b| b.count < rank);
    if at == last {
        return buckets[last - 1].upper;
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return buckets[0].upper;
    }
    let (start, below) = if at > 0 { (buckets[at - 1].upper, buckets[at - 1].count) } else { (0.0, 0.0) };
    start + (buckets[at].upper - start) * ((rank - below) / (buckets[at].count - below))
}

/// Which share of the observations lies between `lower` and `upper`.
pub fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let Some(last) = buckets.last() else { return f64::NAN };
    let count = last.count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |value: f64| -> f64 {
        let mut below = 0.0;
        for (at, bucket) in buckets.iter().enumerate() {
            let start = match at {
                0 if bucket.upper > 0.0 => 0.0,
                0 => f64::NEG_INFINITY,
                _ => buckets[at - 1].upper,
            };
            if value <= start {
                return below;
            }
            if value < bucket.upper {
                // Where within an endless bucket they are nobody knows: at its only bound.
                let share = match (start.is_infinite(), bucket.upper.is_infinite()) {
                    (true, _) => 1.0,
                    (_, true) => 0.0,
                    _ => (value - start) / (bucket.upper - start),
                };
                return below + (bucket.count - below) * share;
            }
            below = bucket.count;
        }
        count
    };
    (rank(upper) - rank(lower)) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_fractions() {
        let mut buckets: Vec<Bucket> = [(10.0, 10.0), (20.0, 30.0), (f64::INFINITY, 40.0), (20.0, 0.0)]
            .map(|(upper, count)| Bucket { upper, count })
            .to_vec();
        assert_eq!(prepare(&mut buckets), Some(false));
        for (q, want) in [(0.0, 0.0), (0.25, 10.0), (0.5, 15.0), (1.0, 20.0)] {
            assert_eq!(quantile(q, &buckets), want, "{q}");
        }
        assert_eq!(fraction(10.0, 20.0, &buckets), 0.5);
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &buckets), 1.0);
        buckets[1].count = 5.0;
        assert_eq!(prepare(&mut buckets), Some(true));
        assert_eq!(prepare(&mut vec![Bucket { upper: 1.0, count: 1.0 }]), None);
    }
}
