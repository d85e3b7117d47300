//! Windows with extended edges: `anchored` takes the sample before the window along, `smoothed` draws lines to the
//! samples around it.

use crate::{
    ast::Edges,
    functions::{
        rate::Difference,
        window::{MIXED, MIXED_SCHEMAS, Point, Remarks, Window},
    },
};
use eval::{binary::Outcome, histogram::Native};
use model::histogram::ResetHint;
use std::sync::Arc;

/// A window that holds samples before its start, with only the last one of them, and that only if something follows.
/// Plain windows stay as they are.
pub fn anchored<'a>(window: &Window<'a>) -> Window<'a> {
    if window.times.first().is_none_or(|t| *t > window.start)
        && window.histograms.first().is_none_or(|h| h.time > window.start)
    {
        return *window;
    }
    let mut window = *window;
    window.drops = None;
    let floats = window.times.partition_point(|t| *t <= window.start);
    let histograms = window.histograms.partition_point(|h| h.time <= window.start);
    if floats == window.times.len() && histograms == window.histograms.len() {
        // Nothing within the window itself.
        (window.times, window.values, window.starts, window.histograms) = (&[], &[], &[], &[]);
        return window;
    }
    let last_float = floats.checked_sub(1).map(|at| window.times[at]);
    let last_histogram = histograms.checked_sub(1).map(|at| window.histograms[at].time);
    let keep_float = usize::from(last_float.is_some() && last_float > last_histogram);
    let keep_histogram = usize::from(last_histogram.is_some() && last_histogram > last_float);
    let floats = floats - keep_float;
    window.offset += floats;
    window.times = &window.times[floats..];
    window.values = &window.values[floats..];
    window.starts = if window.starts.is_empty() { &[] } else { &window.starts[floats..] };
    window.histograms = &window.histograms[histograms - keep_histogram..];
    window
}

/// The value of a series at `time`, on the line between the samples around it; after the last one it stays.
pub fn smoothed_value(samples: &Window<'_>, time: i64, lookback: i64) -> Outcome {
    let (mut before, mut after) = (None, None);
    for (at, _, point) in samples.points() {
        if at <= time {
            before = (at > time.saturating_sub(lookback)).then_some((at, point));
        } else {
            after = (at <= time.saturating_add(lookback)).then_some((at, point));
            break;
        }
    }
    match (before, after) {
        (None, _) => Outcome::Nothing,
        (Some((at, point)), after) => match after {
            Some(after) if at != time => between((at, point), after, time, None).unwrap_or(Outcome::Nothing),
            _ => value(point),
        },
    }
}

fn value(point: Point<'_>) -> Outcome {
    match point {
        Point::Float(value) => Outcome::Float(value),
        Point::Histogram(histogram) => Outcome::Histogram(Arc::clone(histogram)),
    }
}

/// Which side of a window a line crosses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Left,
    Right,
}

/// The point at `time` on the line between two samples. `counter`: what a reset between them means depends on the edge.
/// `None` when the samples have no common layout.
fn between(a: (i64, Point<'_>), b: (i64, Point<'_>), time: i64, counter: Option<Edge>) -> Option<Outcome> {
    let share = (time - a.0) as f64 / (b.0 - a.0) as f64;
    match (a.1, b.1) {
        (Point::Float(from), Point::Float(to)) => {
            let (from, to) = match counter {
                Some(Edge::Left) if to < from => (0.0, to),
                Some(Edge::Right) if to < from => (from, to + from),
                _ => (from, to),
            };
            Some(Outcome::Float(from + (to - from) * share))
        }
        (Point::Histogram(from), Point::Histogram(to)) => {
            let reset = to.is_reset_after(from);
            let (from, to) = match counter {
                Some(Edge::Left) if reset => (to.empty_like(), Native::clone(to)),
                Some(Edge::Right) if reset => {
                    let mut grown = Native::clone(to);
                    grown.add(from).ok()?;
                    (Native::clone(from), grown)
                }
                None if reset => (to.empty_like(), Native::clone(to)),
                _ => (Native::clone(from), Native::clone(to)),
            };
            let mut line = to;
            line.sub(&from).ok()?;
            line.scale(share);
            line.add(&from).ok()?;
            line.reset = ResetHint::Gauge;
            Some(Outcome::Histogram(Arc::new(line)))
        }
        _ => None,
    }
}

