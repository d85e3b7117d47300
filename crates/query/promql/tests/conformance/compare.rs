//! Compares an answer with what a case expects.

use crate::memory::{float, histogram, labels};
use eval::{
    histogram::Native,
    value::{Answer, SampleValue, SeriesPoints, Value},
};
use model::{Histogram, Labels};
use regex::Regex;
use serde_json::Value as Json;
use std::collections::BTreeMap;

const EPSILON: f64 = 0.000_001;

fn almost(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    if !a.is_finite() || !b.is_finite() {
        return false;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn same_histogram(want: &Json, got: &Histogram) -> Result<(), String> {
    let want = Native::from_model(&histogram(want));
    let got = Native::from_model(got);
    if !almost(want.count, got.count) {
        return Err(format!("count {} != {}", got.count, want.count));
    }
    if !almost(want.sum, got.sum) {
        return Err(format!("sum {} != {}", got.sum, want.sum));
    }
    let buckets = |h: &Native| -> Vec<_> { h.buckets().into_iter().filter(|b| b.count != 0.0).collect() };
    let (want, got) = (buckets(&want), buckets(&got));
    let same = want.len() == got.len()
        && want
            .iter()
            .zip(&got)
            .all(|(a, b)| almost(a.lower, b.lower) && almost(a.upper, b.upper) && almost(a.count, b.count));
    if same { Ok(()) } else { Err(format!("buckets {got:?} != {want:?}")) }
}

fn same_value(want: &Json, got: &SampleValue) -> Result<(), String> {
    match (want.is_object(), got) {
        (true, SampleValue::Histogram(got)) => same_histogram(want, got),
        (false, SampleValue::Float(got)) if want == "stale" && got.is_nan() => Ok(()),
        (false, SampleValue::Float(got)) if almost(float(want), *got) => Ok(()),
        (_, SampleValue::Float(got)) => Err(format!("{got} != {want}")),
        (false, SampleValue::Histogram(_)) => Err(format!("a histogram != {want}")),
    }
}

fn meets(want: &Json, text: &str) -> bool {
    if want["any"] == true {
        return true;
    }
    match want["msg"].as_str() {
        Some(message) => message == text,
        None => Regex::new(want["regex"].as_str().expect("a regex")).expect("a good regex").is_match(text),
    }
}

fn annotations(want: &Json, got: &[String], none: bool, what: &str) -> Result<(), String> {
    if none && !got.is_empty() {
        return Err(format!("unexpected {what} {got:?}"));
    }
    let want = want.as_array().expect("a list");
    if want.is_empty() {
        return Ok(());
    }
    if let Some(missing) = want.iter().find(|w| !got.iter().any(|g| meets(w, g))) {
        return Err(format!("expected {what} {missing} not in {got:?}"));
    }
    if want.iter().all(|w| w["legacy"] == true) {
        return Ok(());
    }
    match got.iter().find(|g| !want.iter().any(|w| meets(w, g))) {
        Some(text) => Err(format!("unexpected {what} {text:?}")),
        None => Ok(()),
    }
}

/// `pick`: of a matrix only this time is compared, as if it were an instant vector, and no warnings are.
pub fn check(expect: &Json, answer: Result<Answer, String>, pick: Option<i64>) -> Result<(), String> {
    if expect["fail"].is_object() {
        return match answer {
            Ok(_) => Err("expected a failure".into()),
            Err(text) if meets(&expect["fail"], &text) => Ok(()),
            Err(text) => Err(format!("failed with {text:?}, expected {}", expect["fail"])),
        };
    }
    let mut answer = answer.map_err(|text| format!("failed: {text}"))?;
    if let Some(time) = pick {
        return picked(expect, &mut answer.value, time);
    }
    annotations(&expect["warn"], &answer.warnings.warnings, expect["no_warn"] == true, "warning")?;
    annotations(&expect["info"], &answer.warnings.infos, expect["no_info"] == true, "info")?;
    let kind = expect["type"].as_str().expect("a type");
    match (kind, &answer.value) {
        ("string", Value::String { text, .. }) if expect["string"] == text.as_str() => Ok(()),
        ("scalar", Value::Scalar(points)) if almost(float(&expect["scalar"]), points[0].1) => Ok(()),
        ("scalar", got) => Err(format!("{got:?} != scalar {}", expect["scalar"])),
        (_, Value::Vector(samples)) if kind != "matrix" => {
            let got = samples.iter().map(|s| (s.labels.clone(), vec![(s.time_ms, s.value.clone())])).collect();
            series(expect, got, false)
        }
        (_, Value::Matrix(list)) if kind != "vector" => series(expect, list.iter().map(points).collect(), true),
        (_, got) => Err(format!("expected {kind}, got {got:?}")),
    }
}

fn picked(expect: &Json, value: &mut Value, time: i64) -> Result<(), String> {
    let Value::Matrix(list) = value else { return Err(format!("a matrix, got {value:?}")) };
    for series in list.iter_mut() {
        series.points.retain(|p| p.0 == time);
        series.histograms.retain(|p| p.0 == time);
    }
    list.retain(|series| series.points.len() + series.histograms.len() > 0);
    if expect["type"] == "scalar" {
        let got = list.first().and_then(|s| s.points.first()).ok_or("no point")?.1;
        return if almost(float(&expect["scalar"]), got) {
            Ok(())
        } else {
            Err(format!("{got} != {}", expect["scalar"]))
        };
    }
    series(expect, list.iter().map(points).collect(), false)
}

type Points = Vec<(i64, SampleValue)>;

fn points(series: &SeriesPoints) -> (Labels, Points) {
    let floats = series.points.iter().map(|(t, v)| (*t, SampleValue::Float(*v)));
    let histograms = series.histograms.iter().map(|(t, h)| (*t, SampleValue::Histogram(h.clone())));
    (series.labels(), floats.chain(histograms).collect())
}

fn series(expect: &Json, got: Vec<(Labels, Points)>, times: bool) -> Result<(), String> {
    let mut want: BTreeMap<Labels, &Json> =
        expect["series"].as_array().expect("series").iter().map(|s| (labels(&s["labels"]), s)).collect();
    for (at, (labels, points)) in got.iter().enumerate() {
        let Some(expected) = want.remove(labels) else {
            return Err(format!("unexpected series {labels} = {points:?}"));
        };
        if expect["ordered"] == true && expected["pos"].as_u64() != Some(at as u64 + 1) {
            return Err(format!("order: {labels} at {}", at + 1));
        }
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        for point in expected["points"].as_array().expect("points") {
            if point[1].is_object() { histograms.push(point) } else { floats.push(point) }
        }
        floats.extend(histograms);
        if floats.len() != points.len() {
            return Err(format!("{labels}: {} points, expected {}: {points:?}", points.len(), floats.len()));
        }
        for (want, (time, value)) in floats.iter().zip(points) {
            if times && want[0].as_i64() != Some(*time) {
                return Err(format!("{labels}: time {time} != {}", want[0]));
            }
            same_value(&want[1], value).map_err(|why| format!("{labels} @{time}: {why}"))?;
        }
    }
    match want.keys().next() {
        Some(missing) => Err(format!("missing series {missing}")),
        None => Ok(()),
    }
}
