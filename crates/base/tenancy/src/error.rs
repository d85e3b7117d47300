//! Why a request is not admitted, or limits are not taken.

use model::Reason;
use model::tenant::TenantError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenancyError {
    #[error("X-Scope-OrgID: {0}")]
    Name(#[from] TenantError),
    #[error("X-Scope-OrgID is not text")]
    NotText,
    #[error("X-Scope-OrgID names {count} tenants; a push is for one")]
    ManyTenants { count: usize },
    #[error("X-Scope-OrgID names {count} tenants, the limit is {limit}")]
    TooManyTenants { count: usize, limit: usize },
}

impl TenancyError {
    pub fn reason(&self) -> Reason {
        Reason::BadInput
    }
}
