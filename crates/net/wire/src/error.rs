//! What can be wrong with bytes from outside.

use model::Reason;

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the data ends too early")]
    Truncated,
    #[error("log entry of version {version}, kind {kind} is not known")]
    Entry { version: u8, kind: u8 },
    #[error("body format {code} is not known")]
    Format { code: u8 },
    #[error("text is not valid UTF-8")]
    Utf8,
    #[error("the tenant name is not valid")]
    Tenant,
    #[error("the body has {found} bytes, its header says {stated}")]
    BodyLength { stated: usize, found: usize },
    #[error("snappy: {why}")]
    Snappy { why: String },
    #[error("gzip: {why}")]
    Gzip { why: String },
    #[error("zstd: {why}")]
    Zstd { why: String },
    #[error("the body has {len} bytes uncompressed, the limit is {limit}")]
    TooLarge { len: usize, limit: usize },
    #[error("protobuf: {why}")]
    Protobuf { why: &'static str },
    #[error("a histogram is not valid: {why}")]
    Histogram { why: &'static str },
}

impl DecodeError {
    pub fn reason(&self) -> Reason {
        match self {
            DecodeError::TooLarge { .. } => Reason::TooLarge,
            _ => Reason::BadInput,
        }
    }
}

impl From<bytes::TryGetError> for DecodeError {
    fn from(_: bytes::TryGetError) -> DecodeError {
        DecodeError::Truncated
    }
}
