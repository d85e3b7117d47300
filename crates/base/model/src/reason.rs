//! The small closed set of reasons for which a request can fail; every crate's errors map into it.

/// Why a request failed, as far as a client can act on it. One place (`transport::status`) maps it to HTTP and gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request is wrong and will stay wrong: agents must not retry it. HTTP 400.
    BadInput,
    /// No, or a wrong, credential. HTTP 401.
    Unauthenticated,
    /// The credential may not do this. HTTP 403.
    Forbidden,
    /// There is no such thing. HTTP 404.
    NotFound,
    /// The body or message is larger than a limit. HTTP 413.
    TooLarge,
    /// The content type or encoding is not one that is read here. HTTP 415.
    UnsupportedMedia,
    /// Understood, but it can't be done as asked. HTTP 422.
    Unprocessable,
    /// The tenant went over one of its limits; later it may work. HTTP 429.
    OverLimit,
    /// The service can't do it now (starting, draining, full, no leader); later it may work. HTTP 503.
    Unavailable,
    /// The deadline passed. HTTP 504.
    Timeout,
    /// A defect of Ouro. HTTP 500.
    Internal,
}