/// rate, increase and delta over a window with extended edges: from the value at its start to the value at its end.
pub fn difference(window: &Window<'_>, how: Difference, edges: Edges, remarks: &mut Remarks<'_>) -> Outcome {
    let points: Vec<(i64, i64, Point<'_>)> = window.points().collect();
    let (start, end) = (window.start, window.end);
    if points.is_empty() {
        return Outcome::Nothing;
    }
    // From the last sample at or before the start, or the first one after it …
    let first = points.partition_point(|p| p.0 <= start).saturating_sub(1);
    // … to the first sample at or after the end, or the last one before it.
    let last = match edges {
        Edges::Smoothed => points.partition_point(|p| p.0 < end).min(points.len() - 1),
        _ => points.partition_point(|p| p.0 <= end).saturating_sub(1),
    };
    if points[last].0 <= start || points[first].0 > end {
        return Outcome::Nothing;
    }
    let used = &points[first..=last];
    let histograms = used.iter().filter(|p| matches!(p.2, Point::Histogram(_))).count();
    if histograms > 0 && histograms < used.len() {
        remarks.warn_of(MIXED);
        return Outcome::Nothing;
    }
    if histograms > 0 && !uniform(used, how, remarks) {
        return Outcome::Nothing;
    }
    let counter = |edge: Edge| how.counter.then_some(edge);
    let smoothed = edges == Edges::Smoothed;
    let cuts_left = smoothed && used[0].0 < start && used.len() > 1;
    let cuts_right = smoothed && used[used.len() - 1].0 > end && used.len() > 1;
    let left = match cuts_left {
        true => between(at(used, 0), at(used, 1), start, counter(Edge::Left)),
        false => Some(value(used[0].2)),
    };
    // A reset between two samples around the whole window happened before it, as seen from both ends.
    let edge = if cuts_left && used.len() == 2 { Edge::Left } else { Edge::Right };
    let right = match cuts_right {
        true => between(at(used, used.len() - 2), at(used, used.len() - 1), end, counter(edge)),
        false => Some(value(used[used.len() - 1].2)),
    };
    let (Some(left), Some(right)) = (left, right) else {
        remarks.warn_of(MIXED_SCHEMAS);
        return Outcome::Nothing;
    };
    // The samples between the two that made the edges.
    let inside: Vec<Point<'_>> = used.iter().take(used.len() - 1).skip(1).map(|p| p.2).collect();
    let result = match (left, right) {
        (Outcome::Float(left), Outcome::Float(right)) => {
            let mut difference = right - left;
            if how.counter {
                let mut before = left;
                let floats = inside.iter().filter_map(|p| if let Point::Float(v) = p { Some(*v) } else { None });
                for value in floats.chain([right]) {
                    if value < before {
                        difference += before;
                    }
                    before = value;
                }
            }
            Some(Outcome::Float(difference))
        }
        (Outcome::Histogram(left), Outcome::Histogram(right)) => {
            histograms_between(&left, &right, &inside, cuts_left, how, remarks)
        }
        _ => None,
    };
    let seconds = (end - start) as f64 / 1000.0;
    match result {
        None => {
            remarks.warn_of(MIXED_SCHEMAS);
            Outcome::Nothing
        }
        Some(Outcome::Float(value)) if how.per_second => Outcome::Float(value / seconds),
        Some(Outcome::Histogram(mut histogram)) if how.per_second => {
            Arc::make_mut(&mut histogram).divide(seconds);
            Outcome::Histogram(histogram)
        }
        Some(outcome) => outcome,
    }
}

fn at<'a>(points: &[(i64, i64, Point<'a>)], index: usize) -> (i64, Point<'a>) {
    (points[index].0, points[index].2)
}

fn histograms_between(
    left: &Native,
    right: &Native,
    inside: &[Point<'_>],
    cuts_left: bool,
    how: Difference,
    remarks: &mut Remarks<'_>,
) -> Option<Outcome> {
    let mut difference = Native::clone(right);
    let mut reconciled = difference.sub(left).ok()?.reconciled;
    if how.counter {
        let mut before = left;
        let natives = inside.iter().filter_map(|p| if let Point::Histogram(h) = p { Some(&***h) } else { None });
        for (at, native) in natives.chain([right]).enumerate() {
            // A line to the first sample has no reset, whatever the sample itself says about the one before.
            let on_line = cuts_left && at == 0;
            if !on_line && native.is_reset_after(before) {
                reconciled |= difference.add(before).ok()?.reconciled;
            }
            before = native;
        }
    }
    if reconciled {
        remarks.reconciled("subtraction");
    }
    difference.reset = ResetHint::Gauge;
    Some(Outcome::Histogram(Arc::new(difference)))
}

/// Whether all histograms have layouts that go together. Tells about gauges among counters and the contrary.
fn uniform(points: &[(i64, i64, Point<'_>)], how: Difference, remarks: &mut Remarks<'_>) -> bool {
    let mut natives = points.iter().filter_map(|p| if let Point::Histogram(h) = p.2 { Some(h) } else { None });
    let all_gauges = natives.clone().all(|h| h.reset == ResetHint::Gauge);
    let some_gauge = natives.clone().any(|h| h.reset == ResetHint::Gauge);
    if how.counter && some_gauge {
        remarks.not_counter();
    }
    if !how.counter && !all_gauges {
        remarks.not_gauge();
    }
    let custom = natives.clone().next().is_some_and(|h| h.is_custom());
    let uniform = natives.all(|h| h.is_custom() == custom);
    if !uniform {
        remarks.warn_of(MIXED_SCHEMAS);
    }
    uniform
}
