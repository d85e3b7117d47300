//! The order in which a part keeps its series: by metric, then labels, then bucket bound.

use model::Labels;
use model::labels::METRIC_NAME;
use std::cmp::Ordering;

/// The label of a classic histogram's bucket bounds.
pub const BUCKET: &str = "le";

/// By metric name, then by the other labels, at last by `le` as a number: the buckets of one histogram are then side
/// by side, each a little larger than the one before, and so are series that behave alike.
pub fn order(a: &Labels, b: &Labels) -> Ordering {
    let rest = |labels: &Labels, other: &Labels| {
        let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME && *name != BUCKET);
        own.cmp(other.iter().filter(|(name, _)| *name != METRIC_NAME && *name != BUCKET))
    };
    a.metric_name().cmp(b.metric_name()).then_with(|| rest(a, b)).then_with(|| bounds(a.value(BUCKET), b.value(BUCKET)))
}

/// Bucket bounds as numbers; none comes first, what is no number comes last, and equal numbers go by their text.
pub fn bounds(a: &str, b: &str) -> Ordering {
    if a.is_empty() || b.is_empty() {
        return b.is_empty().cmp(&a.is_empty());
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(x), Ok(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_go_by_number_within_their_histogram() {
        let bucket = |pod: &str, le: &str| Labels::from_pairs([(METRIC_NAME, "h_bucket"), ("le", le), ("pod", pod)]);
        let mut all =
            [bucket("b", "1"), bucket("a", "+Inf"), bucket("a", "10"), bucket("a", "2.5"), bucket("b", "0.5")];
        all.sort_by(order);
        let got: Vec<_> = all.iter().map(|l| format!("{}{}", l.value("pod"), l.value("le"))).collect();
        assert_eq!(got, ["a2.5", "a10", "a+Inf", "b0.5", "b1"]);
    }
}
