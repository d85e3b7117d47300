//! The one place that maps reasons to gRPC codes and HTTP statuses, and back.

use model::Reason;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Says that a service of ours answered, and not something on the way to it.
const ANSWERED: &str = "ouro-answered";
/// Says that another node should be asked: its id, or 0 when it is not known which.
const ELSEWHERE: &str = "ouro-elsewhere";

const CODES: [(Reason, Code, u16); 11] = [
    (Reason::BadInput, Code::InvalidArgument, 400),
    (Reason::Unauthenticated, Code::Unauthenticated, 401),
    (Reason::Forbidden, Code::PermissionDenied, 403),
    (Reason::NotFound, Code::NotFound, 404),
    (Reason::TooLarge, Code::OutOfRange, 413),
    (Reason::UnsupportedMedia, Code::Unimplemented, 415),
    (Reason::Unprocessable, Code::FailedPrecondition, 422),
    (Reason::OverLimit, Code::ResourceExhausted, 429),
    (Reason::Unavailable, Code::Unavailable, 503),
    (Reason::Timeout, Code::DeadlineExceeded, 504),
    (Reason::Internal, Code::Internal, 500),
];

/// The HTTP status of a reason.
pub fn http(reason: Reason) -> http::StatusCode {
    let status = CODES.iter().find(|(r, _, _)| *r == reason).map_or(500, |(_, _, status)| *status);
    http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
}

/// The gRPC status of a reason and its text.
pub fn grpc(reason: Reason, text: impl Into<String>) -> Status {
    let code = CODES.iter().find(|(r, _, _)| *r == reason).map_or(Code::Internal, |(_, code, _)| *code);
    let mut status = Status::new(code, text);
    status.metadata_mut().insert(ANSWERED, MetadataValue::from_static("1"));
    status
}

/// Marks an error as one of the wrong node: nothing was done, `node` should be asked.
pub fn elsewhere(mut status: Status, node: Option<u64>) -> Status {
    status.metadata_mut().insert(ELSEWHERE, MetadataValue::from(node.unwrap_or(0)));
    status
}

/// What may be done about an error of a shard's replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It is the shard's answer.
    Final,
    /// Another replica leads: this one, if it is known.
    Elsewhere(Option<u64>),
    /// The node was not reached, or went while it worked: the request may have been done or not.
    Unreached,
}

/// What an error says about where to ask next.
pub fn advice(status: &Status) -> Advice {
    if let Some(node) = status.metadata().get(ELSEWHERE) {
        let node = node.to_str().ok().and_then(|node| node.parse().ok()).filter(|node| *node != 0);
        return Advice::Elsewhere(node);
    }
    match status.metadata().contains_key(ANSWERED) {
        true => Advice::Final,
        false => Advice::Unreached,
    }
}

/// The reason of a gRPC status, also of one that no service of ours made, such as a broken connection.
pub fn reason(status: &Status) -> Reason {
    match status.code() {
        Code::Unknown | Code::Cancelled | Code::Aborted => Reason::Unavailable,
        code => CODES.iter().find(|(_, c, _)| *c == code).map_or(Reason::Internal, |(reason, _, _)| *reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_way() {
        for (reason, _, status) in CODES {
            assert_eq!(super::reason(&grpc(reason, "text")), reason);
            assert_eq!(http(reason).as_u16(), status);
        }
    }

    #[test]
    fn errors_say_where_to_ask_next() {
        let unavailable = || grpc(Reason::Unavailable, "text");
        assert_eq!(advice(&unavailable()), Advice::Final);
        assert_eq!(advice(&elsewhere(unavailable(), Some(7))), Advice::Elsewhere(Some(7)));
        assert_eq!(advice(&elsewhere(unavailable(), None)), Advice::Elsewhere(None));
        assert_eq!(advice(&Status::unavailable("connection refused")), Advice::Unreached);
    }
}
