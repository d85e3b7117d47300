//! This querier's copy of the catalog, fetched again when a head says that there is something newer, and when it has not
//! been looked at for a while: objects that the compactor has replaced are deleted in the end.

use crate::error::QueryError;
use catalog::Catalog;
use model::Reason;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use transport::v1::{CatalogRequest, control_client::ControlClient};
use transport::{Link, link::MAX_MESSAGE};

/// How long a query waits for the control group.
const DEADLINE: Duration = Duration::from_secs(10);

pub struct CatalogCopy {
    client: ControlClient<Link>,
    copy: Mutex<Copy>,
    /// How long a copy is good for.
    age: Duration,
    /// Held by the one who fetches.
    fetching: AsyncMutex<()>,
}

#[derive(Clone, Default)]
struct Copy {
    catalog: Arc<Catalog>,
    /// When the control group last said that there is none newer.
    asked: Option<Instant>,
}

impl CatalogCopy {
    pub fn new(link: Link, age: Duration) -> CatalogCopy {
        let client = ControlClient::new(link).max_decoding_message_size(MAX_MESSAGE);
        CatalogCopy { client, copy: Mutex::default(), age, fetching: AsyncMutex::default() }
    }

    /// A catalog that is at least at this version.
    pub async fn at_least(&self, version: u64) -> Result<Arc<Catalog>, QueryError> {
        if let Some(copy) = self.new_enough(version) {
            return Ok(copy);
        }
        let _fetching = self.fetching.lock().await;
        if let Some(copy) = self.new_enough(version) {
            return Ok(copy); // whoever fetched before brought it
        }
        self.fetch(version).await
    }

    async fn fetch(&self, at_least: u64) -> Result<Arc<Catalog>, QueryError> {
        let copy = self.copy();
        let known = copy.asked.map_or(u64::MAX, |_| copy.catalog.version()); // at first there is none
        let asked = Some(Instant::now());
        let mut client = self.client.clone();
        let request = client.catalog(CatalogRequest { at_least, known });
        let reply = tokio::time::timeout(DEADLINE, request).await.map_err(|_| {
            let text = format!("the control group did not give version {at_least} of the catalog within {DEADLINE:?}");
            QueryError::new(Reason::Unavailable, text)
        })??;
        let reply = reply.into_inner();
        let catalog = match reply.catalog.is_empty() {
            true => copy.catalog,
            false => {
                let catalog = Catalog::decode(&reply.catalog);
                Arc::new(catalog.map_err(|e| QueryError::new(Reason::Internal, e.to_string()))?)
            }
        };
        *self.copy.lock().unwrap_or_else(PoisonError::into_inner) = Copy { catalog: catalog.clone(), asked };
        Ok(catalog)
    }

    fn new_enough(&self, version: u64) -> Option<Arc<Catalog>> {
        let Copy { catalog, asked } = self.copy();
        let is_fresh = asked.is_some_and(|asked| asked.elapsed() < self.age);
        (is_fresh && catalog.version() >= version).then_some(catalog)
    }

    fn copy(&self) -> Copy {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
