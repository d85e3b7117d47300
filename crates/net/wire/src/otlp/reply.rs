//! Answers to OTLP's senders, as protobuf or JSON.

use super::Request;
use crate::protobuf::{put_bytes, put_uint};

/// `Export…ServiceResponse`: with `partial_success` if rows were refused.
pub fn success(request: Request, refused: u64, why: Option<&str>, json: bool) -> Vec<u8> {
    let Some(why) = why else { return if json { b"{}".to_vec() } else { Vec::new() } };
    if json {
        let name = match request {
            Request::Logs => "rejectedLogRecords",
            Request::Metrics => "rejectedDataPoints",
        };
        let partial = serde_json::json!({"partialSuccess": {name: refused.to_string(), "errorMessage": why}});
        return partial.to_string().into_bytes();
    }
    let (mut partial, mut out) = (Vec::new(), Vec::new());
    put_uint(&mut partial, 1, refused);
    put_bytes(&mut partial, 2, why.as_bytes());
    put_bytes(&mut out, 1, &partial);
    out
}

/// `google.rpc.Status` with a gRPC code.
pub fn status(code: u32, text: &str, json: bool) -> Vec<u8> {
    if json {
        return serde_json::json!({"code": code, "message": text}).to_string().into_bytes();
    }
    let mut out = Vec::new();
    put_uint(&mut out, 1, u64::from(code));
    put_bytes(&mut out, 2, text.as_bytes());
    out
}
