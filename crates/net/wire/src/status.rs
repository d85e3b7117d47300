//! The one place that says how a reason is told over HTTP and gRPC.

use http::StatusCode;
use model::Reason;
use tonic::Code;

/// The HTTP status for a reason.
pub fn http(reason: Reason) -> StatusCode {
    match reason {
        Reason::BadInput => StatusCode::BAD_REQUEST,
        Reason::Unauthenticated => StatusCode::UNAUTHORIZED,
        Reason::Forbidden => StatusCode::FORBIDDEN,
        Reason::NotFound => StatusCode::NOT_FOUND,
        Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Reason::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Reason::OverLimit => StatusCode::TOO_MANY_REQUESTS,
        Reason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Reason::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The gRPC code for a reason.
pub fn grpc(reason: Reason) -> Code {
    match reason {
        Reason::BadInput => Code::InvalidArgument,
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::Forbidden => Code::PermissionDenied,
        Reason::NotFound => Code::NotFound,
        Reason::TooLarge => Code::OutOfRange,
        Reason::UnsupportedMedia => Code::Unimplemented,
        Reason::Unprocessable => Code::FailedPrecondition,
        Reason::OverLimit => Code::ResourceExhausted,
        Reason::Unavailable => Code::Unavailable,
        Reason::Timeout => Code::DeadlineExceeded,
        Reason::Internal => Code::Internal,
    }
}

/// The reason that a gRPC code tells; what only a transport says counts as unavailable, so that it is retried.
pub fn reason(code: Code) -> Reason {
    match code {
        Code::InvalidArgument => Reason::BadInput,
        Code::Unauthenticated => Reason::Unauthenticated,
        Code::PermissionDenied => Reason::Forbidden,
        Code::NotFound => Reason::NotFound,
        Code::OutOfRange => Reason::TooLarge,
        Code::Unimplemented => Reason::UnsupportedMedia,
        Code::FailedPrecondition => Reason::Unprocessable,
        Code::ResourceExhausted => Reason::OverLimit,
        Code::DeadlineExceeded => Reason::Timeout,
        Code::Internal | Code::DataLoss => Reason::Internal,
        _ => Reason::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_survive_grpc_and_have_their_own_status() {
        let reasons = [
            (Reason::BadInput, 400),
            (Reason::Unauthenticated, 401),
            (Reason::Forbidden, 403),
            (Reason::NotFound, 404),
            (Reason::TooLarge, 413),
            (Reason::UnsupportedMedia, 415),
            (Reason::Unprocessable, 422),
            (Reason::OverLimit, 429),
            (Reason::Unavailable, 503),
            (Reason::Timeout, 504),
            (Reason::Internal, 500),
        ];
        for (told, status) in reasons {
            assert_eq!(reason(grpc(told)), told);
            assert_eq!(http(told).as_u16(), status);
        }
    }
}
