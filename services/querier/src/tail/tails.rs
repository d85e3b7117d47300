//! How many tails each tenant has open.

use crate::error::QueryError;
use model::{Reason, TenantId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub struct Tails(Mutex<HashMap<TenantId, u32>>);

/// One of a tenant's tails, as long as this lives.
pub struct Place {
    tails: Arc<Tails>,
    tenant: TenantId,
}

impl Tails {
    pub fn take(self: &Arc<Tails>, tenant: &TenantId, limit: u32) -> Result<Place, QueryError> {
        let mut open = self.lock();
        let count = open.get(tenant).copied().unwrap_or(0);
        if count >= limit {
            let text = format!(
                "max concurrent tail requests limit exceeded, count > limit ({} > {limit}) (limits.max_tails)",
                count + 1
            );
            return Err(QueryError::new(Reason::OverLimit, text));
        }
        open.insert(tenant.clone(), count + 1);
        Ok(Place { tails: self.clone(), tenant: tenant.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.tails.lock();
        match open.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_so_many_and_gives_them_back() {
        let (tails, [a, b]) = (Arc::new(Tails::default()), ["a", "b"].map(|name| TenantId::new(name).expect("a name")));
        let held = [tails.take(&a, 2).expect("room"), tails.take(&a, 2).expect("room")];
        let error = tails.take(&a, 2).err().expect("no room");
        assert!(error.text.contains("(3 > 2)") && error.text.contains("limits.max_tails"), "{}", error.text);
        assert!(tails.take(&b, 1).is_ok());
        drop(held);
        assert!(tails.lock().is_empty());
    }
}
