//! `X-Read-Consistency`, by which Mimir's clients say whether they must see what was just written. Here every read does.

use crate::api::prometheus_json;
use crate::error::QueryError;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

const HEADER: HeaderName = HeaderName::from_static("x-read-consistency");

/// Refuses a consistency that nobody knows, and says which one the answer has to those who ask.
pub async fn answer(request: Request, next: Next) -> Response {
    let asked = request.headers().get(HEADER).map(|value| value.to_str().unwrap_or("?").to_owned());
    match asked.as_deref() {
        None => return next.run(request).await,
        Some("strong" | "eventual") => {}
        Some(other) => {
            let text = format!("X-Read-Consistency: {other:?} is not strong or eventual");
            return prometheus_json::failure(&QueryError::bad(text));
        }
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(HEADER, HeaderValue::from_static("strong"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use tower::ServiceExt;

    #[tokio::test]
    async fn reads_are_strong_whatever_is_asked_for() {
        for (asked, status, answered) in [
            (None, 200, None),
            (Some("strong"), 200, Some("strong")),
            (Some("eventual"), 200, Some("strong")),
            (Some("linear"), 400, None),
        ] {
            let routes: Router = Router::new().route("/", get(async || "")).layer(from_fn(answer));
            let mut request = Request::new(Body::empty());
            asked
                .into_iter()
                .for_each(|value| drop(request.headers_mut().insert(HEADER, HeaderValue::from_static(value))));
            let response = routes.oneshot(request).await.expect("an answer");
            let header = response.headers().get(HEADER).map(|value| value.to_str().expect("text"));
            assert_eq!((response.status().as_u16(), header), (status, answered), "{asked:?}");
        }
    }
}
