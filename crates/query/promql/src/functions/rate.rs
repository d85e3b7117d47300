//! rate, increase, delta, irate, idelta, resets, changes.

use crate::functions::window::{HistogramPoint, MIXED, MIXED_SCHEMAS, Point, Remarks, Window};
use eval::{binary::Outcome, histogram::Native};
use model::histogram::ResetHint;
use std::sync::Arc;

/// How a difference over a window is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Add what was there before each reset.
    pub counter: bool,
    /// Per second.
    pub per_second: bool,
    /// Samples know when their counter started.
    pub starts: bool,
}

/// What start times say about two samples in a row.
enum Started {
    /// Nothing; compare the values.
    Unknown,
    /// The counter began anew between them.
    Anew,
    /// The starts contradict the samples; compare the values.
    Overlap,
}

fn started(previous: (i64, i64), current: (i64, i64)) -> Started {
    let ((previous_time, previous_start), (time, start)) = (previous, current);
    if start == 0 || start == previous_start || start >= time {
        Started::Unknown
    } else if start >= previous_time {
        Started::Anew
    } else {
        Started::Overlap
    }
}

/// Whether the counter was reset between two samples, from their start times or else as `by_value` says.
fn was_reset(
    previous: (i64, i64),
    current: (i64, i64),
    starts: bool,
    remarks: &mut Remarks<'_>,
    by_value: impl FnOnce() -> bool,
) -> bool {
    if !starts {
        return by_value();
    }
    match started(previous, current) {
        Started::Anew => true,
        Started::Unknown => by_value(),
        Started::Overlap => {
            let text = format!(
                "sample has start time that overlaps with previous sample timestamp for metric {:?}",
                remarks.metric
            );
            remarks.warn(text);
            by_value()
        }
    }
}

/// How far the samples of a window reach, and how far beyond them they are taken to go, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    pub sampled: f64,
    pub to_start: f64,
    pub to_end: f64,
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

impl Reach {
    /// Of so many samples between two times in a window, all in milliseconds.
    pub fn of((first, last): (i64, i64), samples: usize, window: (i64, i64)) -> Reach {
        let sampled = seconds(last - first);
        let average = if samples > 1 { sampled / (samples - 1) as f64 } else { 0.0 };
        // A series that begins or ends more than about one interval inside the window began or ended there.
        let threshold = average * 1.1;
        let within = |distance: f64| if distance >= threshold { average / 2.0 } else { distance };
        Reach { sampled, to_start: within(seconds(first - window.0)), to_end: within(seconds(window.1 - last)) }
    }

    /// Counters do not go below zero, so one that began with `begin` and has grown is not taken to before that.
    pub fn from_zero(self, begin: f64, grown: f64) -> Reach {
        match grown > 0.0 && begin >= 0.0 {
            true => Reach { to_start: self.to_start.min(self.sampled * (begin / grown)), ..self },
            false => self,
        }
    }

    /// By what a difference of the samples is multiplied, to be one of the window; of a second, if its length in
    /// milliseconds is given.
    pub fn factor(self, per_second: Option<i64>) -> f64 {
        let factor = (self.sampled + self.to_start + self.to_end) / self.sampled;
        per_second.map_or(factor, |window| factor / seconds(window))
    }
}

