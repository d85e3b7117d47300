//! Reads what Prometheus's requests have in common, and writes their errors.

use crate::api::data::Data;
use crate::api::params::{self, Params};
use crate::api::{json, prometheus_json};
use crate::engine::{self, Asked, Context};
use crate::error::QueryError;
use crate::querier::Querier;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use eval::value::Warnings;
use std::time::Duration;

/// What handlers are given.
pub type Request = (State<Querier>, RawQuery, HeaderMap, Bytes);

/// What came with the request, read.
pub struct Read {
    pub querier: Querier,
    pub params: Params,
    pub headers: HeaderMap,
}

pub fn read((State(querier), RawQuery(query), headers, body): Request) -> Read {
    Read { querier, params: Params::read(query.as_deref(), &headers, &body), headers }
}

impl Read {
    /// The answer may lack what cannot be read, and has a warning then, unless the client wants all or nothing.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context) -> Result<(T, Warnings), QueryError> + Send + 'static,
    ) -> Result<(T, Warnings), QueryError> {
        self.evaluate(self.params.whole()?, work).await
    }

    /// Lacks nothing: for answers that have no place for warnings.
    pub async fn run_whole<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let work = |context: &Context| Ok((work(context)?, Warnings::default()));
        self.evaluate(true, work).await.map(|(answer, _)| answer)
    }

    async fn evaluate<T: Send + 'static>(
        &self,
        whole: bool,
        work: impl FnOnce(&Context) -> Result<(T, Warnings), QueryError> + Send + 'static,
    ) -> Result<(T, Warnings), QueryError> {
        let admitted = params::tenants(&self.querier, &self.headers)?;
        let timeout = self.params.parsed("timeout", params::prometheus_duration)?;
        let timeout = timeout.map(|millis| Duration::from_millis(millis.max(0) as u64));
        let asked = Asked { whole, timeout };
        let ((answer, mut warnings), missing) = engine::run(&self.querier, admitted, asked, work).await?;
        missing.into_iter().for_each(|text| warnings.warn(text));
        Ok((answer, warnings))
    }
}

impl Read {
    /// Whether nothing may come from answers that were kept.
    pub fn refuses_kept(&self) -> bool {
        let values = self.headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("no-store"))
    }
}

pub fn respond(result: Result<(impl Into<Data>, Warnings), QueryError>) -> Response {
    match result {
        Ok((data, warnings)) => prometheus_json::success(data, &warnings),
        Err(error) => prometheus_json::failure(&error),
    }
}

pub fn parse(text: &str) -> Result<promql::Expr, QueryError> {
    promql::parse(text).map_err(|e| QueryError::bad(format!("invalid parameter \"query\": {e}")))
}

/// A `limit`; zero means none.
pub fn parse_limit(text: &str) -> Result<usize, QueryError> {
    text.parse().map_err(|_| QueryError::bad(format!("cannot parse \"{text}\" to a valid limit")))
}

/// The first texts, and a warning if there are more.
pub fn list_of<'t>(texts: impl ExactSizeIterator<Item = &'t str>, limit: Option<usize>) -> (String, Warnings) {
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let (mut out, mut warnings) = (String::new(), Warnings::default());
    let is_cut = texts.len() > limit;
    json::strings(&mut out, texts.take(limit));
    if is_cut {
        warnings.warn("results truncated due to limit".into());
    }
    (out, warnings)
}
