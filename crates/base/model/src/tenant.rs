//! Who owns data. The tenant is part of every key, name and cache key.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The tenant of requests without a name while access control is off.
pub const ANONYMOUS: &str = "anonymous";

/// The longest tenant name, in bytes: the limit of Loki and Mimir, which migrations bring along.
pub const MAX_LEN: usize = 150;

/// A checked tenant name: 1 to 150 of `A-Z a-z 0-9 ! - _ . * ' ( )`, and neither `.` nor `..`.
/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    #[error("the tenant name is empty")]
    Empty,
    #[error("the tenant name has {len} bytes, the limit is {MAX_LEN}")]
    TooLong { len: usize },
    #[error("the tenant name has {character:?} at byte {at}; allowed are letters, digits and !-_.*'()")]
    Character { character: char, at: usize },
    #[error("the tenant name may not be {name:?}")]
    Reserved { name: &'static str },
}

impl TenantId {
    pub fn new(name: &str) -> Result<TenantId, TenantError> {
        if name.is_empty() {
            return Err(TenantError::Empty);
        }
        if name.len() > MAX_LEN {
            return Err(TenantError::TooLong { len: name.len() });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some((at, character)) = name.char_indices().find(|(_, c)| !allowed(*c)) {
            return Err(TenantError::Character { character, at });
        }
        for reserved in [".", ".."] {
            if name == reserved {
                return Err(TenantError::Reserved { name: reserved });
            }
        }
        Ok(TenantId(name.into()))
    }

    pub fn anonymous() -> TenantId {
        TenantId(ANONYMOUS.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantId {
    type Error = TenantError;
    fn try_from(name: String) -> Result<TenantId, TenantError> {
        TenantId::new(&name)
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> String {
        tenant.0.to_string()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "org-env", "fake", "it's_(1)*!", "..."] {
            assert_eq!(TenantId::new(good).map(|t| t.to_string()), Ok(good.to_owned()));
        }
        let long = "x".repeat(151);
        for bad in ["", ".", "..", "a/b", "a|b", "a b", "ä", "a\n", long.as_str()] {
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
        }
    }
}
