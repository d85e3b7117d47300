//! What a member of a cluster does.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The service that a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Distributor,
    Ingester,
    Querier,
    Compactor,
    Ruler,
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: write distributor, ingester, querier, compactor or ruler")]
pub struct UnknownRole(String);

impl Role {
    pub const ALL: [Role; 5] = [Role::Distributor, Role::Ingester, Role::Querier, Role::Compactor, Role::Ruler];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Distributor => "distributor",
            Role::Ingester => "ingester",
            Role::Querier => "querier",
            Role::Compactor => "compactor",
            Role::Ruler => "ruler",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_what_its_name_says() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let error = "Ingester".parse::<Role>().expect_err("no role").to_string();
        assert!(error.contains("\"Ingester\"") && error.contains("compactor"), "{error}");
    }
}