/// The difference between the ends of a window, extrapolated to its borders as Prometheus does.
pub fn extrapolated(window: &Window<'_>, how: Difference, remarks: &mut Remarks<'_>) -> Outcome {
    if window.is_mixed() {
        remarks.warn_of(MIXED);
        return Outcome::Nothing;
    }
    let (Some((first, start, _)), Some((last, ..))) = (window.first(), window.last()) else {
        return Outcome::Nothing;
    };
    // A counter that began within the window began at zero: that counts like one more sample. No start is written as 0.
    let known = how.starts && start != 0;
    let born = how.counter && known && start > window.start && start < first;
    let samples = window.len();
    if samples < 2 && !born {
        return Outcome::Nothing;
    }
    let mut result = if window.histograms.is_empty() {
        let value = float_difference(window, how, remarks);
        Outcome::Float(if born { value + window.values[0] } else { value })
    } else {
        match histogram_difference(window.histograms, how, born, remarks) {
            Some(result) => Outcome::Histogram(Arc::new(result)),
            None => return Outcome::Nothing,
        }
    };
    let mut reach = Reach::of((first, last), samples, (window.start, window.end));
    if born {
        reach.sampled = seconds(last - start);
        reach.to_start = 0.0;
    } else if how.counter {
        let (begin, grown) = match &result {
            Outcome::Float(value) => (window.values[0], *value),
            Outcome::Histogram(histogram) => (window.histograms[0].value.count, histogram.count),
            Outcome::Nothing => (0.0, 0.0),
        };
        reach = reach.from_zero(begin, grown);
    }
    let factor = reach.factor(how.per_second.then_some(window.end - window.start));
    match &mut result {
        Outcome::Float(value) => *value *= factor,
        Outcome::Histogram(histogram) => Arc::make_mut(histogram).scale(factor),
        Outcome::Nothing => {}
    }
    result
}

fn float_difference(window: &Window<'_>, how: Difference, remarks: &mut Remarks<'_>) -> f64 {
    let values = window.values;
    let mut difference = values[values.len() - 1] - values[0];
    if !how.counter {
        return difference;
    }
    if !how.starts || window.starts.is_empty() {
        if let Some(drops) = window.drops {
            drops.iter().for_each(|before| difference += before);
            return difference;
        }
        for pair in values.windows(2) {
            if pair[1] < pair[0] {
                difference += pair[0];
            }
        }
        return difference;
    }
    for at in 1..values.len() {
        let (before, now) = ((window.times[at - 1], window.starts[at - 1]), (window.times[at], window.starts[at]));
        if was_reset(before, now, true, remarks, || values[at] < values[at - 1]) {
            difference += values[at - 1];
        }
    }
    difference
}

/// The difference of histograms; nothing when they have no common layout. `born`: the first one counts from zero.
fn histogram_difference(
    points: &[HistogramPoint],
    how: Difference,
    born: bool,
    remarks: &mut Remarks<'_>,
) -> Option<Native> {
    let (first, last) = (&points[0].value, &points[points.len() - 1].value);
    let gauge = |h: &Native| h.reset == ResetHint::Gauge;
    if how.counter && (gauge(first) || gauge(last)) {
        remarks.not_counter();
    }
    let reset = |at: usize, remarks: &mut Remarks<'_>| {
        let (before, now) = (&points[at - 1], &points[at]);
        was_reset((before.time, before.start), (now.time, now.start), how.starts, remarks, || {
            now.value.is_reset_after(&before.value)
        })
    };
    let mut start = Arc::clone(first);
    // A first sample that ends in a reset does not matter, nor does its layout.
    let first_reset = how.counter && points.len() > 1 && reset(1, remarks);
    if first_reset {
        start = Arc::new(points[1].value.empty_like());
    }
    if last.is_custom() != start.is_custom() {
        remarks.warn_of(MIXED_SCHEMAS);
        return None;
    }
    let mut schema = start.schema.min(last.schema);
    for point in points.iter().take(points.len() - 1).skip(1) {
        if !how.counter {
            continue;
        }
        if gauge(&point.value) {
            remarks.not_counter();
        }
        schema = schema.min(point.value.schema);
        if point.value.is_custom() != start.is_custom() {
            remarks.warn_of(MIXED_SCHEMAS);
            return None;
        }
    }
    let mut difference = Native::clone(last);
    difference.reduce_to(schema);
    let mut reconciled = difference.sub(&start).ok()?.reconciled;
    if born {
        // What was subtracted was counted within the window, or lost in the reset after it.
        reconciled |= difference.add(first).ok()?.reconciled;
    }
    if how.counter {
        // A reset right after the first sample was dealt with above.
        for at in 2..points.len() {
            if reset(at, remarks) {
                reconciled |= difference.add(&points[at - 1].value).ok()?.reconciled;
            }
        }
    } else if !gauge(first) || !gauge(last) {
        remarks.not_gauge();
    }
    if reconciled {
        remarks.reconciled("subtraction");
    }
    difference.reset = ResetHint::Gauge;
    Some(difference)
}

