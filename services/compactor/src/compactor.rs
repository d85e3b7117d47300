//! Looks through catalog and bucket again and again.

use crate::due::{self, Unnamed};
use crate::error::Error;
use crate::settings::Settings;
use catalog::{Catalog, Command, Reply};
use node::Stopping;
use objects::Store;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use telemetry::Exposition;
use tenancy::LimitTable;
use transport::v1::{CatalogRequest, ProposeRequest, control_client::ControlClient};
use transport::{Link, link::MAX_MESSAGE};

/// Cheap to clone.
#[derive(Clone)]
pub struct Compactor {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    control: ControlClient<Link>,
    store: Store,
    limits: Arc<LimitTable>,
    unnamed: Mutex<Unnamed>,
    expired: AtomicU64,
    swept: AtomicU64,
    swept_bytes: AtomicU64,
}

impl Compactor {
    pub fn new(settings: Settings, control: Link, store: Store, limits: Arc<LimitTable>) -> Compactor {
        let control = ControlClient::new(control).max_decoding_message_size(MAX_MESSAGE);
        let (unnamed, expired, swept, swept_bytes) = Default::default();
        Compactor { inner: Arc::new(Inner { settings, control, store, limits, unnamed, expired, swept, swept_bytes }) }
    }

    pub async fn run(self, mut stopping: Stopping) {
        loop {
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(self.inner.settings.interval) => {}
            }
            if let Err(error) = self.tidy().await {
                tracing::warn!(%error, "the bucket was not looked through; it will be tried again");
            }
        }
    }

    /// One look: expired segments leave the catalog, then objects that it does not name leave the bucket.
    pub async fn tidy(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let now = SystemTime::now();
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let names = due::expired(&self.catalog().await?, millis, |tenant| inner.limits.of(tenant).retention);
        if !names.is_empty() {
            tracing::info!(segments = names.len(), "segments have passed their retention");
            inner.expired.fetch_add(names.len() as u64, Ordering::Relaxed);
            self.propose(&Command::Remove { names }).await?;
        }
        // The listing comes first: what is added to the catalog after it is younger than the grace.
        let listed = inner.store.list("segments").await?;
        let catalog = self.catalog().await?;
        let due = self.unnamed().see(&catalog, &listed, now, inner.settings.grace);
        for object in due {
            tracing::info!(
                object = object.name,
                bytes = object.bytes,
                "swept an object that the catalog does not name"
            );
            inner.store.delete(&object.name).await?;
            inner.swept.fetch_add(1, Ordering::Relaxed);
            inner.swept_bytes.fetch_add(object.bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn unnamed(&self) -> MutexGuard<'_, Unnamed> {
        self.inner.unnamed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn catalog(&self) -> Result<Catalog, Error> {
        let mut control = self.inner.control.clone();
        let known = u64::MAX; // no version: the whole catalog is wanted
        let reply = control.catalog(CatalogRequest { at_least: 0, known }).await?.into_inner();
        Ok(Catalog::decode(&reply.catalog)?)
    }

    async fn propose(&self, command: &Command) -> Result<(), Error> {
        let mut control = self.inner.control.clone();
        let reply =
            control.propose(ProposeRequest { command: command.encode().into(), forwarded: false }).await?.into_inner();
        match Reply::decode(&reply.reply) {
            Reply::Done { .. } => Ok(()),
            other => Err(Error::Refused(format!("{other:?}"))),
        }
    }

    /// Writes this compactor's meters.
    pub fn meters(&self, out: &mut Exposition) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let inner = &self.inner;
        out.counter(
            "ouro_compactor_expired_segments_total",
            "Segments past their retention.",
            &[],
            load(&inner.expired),
        );
        out.counter("ouro_compactor_swept_objects_total", "Orphans that were deleted.", &[], load(&inner.swept));
        out.counter("ouro_compactor_swept_bytes_total", "Their bytes.", &[], load(&inner.swept_bytes));
    }
}
