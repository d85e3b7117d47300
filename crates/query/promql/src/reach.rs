//! Which samples a range query can see, known from its text: what may be kept of its answer, and for how long, follows.

use crate::{
    ast::{At, Edges, Expr, Kind, Selector, Shift, Span},
    options::Options,
};
use eval::aggregate::Op;
use model::TimeRange;

/// The times, in milliseconds, of all samples that the steps from `start` to `end`, both included, can depend on, maybe
/// some more. `None` where a step depends on more than its own time and samples (on where the query begins or ends, or on
/// the order in which series come), and where no samples are read.
pub fn reach(expr: &Expr, start: i64, end: i64, step: i64, options: &Options) -> Option<TimeRange> {
    if expr.any(&mut |expr| depends_on_all(expr)) {
        return None;
    }
    let lookback = i64::try_from(options.lookback.as_millis()).ok()?;
    let mut seen = Seen { step, lookback, range: None };
    seen.expr(expr, TimeRange::new(start, end))?;
    seen.range
}

/// Whether an expression itself, whatever is below it, looks at more than its own step. Spans and `@` are seen to where
/// they are computed.
fn depends_on_all(expr: &Expr) -> bool {
    match &expr.kind {
        // The first series, in the order in which they come.
        Kind::Aggregate { op, .. } => matches!(op, Op::LimitK | Op::LimitRatio),
        // `info` looks at all steps to find out which series are information themselves.
        Kind::Call { function, .. } => matches!(function.name, "info" | "start" | "end" | "range"),
        _ => false,
    }
}

struct Seen {
    step: i64,
    lookback: i64,
    range: Option<TimeRange>,
}

impl Seen {
    /// Adds what an expression sees that is evaluated at times within `at`.
    fn expr(&mut self, expr: &Expr, at: TimeRange) -> Option<()> {
        match &expr.kind {
            Kind::Selector(selector) => self.samples(selector, 0, at),
            Kind::Range(selector, range) => self.samples(selector, self.millis(range)?, at),
            Kind::Subquery(subquery) => {
                let at = self.shifted(&subquery.shift, at)?;
                let range = self.millis(&subquery.range)?;
                self.expr(&subquery.expr, TimeRange::new(at.min.checked_sub(range)?, at.max))
            }
            _ => expr.children().into_iter().try_for_each(|child| self.expr(child, at)),
        }
    }

    fn samples(&mut self, selector: &Selector, range: i64, at: TimeRange) -> Option<()> {
        let at = self.shifted(&selector.shift, at)?;
        // Windows with edges look around themselves, and counters of histograms before themselves.
        let before = range.checked_add(self.lookback.checked_mul(2)?)?;
        let after = if selector.edges == Edges::Smoothed { self.lookback } else { 0 };
        let (min, max) = (at.min.checked_sub(before)?, at.max.checked_add(after)?);
        let seen = self.range.get_or_insert(TimeRange::new(min, max));
        *seen = TimeRange::new(seen.min.min(min), seen.max.max(max));
        Some(())
    }

    fn shifted(&self, shift: &Shift, at: TimeRange) -> Option<TimeRange> {
        let at = match shift.at {
            None => at,
            Some(At::Time(time)) => TimeRange::new(time, time),
            Some(At::Start | At::End) => return None,
        };
        let offset = shift.offset.as_ref().map_or(Some(0), |span| self.millis(span))?;
        Some(TimeRange::new(at.min.checked_sub(offset)?, at.max.checked_sub(offset)?))
    }

    /// `None` too where evaluation fails.
    fn millis(&self, span: &Span) -> Option<i64> {
        let millis = (span.seconds(Some(self.step as f64 / 1000.0), None)? * 1000.0).round();
        (millis.abs() < i64::MAX as f64 / 4.0).then_some(millis as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_sees_is_known_from_its_text() {
        let check = |text: &str, want: Option<(i64, i64)>| {
            let expr = crate::parse(text).expect("a query");
            let found = reach(&expr, 1_000_000, 2_000_000, 10_000, &Options::default());
            assert_eq!(found.map(|range| (range.min, range.max)), want, "{text}");
        };
        const BEFORE: i64 = 600_000;
        check("up", Some((1_000_000 - BEFORE, 2_000_000)));
        check("up offset 1m", Some((940_000 - BEFORE, 1_940_000)));
        check("up offset -1m", Some((1_060_000 - BEFORE, 2_060_000)));
        check("up @ 500", Some((500_000 - BEFORE, 500_000)));
        check("rate(up[1m]) / up offset -1h", Some((940_000 - BEFORE, 5_600_000)));
        check("max_over_time(rate(up[1m])[5m:1m] offset 10s)", Some((630_000 - BEFORE, 1_990_000)));
        check("max_over_time((up @ 3000)[5m:1m])", Some((3_000_000 - BEFORE, 3_000_000)));
        check("rate(up[step()*2])", Some((980_000 - BEFORE, 2_000_000)));
        check("up smoothed", Some((1_000_000 - BEFORE, 2_300_000)));
        check("sum by (a) (topk(2, up)) + on () vector(time())", Some((1_000_000 - BEFORE, 2_000_000)));
        for text in ["1", "vector(time())", "up @ end()", "rate(up[1m] @ start())", "limitk(1, up)", "info(up)"] {
            check(text, None);
        }
        for text in ["rate(up[range()])", "up + scalar(vector(end()))", "up offset (1m / (step() - step()))"] {
            check(text, None);
        }
    }
}
