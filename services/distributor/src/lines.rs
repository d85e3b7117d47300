//! The route by which plain lines are pushed, as a content delivery network sends its logs, and Fastly's question whether
//! they are wanted.

use crate::api::{answer, push};
use crate::body::{Content, Encoding, encoding};
use crate::distributor::Distributor;
use crate::error::PushError;
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, Uri};
use std::collections::BTreeMap;
use std::sync::Arc;

const LABELS: &str = "x-ouro-labels";

/// What a push of lines says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// The labels of all of them, as a label text.
    pub labels: String,
    /// The field of JSON lines that has their time.
    pub time_field: Option<String>,
}

/// `POST /ingest/lines?label=NAME=VALUE&time_field=NAME`, and `GET /.well-known/fastly/logging/challenge`.
pub fn router(distributor: Arc<Distributor>) -> Router {
    Router::new()
        .route("/ingest/lines", post(push_lines))
        .route("/.well-known/fastly/logging/challenge", get(challenge))
        .with_state(distributor)
}

async fn push_lines(State(distributor): State<Arc<Distributor>>, request: Request) -> Response {
    let uri = request.uri().clone();
    let parse = |headers: &HeaderMap| Ok((Content::Lines(Arc::new(lines(&uri, headers)?)), lines_encoding(headers)?));
    let (_, pushed) = push(&distributor, request, parse).await;
    answer(&distributor, pushed, false)
}

async fn challenge(State(distributor): State<Arc<Distributor>>) -> Response {
    match distributor.settings().fastly_challenge.as_slice() {
        [] => (StatusCode::NOT_FOUND, "no service is named here (distributor.fastly_challenge)\n").into_response(),
        services => format!("{}\n", services.join("\n")).into_response(),
    }
}

/// Labels by parameters, and by a header for senders whose address is fixed.
fn lines(uri: &Uri, headers: &HeaderMap) -> Result<Lines, PushError> {
    let refuse = |why: String| PushError::Lines { why };
    let Query(parameters) =
        Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| refuse(error.to_string()))?;
    let (mut labels, mut time_field) = (BTreeMap::new(), None);
    let mut add = |pair: &str| {
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| is_name(name)) else {
            return Err(refuse(format!("{pair:?} is no label, write label=NAME=VALUE")));
        };
        match labels.insert(name.to_owned(), value.to_owned()) {
            Some(_) => Err(refuse(format!("the label {name:?} is given twice"))),
            None => Ok(()),
        }
    };
    for value in headers.get_all(LABELS) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| refuse(format!("{LABELS} is not text")))?;
        text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).try_for_each(&mut add)?;
    }
    for (name, value) in parameters {
        match name.as_str() {
            "label" => add(&value)?,
            "time_field" => time_field = Some(value),
            _ => return Err(refuse(format!("the parameter {name:?} is not known: label and time_field are"))),
        }
    }
    if labels.values().all(String::is_empty) {
        return Err(refuse(format!("lines need a label: ?label=NAME=VALUE, or the header {LABELS}: NAME=VALUE")));
    }
    let labels = wire::loki::label_text(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Ok(Lines { labels, time_field })
}

fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn lines_encoding(headers: &HeaderMap) -> Result<Encoding, PushError> {
    match encoding(headers).as_str() {
        "" | "identity" => Ok(Encoding::None),
        "gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        found => Err(PushError::ContentEncoding { found: found.into(), expected: "gzip, zstd or nothing" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(query: &str, header: Option<&str>) -> Result<Lines, String> {
        let uri: Uri = format!("/ingest/lines{query}").parse().expect("a path");
        let mut headers = HeaderMap::new();
        if let Some(labels) = header {
            headers.insert(LABELS, HeaderValue::from_bytes(labels.as_bytes()).expect("a value"));
        }
        lines(&uri, &headers).map_err(|error| error.to_string())
    }

    #[test]
    fn labels_come_by_parameters_and_header() {
        let want = |labels: &str, time_field: Option<&str>| {
            Ok(Lines { labels: labels.into(), time_field: time_field.map(str::to_owned) })
        };
        assert_eq!(read("?label=job=cdn", None), want(r#"{job="cdn"}"#, None));
        let query = "?time_field=t&label=b%3Dx%3Dy&label=a=%22%7D%26";
        assert_eq!(
            read(query, Some("job=cdn, env=prod,")),
            want(r#"{a="\"}&", b="x=y", env="prod", job="cdn"}"#, Some("t"))
        );
        assert_eq!(read("", Some("job=ä")), want(r#"{job="ä"}"#, None));
        for (query, header, word) in [
            ("", None, "need a label"),
            ("?label=a=", None, "need a label"),
            ("?label=a", None, "\"a\" is no label"),
            ("?label=a-b=c", None, "is no label"),
            ("?label=%7Ba=c", None, "is no label"),
            ("?label=1=c", None, "is no label"),
            ("?label==c", None, "is no label"),
            ("?label=a=b&label=a=c", None, "\"a\" is given twice"),
            ("?label=a=b", Some("a=c"), "\"a\" is given twice"),
            ("?label=a=b&tiem_field=t", None, "\"tiem_field\" is not known"),
            ("", Some("nothing"), "\"nothing\" is no label"),
        ] {
            let error = read(query, header).expect_err("refused");
            assert!(error.contains(word), "{query}: {word:?} is not in {error:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "[!-~&&[^#]]{0,60}", header in "\\PC{0,30}") {
            let Ok(uri) = format!("/ingest/lines?label={query}").parse::<Uri>() else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.extend(HeaderValue::from_bytes(header.as_bytes()).ok().map(|v| (Some(http::HeaderName::from_static(LABELS)), v)));
            if let Ok(lines) = lines(&uri, &headers) {
                proptest::prop_assert!(wire::loki::parse_labels(&lines.labels).is_ok_and(|labels| !labels.is_empty()));
            }
        }
    }
}
