//! Bounds the memory of pushes on their way, in all and for each tenant.

use crate::error::PushError;
use crate::tenants::Tenant;
use model::{ByteSize, TenantId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    limit: ByteSize,
}

/// Bytes of the budget that one push holds until this is dropped.
#[derive(Debug)]
pub struct Claim {
    budget: Arc<Budget>,
    tenant: Arc<Tenant>,
    name: TenantId,
    bytes: u64,
}

impl Budget {
    pub fn new(limit: ByteSize) -> Budget {
        Budget { used: AtomicU64::new(0), limit }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Claim {
    /// Claims nothing yet.
    pub fn new(budget: Arc<Budget>, name: TenantId, tenant: Arc<Tenant>) -> Claim {
        Claim { budget, tenant, name, bytes: 0 }
    }

    /// Claims more bytes, or none. A push that is alone may go over the limit: else none of its size would ever pass.
    pub fn grow(&mut self, bytes: u64) -> Result<(), PushError> {
        let claimed = self.bytes + bytes;
        let limit = self.budget.limit;
        let tenant = self.tenant.inflight.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if tenant > limit.0 / 2 && tenant > claimed {
            self.tenant.inflight.fetch_sub(bytes, Ordering::Relaxed);
            return Err(PushError::TenantBusy { tenant: self.name.clone(), used: ByteSize(tenant), limit });
        }
        let used = self.budget.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used > limit.0 && used > claimed {
            self.tenant.inflight.fetch_sub(bytes, Ordering::Relaxed);
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(PushError::Busy { used: ByteSize(used), limit });
        }
        self.bytes = claimed;
        Ok(())
    }

    /// Claims more if `bytes` is more than what is claimed.
    pub fn grow_to(&mut self, bytes: u64) -> Result<(), PushError> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more),
            None => Ok(()),
        }
    }

    /// Gives back what is over `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        self.tenant.inflight.fetch_sub(back, Ordering::Relaxed);
        self.budget.used.fetch_sub(back, Ordering::Relaxed);
        self.bytes -= back;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenants::Tenants;

    #[test]
    fn claims_are_held_to_the_limits_and_given_back() {
        let (budget, tenants) = (Arc::new(Budget::new(ByteSize(100))), Tenants::default());
        let claim = |name: &str| {
            let name = TenantId::new(name).expect("a name");
            let tenant = tenants.of(&name, 0);
            Claim::new(Arc::clone(&budget), name, tenant)
        };
        let (mut a, mut a2, mut b, mut c) = (claim("a"), claim("a"), claim("b"), claim("c"));
        assert!(a.grow(40).is_ok());
        let error = a2.grow(11).expect_err("over half").to_string();
        assert!(
            error.contains("tenant a") && error.contains("51 B") && error.contains("distributor.inflight"),
            "{error}"
        );
        assert!(a2.grow_to(10).is_ok());
        assert!(b.grow(50).is_ok());
        let error = c.grow(1).expect_err("full").to_string();
        assert!(error.contains("101 B") && error.contains("100 B (distributor.inflight)"), "{error}");
        a.shrink_to(30);
        assert!(c.grow(10).is_ok());
        drop((a, a2, b, c));
        assert_eq!(budget.used(), 0);
        assert!(claim("a").grow(1000).is_ok(), "one that is alone may be larger");
        assert_eq!(budget.used(), 0);
    }
}
