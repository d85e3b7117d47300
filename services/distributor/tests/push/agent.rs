//! What agents send.

use crate::shards::Shards;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use ouro_distributor::{Distributor, Settings, router};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tenancy::{LimitTable, Overrides};
use tower::ServiceExt;
use wire::loki::Builder;
use wire::protobuf::{put_bytes, put_double, put_uint, put_varint};

pub const LOKI: &str = "/loki/api/v1/push";
pub const WRITE: &str = "/api/v1/write";
pub const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const SNAPPY: (&str, &str) = ("content-encoding", "snappy");
pub const V1: (&str, &str) = ("content-type", "application/x-protobuf;proto=prometheus.WriteRequest");
pub const V2: (&str, &str) = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");

pub struct Agent {
    pub distributor: Arc<Distributor>,
    pub shards: Arc<Shards>,
    pub limits: Arc<LimitTable>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub text: String,
    pub headers: HeaderMap,
}

impl Agent {
    pub fn new() -> Agent {
        Agent::with(Settings::default(), "{}", Shards::new())
    }

    /// `overrides`: limits as JSON.
    pub fn with(settings: Settings, overrides: &str, shards: Arc<Shards>) -> Agent {
        let overrides: Overrides = serde_json::from_str(overrides).expect("limits");
        let limits = Arc::new(LimitTable::new(&overrides));
        let append = Arc::clone(&shards) as Arc<dyn ouro_distributor::Append>;
        let distributor = Distributor::new(settings, Arc::clone(&limits), append, transport::link::picked(|| None));
        Agent { distributor: Arc::new(distributor), shards, limits }
    }

    pub fn limited(limits: &str) -> Agent {
        Agent::with(Settings::default(), &format!("{{\"defaults\": {limits}}}"), Shards::new())
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).expect("a request")).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = router(Arc::clone(&self.distributor)).oneshot(request).await.expect("answers");
        let (parts, body) = response.into_parts();
        let text = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(text.to_vec()).expect("text");
        Answer { status: parts.status, text, headers: parts.headers }
    }

    pub async fn push_logs(&self, body: &[u8]) -> Answer {
        self.post(LOKI, &[PROTOBUF], wire::snappy::compress(body)).await
    }

    pub async fn write(&self, version: (&str, &str), body: &[u8]) -> Answer {
        self.post(WRITE, &[version, SNAPPY], wire::snappy::compress(body)).await
    }
}

impl Answer {
    /// Asserts the status, and that the text has all words; an error's text ends with a newline.
    #[track_caller]
    pub fn is(&self, status: u16, words: &[&str]) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        for word in words {
            assert!(self.text.contains(word), "{word:?} is not in {:?}", self.text);
        }
        if status == 204 {
            assert_eq!(self.text, "");
        } else {
            assert!(self.text.ends_with('\n') && !self.text.trim().is_empty(), "{:?}", self.text);
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Unix nanoseconds.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64
}

/// A push body of streams with lines.
pub fn logs(streams: &[(&str, &[(i64, &str)])]) -> Vec<u8> {
    let mut builder = Builder::new();
    for (labels, lines) in streams {
        builder.stream(labels);
        for (time, line) in *lines {
            builder.entry(*time, line, []);
        }
    }
    builder.finish()
}

/// The streams of a push body with their lines.
pub fn lines(body: &[u8]) -> Vec<(String, Vec<String>)> {
    wire::loki::streams(body)
        .map(|stream| {
            let stream = stream.expect("reads");
            let lines = stream.entries().map(|entry| entry.expect("reads").line.to_owned()).collect();
            (stream.labels.to_owned(), lines)
        })
        .collect()
}

/// A series: labels, and samples of (Unix milliseconds, value).
pub type Series<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

fn samples(message: &mut Vec<u8>, samples: &[(i64, f64)]) {
    for (time, value) in samples {
        let mut sample = Vec::new();
        put_double(&mut sample, 1, *value);
        put_uint(&mut sample, 2, *time as u64);
        put_bytes(message, 2, &sample);
    }
}

/// A remote write 1.0 body.
pub fn write_v1(series: &[Series<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (labels, points) in series {
        let mut message = Vec::new();
        for (name, value) in *labels {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut message, 1, &label);
        }
        samples(&mut message, points);
        put_bytes(&mut body, 1, &message);
    }
    body
}

/// A remote write 2.0 body; `histograms` are messages for the series of the same place.
pub fn write_v2(series: &[Series<'_>], histograms: &[&[u8]]) -> Vec<u8> {
    let mut symbols: Vec<&str> = vec![""];
    let mut messages = Vec::new();
    for (at, (labels, points)) in series.iter().enumerate() {
        let (mut message, mut refs) = (Vec::new(), Vec::new());
        for text in labels.iter().flat_map(|(name, value)| [*name, *value]) {
            let known = symbols.iter().position(|symbol| *symbol == text);
            let place = known.unwrap_or_else(|| {
                symbols.push(text);
                symbols.len() - 1
            });
            put_varint(&mut refs, place as u64);
        }
        put_bytes(&mut message, 1, &refs);
        samples(&mut message, points);
        if let Some(histogram) = histograms.get(at).filter(|message| !message.is_empty()) {
            put_bytes(&mut message, 3, histogram);
        }
        messages.push(message);
    }
    let mut body = Vec::new();
    symbols.iter().for_each(|symbol| put_bytes(&mut body, 4, symbol.as_bytes()));
    messages.iter().for_each(|message| put_bytes(&mut body, 5, message));
    body
}
