//! What steers a distributor.

use model::ByteSize;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes of pushes on their way, compressed or not, whatever they take more; a push beyond it is answered with
    /// 503. One tenant may take half of it.
    pub inflight: ByteSize,
    /// How long the body of a push may take to arrive.
    #[serde(with = "settings::duration")]
    pub read_timeout: Duration,
    /// How long the shards may take to store a push.
    #[serde(with = "settings::duration")]
    pub append_timeout: Duration,
    /// Compressed bytes of batches that are gathered into one entry of a shard's log while others are on their way.
    pub gather: ByteSize,
    /// Entries that may be on their way to one shard at a time.
    pub appends: u32,
    /// For how many series it is remembered that their labels are good: 8 bytes each. Rounded up to a power of two.
    pub known_series: u32,
    /// Bodies from this size on are checked on a thread of their own, so that they hold up nobody.
    pub offload: ByteSize,
    /// What Fastly is answered when it asks whether it may send logs here: hex SHA-256 hashes of services' ids, or `*` for
    /// any service. Nothing: it may not.
    pub fastly_challenge: Vec<String>,
}

impl Settings {
    /// Says which key is wrong.
    pub fn check(&self) -> Result<(), String> {
        let is_hash = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match self.fastly_challenge.iter().find(|text| *text != "*" && !is_hash(text)) {
            Some(text) => Err(format!("distributor.fastly_challenge has {text:?}: write * or 64 hex digits")),
            None => Ok(()),
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            inflight: ByteSize::mib(64),
            read_timeout: Duration::from_secs(30),
            append_timeout: Duration::from_secs(15),
            gather: ByteSize(256 << 10),
            appends: 4,
            known_series: 1 << 18,
            offload: ByteSize(256 << 10),
            fastly_challenge: Vec::new(),
        }
    }
}
