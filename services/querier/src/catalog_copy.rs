//! This querier's copy of the catalog, fetched again when a head says that there is something newer, and when it has not
//! been looked at for a while: objects that the compactor has replaced are deleted in the end.

use crate::error::QueryError;
use catalog::Catalog;
use futures::future::select_ok;
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
/// After these another ingester is asked as well, and the first answer is taken.
const ALSO: [Duration; 3] = [Duration::ZERO, Duration::from_millis(400), Duration::from_millis(1200)];

pub struct CatalogCopy {
    directory: Directory,
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
    pub fn new(directory: Directory, age: Duration) -> CatalogCopy {
        CatalogCopy { directory, copy: Mutex::default(), age, fetching: AsyncMutex::default() }
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

    /// As the control group has it now, or had a moment ago.
    pub async fn newest(&self) -> Result<Arc<Catalog>, QueryError> {
        let _fetching = self.fetching.lock().await;
        self.fetch(0).await
    }

    /// As it was when it was fetched last.
    pub fn known(&self) -> Arc<Catalog> {
        self.copy().catalog
    }

    /// From any ingester: one that does not answer costs a moment.
    async fn fetch(&self, at_least: u64) -> Result<Arc<Catalog>, QueryError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let tries = ALSO.map(|wait| Box::pin(self.fetch_after(wait, at_least, deadline)));
            match select_ok(tries).await.map(|(catalog, _)| catalog) {
                Err(error) if error.reason == Reason::Unavailable && Instant::now() + PAUSE < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn fetch_after(&self, wait: Duration, at_least: u64, by: Instant) -> Result<Arc<Catalog>, QueryError> {
        tokio::time::sleep(wait).await;
        match self.directory.any() {
            Some(link) => self.fetch_from(link, at_least, by.min(Instant::now() + EACH)).await,
            None => Err(QueryError::new(Reason::Unavailable, "no ingester is known")),
        }
    }

    async fn fetch_from(&self, link: Link, at_least: u64, deadline: Instant) -> Result<Arc<Catalog>, QueryError> {
        let copy = self.copy();
        let known = copy.asked.map_or(u64::MAX, |_| copy.catalog.version()); // at first there is none
        let asked = Some(Instant::now());
        let mut client = ControlClient::new(link).max_decoding_message_size(MAX_MESSAGE);
        let request = client.catalog(CatalogRequest { at_least, known });
        let reply = timeout_at(deadline, request).await.map_err(|_| {
            let text = format!("the control group did not give version {at_least} of the catalog in time");
            QueryError::new(Reason::Unavailable, text)
        })??;
        let reply = reply.into_inner();
        // An ingester that is behind must not take it back.
        let is_older = copy.asked.is_some() && reply.version < copy.catalog.version();
        let catalog = match reply.catalog.is_empty() || is_older {
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
