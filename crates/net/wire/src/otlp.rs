//! OTLP's request bodies: logs become bodies of Loki's push, metrics bodies of remote write 2.0.
//!
//! `json` turns OTLP/JSON into protobuf, so that there is one walker for both; `value` reads attributes; `logs` and
//! `metrics` translate, with `names` for what Prometheus cannot spell and `exponential` for histograms; `reply` writes
//! answers. Field numbers are those of opentelemetry-proto 1.x.
//!
//! A translated body may be larger than the one that came (attributes of a resource are repeated at its lines), so
//! each translation takes the most bytes that it may write.

mod exponential;
mod json;
pub mod logs;
pub mod metrics;
mod names;
pub mod reply;
mod symbols;
mod value;

pub use json::{JsonError, Request, from_json};

#[cfg(test)]
mod tests;
