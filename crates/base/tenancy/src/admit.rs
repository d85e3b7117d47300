//! Admits requests for a tenant. Only this module makes an `Admitted`.

use crate::error::TenancyError;
use crate::limits::Limits;
use crate::table::LimitTable;
use model::TenantId;
use std::marker::PhantomData;
use std::sync::Arc;

/// More tenants than this in one read are refused.
const MAX_TENANTS: usize = 100;

/// May store rows.
#[derive(Debug, Clone, Copy)]
pub struct Write;

/// May read rows.
#[derive(Debug, Clone, Copy)]
pub struct Read;

/// Proof that a request may do `A` for this tenant, with the limits that held when it was admitted.
#[derive(Debug, Clone)]
pub struct Admitted<A> {
    tenant: TenantId,
    limits: Arc<Limits>,
    access: PhantomData<A>,
}

impl<A> Admitted<A> {
    fn new(tenant: TenantId, limits: &LimitTable) -> Admitted<A> {
        let limits = limits.of(&tenant);
        Admitted { tenant, limits, access: PhantomData }
    }

    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }
}

/// Admits a push for the one tenant that `org` (the value of `X-Scope-OrgID`) names; without it, for `anonymous`.
pub fn admit(limits: &LimitTable, org: Option<&[u8]>) -> Result<Admitted<Write>, TenancyError> {
    let Some(name) = text(org)? else { return Ok(Admitted::new(TenantId::anonymous(), limits)) };
    match name.split('|').count() {
        1 => Ok(Admitted::new(TenantId::new(name)?, limits)),
        count => Err(TenancyError::ManyTenants { count }),
    }
}

/// Admits a read for each tenant that `org` names, `a|b` for two; sorted, each once.
pub fn admit_reads(limits: &LimitTable, org: Option<&[u8]>) -> Result<Vec<Admitted<Read>>, TenancyError> {
    let Some(names) = text(org)? else { return Ok(vec![Admitted::new(TenantId::anonymous(), limits)]) };
    let count = names.split('|').count();
    if count > MAX_TENANTS {
        return Err(TenancyError::TooManyTenants { count, limit: MAX_TENANTS });
    }
    let mut tenants = names.split('|').map(TenantId::new).collect::<Result<Vec<TenantId>, _>>()?;
    tenants.sort();
    tenants.dedup();
    Ok(tenants.into_iter().map(|tenant| Admitted::new(tenant, limits)).collect())
}

fn text(org: Option<&[u8]>) -> Result<Option<&str>, TenancyError> {
    org.map(|org| std::str::from_utf8(org).map_err(|_| TenancyError::NotText)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_for_one_tenant() {
        let limits = LimitTable::default();
        let check = |org: Option<&[u8]>, want: Result<&str, &str>| {
            let found = admit(&limits, org).map(|a| a.tenant().to_string()).map_err(|e| e.to_string());
            match want {
                Ok(tenant) => assert_eq!(found.as_deref(), Ok(tenant)),
                Err(word) => assert!(found.as_ref().is_err_and(|e| e.contains(word)), "{found:?} without {word:?}"),
            }
        };
        check(None, Ok("anonymous"));
        check(Some(b"org-env"), Ok("org-env"));
        check(Some(b""), Err("empty"));
        check(Some(b"a|b"), Err("2 tenants"));
        check(Some(b"a/b"), Err("'/' at byte 1"));
        check(Some(b"\xff"), Err("not text"));
    }

    #[test]
    fn reads_are_for_several() {
        let limits = LimitTable::default();
        let names = |org: &[u8]| -> Result<Vec<String>, TenancyError> {
            Ok(admit_reads(&limits, Some(org))?.iter().map(|a| a.tenant().to_string()).collect())
        };
        assert_eq!(names(b"b|a|b"), Ok(vec!["a".into(), "b".into()]));
        assert!(names(b"a||b").is_err());
        assert!(names("a|".repeat(100).as_bytes()).is_err());
        assert_eq!(admit_reads(&limits, None).map(|a| a.len()), Ok(1));
    }
}
