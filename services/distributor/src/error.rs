//! Why a push is refused, in words for whoever runs the agent.

use crate::append::AppendError;
use model::{ByteSize, Reason, Signal, TenantId};
use std::time::Duration;
use tenancy::TenancyError;
use wire::error::DecodeError;
use wire::loki::JsonError;

#[derive(Debug, Clone, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    #[error("content type {found:?} is not read here: send {expected}")]
    ContentType { found: String, expected: &'static str },
    #[error("content encoding {found:?} is not read here: send {expected}")]
    ContentEncoding { found: String, expected: &'static str },
    #[error(
        "the push of tenant {tenant} has {}{len}, its limit is {limit} (limits.{name})",
        if *exact { "" } else { "over " }
    )]
    TooLarge { tenant: TenantId, len: ByteSize, exact: bool, limit: ByteSize, name: &'static str },
    #[error("what the push of tenant {tenant} comes to has {len}, its limit is {limit} (limits.max_push_inflated)")]
    Translated { tenant: TenantId, len: ByteSize, limit: ByteSize },
    #[error("the body cannot be read: {0}")]
    Body(DecodeError),
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    OtlpJson(#[from] wire::otlp::JsonError),
    #[error("lines cannot be taken: {why}")]
    Lines { why: String },
    #[error("at least one valid stream is required for ingestion")]
    NoStreams,
    #[error(
        "tenant {tenant} sends more than its {rate} a second (limits.ingestion_rate), with {burst} at once \
         (limits.ingestion_burst): this push has {len}"
    )]
    Rate { tenant: TenantId, rate: ByteSize, burst: ByteSize, len: ByteSize, retry_after: Duration },
    #[error("pushes of tenant {tenant} on their way take {used}, half of {limit} is the most (distributor.inflight)")]
    TenantBusy { tenant: TenantId, used: ByteSize, limit: ByteSize },
    #[error("pushes on their way take {used}, the limit is {limit} (distributor.inflight)")]
    Busy { used: ByteSize, limit: ByteSize },
    #[error("the body took over {} s to arrive (distributor.read_timeout)", limit.as_secs_f64())]
    Slow { limit: Duration },
    #[error("the body ended before it was complete: {why}")]
    Incomplete { why: String },
    #[error("the names of a cluster and a replica may have {limit} bytes each (limits.ha) [replica_not_elected]")]
    ReplicaName { limit: usize },
    #[error(
        "tenant {tenant} has {clusters} clusters of replicas, its limit is {limit} (limits.ha.max_clusters) \
         [too_many_ha_clusters]"
    )]
    TooManyClusters { tenant: TenantId, clusters: u64, limit: u64 },
    #[error("which replica is stored could not be found out (limits.ha): {why}")]
    NotElected { why: String },
    #[error("no shard of {signal} is known yet: this distributor has not heard from an ingester, or none has begun")]
    NoShards { signal: Signal },
    #[error("{}", .0.text)]
    Append(AppendError),
    #[error("{0}")]
    Internal(&'static str),
}

impl PushError {
    pub fn reason(&self) -> Reason {
        match self {
            PushError::Tenancy(error) => error.reason(),
            PushError::ContentType { .. } | PushError::ContentEncoding { .. } => Reason::UnsupportedMedia,
            PushError::TooLarge { .. } | PushError::Translated { .. } => Reason::TooLarge,
            PushError::Body(error) => error.reason(),
            PushError::Json(_) | PushError::OtlpJson(_) | PushError::Incomplete { .. } => Reason::BadInput,
            PushError::Lines { .. } | PushError::ReplicaName { .. } | PushError::TooManyClusters { .. } => {
                Reason::BadInput
            }
            PushError::NotElected { .. } => Reason::Unavailable,
            PushError::NoStreams => Reason::Unprocessable,
            PushError::Rate { .. } => Reason::OverLimit,
            // Not "over limit": Prometheus drops what is answered with 429, and waits after 503.
            PushError::TenantBusy { .. } | PushError::Busy { .. } | PushError::NoShards { .. } => Reason::Unavailable,
            PushError::Slow { .. } => Reason::Timeout,
            PushError::Append(error) => error.reason,
            PushError::Internal(_) => Reason::Internal,
        }
    }

    /// When the same push may be tried again, if waiting helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            PushError::Rate { retry_after, .. } => Some(*retry_after),
            PushError::Append(error) if error.retry_after.is_some() => error.retry_after,
            _ if self.reason() == Reason::Unavailable => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
