//! The one place that maps reasons to gRPC codes and HTTP statuses, and back.

use model::Reason;
use tonic::{Code, Status};

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
    Status::new(code, text)
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
}
