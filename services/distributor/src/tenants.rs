//! What a distributor keeps of the tenants that push through it.

use crate::rate::Bucket;
use model::TenantId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// When there are more tenants than this, those without a push on its way are forgotten, and with them what is left of
/// their bursts.
const MOST: usize = 10_000;

#[derive(Debug)]
pub struct Tenant {
    /// Bytes of its pushes on their way.
    pub inflight: AtomicU64,
    pub bucket: Bucket,
}

#[derive(Debug, Default)]
pub struct Tenants(RwLock<HashMap<TenantId, Arc<Tenant>>>);

impl Tenants {
    /// The state of a tenant; a new one has all of its `burst`.
    pub fn of(&self, name: &TenantId, burst: u64) -> Arc<Tenant> {
        let tenants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = tenants.get(name) {
            return Arc::clone(tenant);
        }
        drop(tenants);
        let mut tenants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= MOST {
            tenants.retain(|_, tenant| tenant.inflight.load(Ordering::Relaxed) > 0);
        }
        let new = || Arc::new(Tenant { inflight: AtomicU64::new(0), bucket: Bucket::new(burst) });
        Arc::clone(tenants.entry(name.clone()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_tenants_are_forgotten_when_there_are_too_many() {
        let tenants = Tenants::default();
        let name = |n: usize| TenantId::new(&format!("t{n}")).expect("a name");
        let busy = tenants.of(&name(0), 1);
        busy.inflight.store(5, Ordering::Relaxed);
        (1..MOST + 10).for_each(|n| drop(tenants.of(&name(n), 1)));
        assert!(Arc::ptr_eq(&busy, &tenants.of(&name(0), 1)));
        assert!(tenants.0.read().expect("not poisoned").len() < 20);
    }
}
