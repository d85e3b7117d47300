//! Makes of every content one of the two bodies that shards store: Loki's push, or remote write.

use crate::body::{Content, Inflated};
use crate::checked::Refusals;
use crate::discard::Discard;
use crate::error::PushError;
use crate::lines::Lines;
use bytes::Bytes;
use std::time::{SystemTime, UNIX_EPOCH};
use tenancy::{Admitted, Write};
use wire::error::DecodeError;
use wire::lines::Mapping;
use wire::otlp::{self, Request, logs};
use wire::prometheus::Version;

/// A body as shards store it, not yet checked.
pub struct Translated {
    pub kind: Kind,
    pub body: Vec<u8>,
    /// The body as it came, if it was compressed by snappy and is what `body` is.
    pub payload: Option<Bytes>,
    /// What could not be translated.
    pub refused: Refusals,
    /// Whether `body` was written here.
    pub is_new: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Loki,
    /// A translation that came out empty: there is nothing to store, and nothing wrong.
    NoLines,
    RemoteWrite(Version),
}

pub fn translate(content: Content, inflated: Inflated, admitted: &Admitted<Write>) -> Result<Translated, PushError> {
    let Inflated { body, payload } = inflated;
    let new = |kind, body| Translated { kind, body, payload: None, refused: Refusals::default(), is_new: true };
    Ok(match content {
        Content::LokiProtobuf => match look_into(&body, admitted)? {
            Some(body) => new(Kind::Loki, body),
            None => Translated { payload, is_new: false, ..new(Kind::Loki, body) },
        },
        Content::LokiJson => {
            let body = wire::loki::from_json(&body)?;
            let found = look_into(&body, admitted)?;
            new(Kind::Loki, found.unwrap_or(body))
        }
        Content::RemoteWrite(version) => Translated { payload, is_new: false, ..new(Kind::RemoteWrite(version), body) },
        Content::Lines(lines) => of_lines(&lines, &body, admitted)?,
        Content::Otlp { what, json: true } => of_otlp(what, &otlp::from_json(&body, what)?, admitted)?,
        Content::Otlp { what, json: false } | Content::OtlpGrpc { what } => of_otlp(what, &body, admitted)?,
    })
}

fn of_otlp(what: Request, body: &[u8], admitted: &Admitted<Write>) -> Result<Translated, PushError> {
    let limits = admitted.limits();
    let limit = limits.max_push_inflated.as_usize();
    let mut refused = Refusals::default();
    let (kind, body) = match what {
        Request::Logs => {
            let mapping = logs::Mapping { otlp: &limits.otlp, discover: &limits.discover, now: now(), limit };
            let body = logs::translate(body, mapping).map_err(|error| too_large(error, admitted))?;
            (if body.is_empty() { Kind::NoLines } else { Kind::Loki }, body)
        }
        Request::Metrics => {
            let translated = otlp::metrics::translate(body, &limits.otlp, limit);
            let translated = translated.map_err(|error| too_large(error, admitted))?;
            if let Some(why) = translated.why {
                refused.add(Discard::NotTranslated, translated.refused, || why);
            }
            (Kind::RemoteWrite(Version::V2), translated.body)
        }
    };
    Ok(Translated { kind, body, payload: None, refused, is_new: true })
}

fn of_lines(lines: &Lines, body: &[u8], admitted: &Admitted<Write>) -> Result<Translated, PushError> {
    let limits = admitted.limits();
    let time_field = lines.time_field.as_deref();
    let limit = limits.max_push_inflated.as_usize();
    let mapping = Mapping { labels: &lines.labels, time_field, now: now(), limit };
    let body = wire::lines::translate(body, mapping).map_err(|error| too_large(error, admitted))?;
    let kind = if body.is_empty() { Kind::NoLines } else { Kind::Loki };
    let body = match unwrap_cri(&body, admitted)? {
        Some(unwrapped) => discover(&unwrapped, admitted)?,
        None => discover(&body, admitted)?,
    };
    Ok(Translated { kind, body, payload: None, refused: Refusals::default(), is_new: true })
}

/// Unix nanoseconds.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// A push of Loki's API with what the tenant wants to be found out about its lines when they come; `None` if that is nothing.
fn look_into(body: &[u8], admitted: &Admitted<Write>) -> Result<Option<Vec<u8>>, PushError> {
    let unwrapped = unwrap_cri(body, admitted)?;
    match admitted.limits().discover.pushes {
        true => discover(unwrapped.as_deref().unwrap_or(body), admitted).map(Some),
        false => Ok(unwrapped),
    }
}

/// Takes lines of container runtimes apart, if the tenant wants that; `None` if there are none.
fn unwrap_cri(body: &[u8], admitted: &Admitted<Write>) -> Result<Option<Vec<u8>>, PushError> {
    let limits = admitted.limits();
    match limits.discover.cri {
        true => of_text(body, admitted, |body| wire::loki::unwrap_cri(body, limits)),
        false => Ok(None),
    }
}

/// Adds what is found out about the lines of a push.
fn discover(body: &[u8], admitted: &Admitted<Write>) -> Result<Vec<u8>, PushError> {
    let limits = admitted.limits();
    let limit = limits.max_push_inflated.as_usize();
    of_text(body, admitted, |body| wire::loki::discover(body, &limits.discover, limit))
}

/// What is made of a body, or of its text as far as it is one.
fn of_text<T>(
    body: &[u8],
    admitted: &Admitted<Write>,
    make: impl Fn(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, PushError> {
    let made = match make(body) {
        Err(DecodeError::Utf8) => make(&wire::loki::sanitize(body).map_err(PushError::Body)?),
        made => made,
    };
    made.map_err(|error| too_large(error, admitted))
}

/// The error of a body that became too large, or another one.
pub fn too_large(error: DecodeError, admitted: &Admitted<Write>) -> PushError {
    match error {
        DecodeError::TooLarge { len, limit } => PushError::Translated {
            tenant: admitted.tenant().clone(),
            len: model::ByteSize(len as u64),
            limit: model::ByteSize(limit as u64),
        },
        error => PushError::Body(error),
    }
}
