//! This querier's copy of the catalog, fetched again only when a head says that there is something newer.

use crate::error::QueryError;
use catalog::Catalog;
use model::Reason;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;
use transport::v1::{CatalogRequest, control_client::ControlClient};
use transport::{Link, link::MAX_MESSAGE};

/// How long a query waits for the control group.
const DEADLINE: Duration = Duration::from_secs(10);

pub struct CatalogCopy {
    client: ControlClient<Link>,
    copy: Mutex<Arc<Catalog>>,
    /// Held by the one who fetches.
    fetching: AsyncMutex<()>,
}

impl CatalogCopy {
    pub fn new(link: Link) -> CatalogCopy {
        let client = ControlClient::new(link).max_decoding_message_size(MAX_MESSAGE);
        CatalogCopy { client, copy: Mutex::default(), fetching: AsyncMutex::default() }
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
        let known = self.copy().version();
        let mut client = self.client.clone();
        let request = client.catalog(CatalogRequest { at_least, known });
        let reply = tokio::time::timeout(DEADLINE, request).await.map_err(|_| {
            let text = format!("the control group did not give version {at_least} of the catalog within {DEADLINE:?}");
            QueryError::new(Reason::Unavailable, text)
        })??;
        let reply = reply.into_inner();
        if reply.catalog.is_empty() {
            return Ok(self.copy());
        }
        let catalog = Catalog::decode(&reply.catalog).map_err(|e| QueryError::new(Reason::Internal, e.to_string()))?;
        let catalog = Arc::new(catalog);
        *self.copy.lock().unwrap_or_else(PoisonError::into_inner) = catalog.clone();
        Ok(catalog)
    }

    fn new_enough(&self, version: u64) -> Option<Arc<Catalog>> {
        Some(self.copy()).filter(|copy| copy.version() >= version)
    }

    fn copy(&self) -> Arc<Catalog> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
