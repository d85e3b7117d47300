//! The `data` of an answer in JSON. That of a matrix is written as it is sent: its points take less than their text.

use crate::api::json;
use axum::body::Body;
use bytes::Bytes;
use eval::value::SeriesPoints;
use futures::stream;
use std::convert::Infallible;

/// So many bytes, or a little more, are written at once: that takes far less than a millisecond. Shorter answers are sent
/// whole, with their length.
const PIECE: usize = 64 << 10;

/// Usual bytes of a point.
const POINT: usize = 36;

/// A text; or series of a matrix, and the texts around them.
pub struct Data {
    head: String,
    series: Vec<SeriesPoints>,
    tail: String,
}

impl From<String> for Data {
    fn from(text: String) -> Data {
        Data { head: text, series: Vec::new(), tail: String::new() }
    }
}

impl Data {
    /// An object whose `result` is a matrix.
    pub fn matrix(series: Vec<SeriesPoints>) -> Data {
        Data { head: "{\"resultType\":\"matrix\",\"result\":[".into(), series, tail: "]}".into() }
    }

    /// The end of the text, to be added to.
    pub fn end(&mut self) -> &mut String {
        if self.tail.is_empty() { &mut self.head } else { &mut self.tail }
    }

    pub fn put_before(&mut self, text: &str) {
        self.head.insert_str(0, text);
    }

    pub fn into_body(self) -> Body {
        let points: usize = self.series.iter().map(|series| series.points.len()).sum();
        let usual = self.head.len() + self.tail.len() + 256 * self.series.len() + points * POINT;
        let mut pieces = Pieces::of(self, usual.min(PIECE + PIECE / 8));
        let first = pieces.next().unwrap_or_default();
        match pieces.is_done() {
            true => first.into(),
            false => Body::from_stream(stream::iter(std::iter::once(first).chain(pieces).map(Ok::<_, Infallible>))),
        }
    }
}

/// The text, piece by piece. Series are dropped once they are written.
struct Pieces {
    /// What comes next, if it is no series.
    text: String,
    series: std::vec::IntoIter<SeriesPoints>,
    /// What is being written, and how many of its samples are.
    current: Option<(SeriesPoints, usize)>,
    tail: String,
    /// The usual length of a piece.
    usual: usize,
}

impl Pieces {
    fn of(Data { head, series, tail }: Data, usual: usize) -> Pieces {
        let mut series = series.into_iter();
        let current = series.next().map(|series| (series, 0));
        Pieces { text: head, series, current, tail, usual }
    }

    fn is_done(&self) -> bool {
        self.text.is_empty() && self.current.is_none() && self.tail.is_empty()
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.is_done() {
            return None;
        }
        let mut out = std::mem::take(&mut self.text);
        out.reserve(self.usual.saturating_sub(out.len()));
        while let Some((series, at)) = &mut self.current {
            if !put(&mut out, series, at) {
                return Some(out.into());
            }
            self.current = self.series.next().map(|series| (series, 0));
            if self.current.is_some() {
                out.push(',');
            }
        }
        out.push_str(&std::mem::take(&mut self.tail));
        Some(out.into())
    }
}

/// Writes a series from its sample `at` on; false when the piece is full before it is whole.
fn put(out: &mut String, series: &SeriesPoints, at: &mut usize) -> bool {
    let floats = series.points.len();
    if *at == 0 {
        out.push_str("{\"metric\":");
        json::labels(out, &series.labels());
    }
    while *at < floats + series.histograms.len() {
        if *at > 0 && out.len() >= PIECE {
            return false;
        }
        match *at {
            0 if floats > 0 => out.push_str(",\"values\":["),
            first if first == floats => out.push_str(",\"histograms\":["),
            _ => out.push(','),
        }
        match series.points.get(*at) {
            Some((time, value)) => json::point(out, *time, *value),
            None => {
                let (time, histogram) = &series.histograms[*at - floats];
                out.push('[');
                json::seconds(out, *time);
                out.push(',');
                json::histogram(out, histogram);
                out.push(']');
            }
        }
        *at += 1;
        if *at == floats || *at == floats + series.histograms.len() {
            out.push(']');
        }
    }
    out.push('}');
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::HttpBody;
    use model::{Histogram, Labels};
    use std::sync::Arc;

    fn series(name: &str, floats: i64, histograms: i64) -> SeriesPoints {
        let histogram = Arc::new(Histogram { count: 2.0, sum: 5.5, ..Histogram::default() });
        SeriesPoints {
            labels: Some(Labels::from_pairs([("n", name)])),
            points: (0..floats).map(|at| (at * 1500, at as f64 / 8.0)).collect(),
            histograms: (0..histograms).map(|at| (at * 1000, histogram.clone())).collect(),
        }
    }

    async fn check(all: Vec<SeriesPoints>, pieces: usize) {
        let of = |series: &SeriesPoints| {
            let value = |value: f64| serde_json::json!(value.to_string());
            let seconds = |millis: i64| match millis % 1000 {
                0 => serde_json::json!(millis / 1000),
                _ => serde_json::json!(millis as f64 / 1000.0),
            };
            let floats: Vec<_> =
                series.points.iter().map(|(time, v)| serde_json::json!([seconds(*time), value(*v)])).collect();
            let histograms: Vec<_> = series
                .histograms
                .iter()
                .map(|(time, h)| serde_json::json!([seconds(*time), {"count": value(h.count), "sum": value(h.sum)}]))
                .collect();
            let mut object = serde_json::json!({"metric": {"n": series.labels().value("n")}});
            for (name, list) in [("values", floats), ("histograms", histograms)] {
                if !list.is_empty() {
                    object[name] = list.into();
                }
            }
            object
        };
        let result: Vec<_> = all.iter().map(of).collect();
        let want = serde_json::json!({"resultType": "matrix", "result": result, "more": 1});
        let mut data = Data::matrix(all);
        data.end().truncate(1);
        data.end().push_str(",\"more\":1}");
        let cut = Data { head: data.head.clone(), series: data.series.clone(), tail: data.tail.clone() };
        let cut: Vec<Bytes> = Pieces::of(cut, 100).collect();
        assert_eq!(cut.len(), pieces);
        assert!(cut.iter().all(|piece| piece.len() < PIECE + 1000));
        let body = data.into_body();
        assert_eq!(body.size_hint().exact().is_some(), pieces == 1);
        let sent = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        assert_eq!(sent, cut.concat());
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&sent).expect("JSON"), want);
    }

    #[tokio::test]
    async fn a_matrix_is_written_whole_however_long_it_is() {
        check(vec![], 1).await;
        check(vec![series("a", 3, 0), series("b", 0, 2), series("c", 2, 2), series("d", 0, 0)], 1).await;
        check(vec![series("a", 11_000, 0), series("b", 5_000, 5_000), series("c", 1, 0)], 7).await;
    }

    #[tokio::test]
    async fn a_text_is_sent_as_it_is() {
        let mut data = Data::from("[1]".to_owned());
        data.put_before("{\"data\":");
        data.end().push('}');
        let sent = axum::body::to_bytes(data.into_body(), usize::MAX).await.expect("a body");
        assert_eq!(sent, "{\"data\":[1]}");
    }
}
