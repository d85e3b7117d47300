//! What steers a querier.

use model::ByteSize;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes of indexes (label sets, and where rows are) of opened segments and blocks that are kept for the next query.
    pub indexes: ByteSize,
    /// Bytes of segments and blocks that are kept in memory, unless they are files of this machine. The queriers of a
    /// cluster divide them among themselves.
    pub cache: ByteSize,
    /// Bytes of answers of range queries in PromQL that are kept in memory, for days that are over: 0 keeps none. What is
    /// used least goes first.
    pub results: ByteSize,
    /// How old the copy of the catalog may be before a query asks whether there is a newer one. Together with the
    /// longest query it must be shorter than `compactor.grace`, after which objects that were replaced are deleted.
    #[serde(with = "settings::duration")]
    pub catalog_age: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            indexes: ByteSize::mib(256),
            cache: ByteSize::mib(256),
            results: ByteSize::mib(128),
            catalog_age: Duration::from_secs(60),
        }
    }
}
