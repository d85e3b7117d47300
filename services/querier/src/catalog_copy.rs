//! This querier's copy of the catalog, fetched again only when a head says that there is something newer.

use crate::error::QueryError;
use catalog::Catalog;
use mesh::Directory;
use model::Reason;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout_at};
use transport::v1::{CatalogRequest, control_client::ControlClient};
use transport::{Link, link::MAX_MESSAGE};

/// How long a query waits for the control group.
const DEADLINE: Duration = Duration::from_secs(10);
/// … and for one ingester, which may lag or have stopped.
const EACH: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);

pub struct CatalogCopy {
    directory: Directory,
    copy: Mutex<Arc<Catalog>>,
    /// Held by the one who fetches.
    fetching: AsyncMutex<()>,
}

impl CatalogCopy {
    pub fn new(directory: Directory) -> CatalogCopy {
        CatalogCopy { directory, copy: Mutex::default(), fetching: AsyncMutex::default() }
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

    /// From any ingester: one that does not answer costs a second try at another.
    async fn fetch(&self, at_least: u64) -> Result<Arc<Catalog>, QueryError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let fetched = match self.directory.any() {
                Some(link) => self.fetch_from(link, at_least, deadline.min(Instant::now() + EACH)).await,
                None => Err(QueryError::new(Reason::Unavailable, "no ingester is known")),
            };
            match fetched {
                Err(error) if error.reason == Reason::Unavailable && Instant::now() + PAUSE < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn fetch_from(&self, link: Link, at_least: u64, deadline: Instant) -> Result<Arc<Catalog>, QueryError> {
        let known = self.copy().version();
        let mut client = ControlClient::new(link).max_decoding_message_size(MAX_MESSAGE);
        let request = client.catalog(CatalogRequest { at_least, known });
        let reply = timeout_at(deadline, request).await.map_err(|_| {
            let text = format!("the control group did not give version {at_least} of the catalog in time");
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