/// irate and idelta: the difference of the last two samples.
pub fn latest(window: &Window<'_>, how: Difference, remarks: &mut Remarks<'_>) -> Outcome {
    let Some([before, now]) = window.last_two() else { return Outcome::Nothing };
    let millis = now.0 - before.0;
    if millis == 0 {
        return Outcome::Nothing;
    }
    let times = ((before.0, before.1), (now.0, now.1));
    let mut result = match (before.2, now.2) {
        (Point::Float(a), Point::Float(b)) => {
            let reset = how.counter && was_reset(times.0, times.1, how.starts, remarks, || b < a);
            Outcome::Float(if reset { b } else { b - a })
        }
        (Point::Histogram(a), Point::Histogram(b)) => {
            let gauges = [a, b].map(|h| h.reset == ResetHint::Gauge);
            if how.counter && gauges.contains(&true) {
                remarks.not_counter();
            }
            if !how.counter && gauges.contains(&false) {
                remarks.not_gauge();
            }
            let mut result = Native::clone(b);
            if !(how.counter && was_reset(times.0, times.1, how.starts, remarks, || b.is_reset_after(a))) {
                match result.sub(a) {
                    Ok(bent) if bent.reconciled => remarks.reconciled("subtraction"),
                    Ok(_) => {}
                    Err(_) => {
                        remarks.warn_of(MIXED_SCHEMAS);
                        return Outcome::Nothing;
                    }
                }
            }
            result.reset = ResetHint::Gauge;
            Outcome::Histogram(Arc::new(result))
        }
        _ => {
            remarks.warn_of(MIXED);
            return Outcome::Nothing;
        }
    };
    if how.per_second {
        let seconds = millis as f64 / 1000.0;
        match &mut result {
            Outcome::Float(value) => *value /= seconds,
            Outcome::Histogram(histogram) => Arc::make_mut(histogram).divide(seconds),
            Outcome::Nothing => {}
        }
    }
    result
}

/// How often the value changed from one sample to the next.
pub fn changes(window: &Window<'_>) -> Outcome {
    if window.histograms.is_empty() && !window.is_empty() {
        let changed = |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
        return Outcome::Float(window.values.windows(2).filter(changed).count() as f64);
    }
    count_pairs(window, |(_, _, a), (_, _, b)| match (a, b) {
        (Point::Float(a), Point::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Point::Histogram(a), Point::Histogram(b)) => !a.same(b),
        _ => true,
    })
}

/// How often a counter was reset.
pub fn resets(window: &Window<'_>, starts: bool, remarks: &mut Remarks<'_>) -> Outcome {
    let by_value = window.histograms.is_empty() && (!starts || window.starts.is_empty());
    if let Some(drops) = window.drops.filter(|_| by_value && !window.is_empty()) {
        return Outcome::Float(drops.len() as f64);
    }
    count_pairs(window, |before, now| {
        was_reset((before.0, before.1), (now.0, now.1), starts, remarks, || match (before.2, now.2) {
            (Point::Float(a), Point::Float(b)) => b < a,
            (Point::Histogram(a), Point::Histogram(b)) => b.is_reset_after(a),
            _ => true,
        })
    })
}

type Sample<'a> = (i64, i64, Point<'a>);

fn count_pairs<'a>(window: &Window<'a>, mut test: impl FnMut(Sample<'a>, Sample<'a>) -> bool) -> Outcome {
    let mut previous = None;
    let mut count = 0.0;
    for point in window.points() {
        if let Some(previous) = previous
            && test(previous, point)
        {
            count += 1.0;
        }
        previous = Some(point);
    }
    if previous.is_none() { Outcome::Nothing } else { Outcome::Float(count) }
}
