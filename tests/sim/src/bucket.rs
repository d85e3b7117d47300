//! The object store: a folder, with the faults that stores have.

use crate::chance::Chance;
use crate::trace::Trace;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::sleep;

/// Longer than anybody waits.
const HANG: Duration = Duration::from_secs(120);
pub const TIMEOUT: Duration = Duration::from_secs(5);

pub struct Bucket {
    chance: Chance,
    trace: Trace,
    /// What asynchronous requests see.
    inner: InMemory,
    /// The same as files, which readers of segments open without a detour.
    folder: PathBuf,
    /// It fails every now and then.
    pub shaky: AtomicBool,
    /// It does not answer at all.
    pub away: AtomicBool,
}

impl Bucket {
    pub fn new(folder: PathBuf, chance: Chance, trace: Trace) -> Arc<Bucket> {
        let (shaky, away) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Bucket { chance, trace, inner: InMemory::new(), folder, shaky, away })
    }

    pub fn store(self: &Arc<Bucket>) -> objects::Store {
        objects::Store::of(self.clone(), Some(self.folder.clone()), TIMEOUT)
    }

    async fn answers(&self) -> Result<()> {
        sleep(self.chance.pause(1..20)).await;
        if self.away.load(Relaxed) {
            self.trace.count("store away", 0);
            sleep(HANG).await;
        }
        if self.shaky.load(Relaxed) && self.chance.happens(150) {
            self.trace.count("store 503", 0);
            return Err(unavailable());
        }
        Ok(())
    }

    /// Of a write that was done.
    async fn says_so(&self) -> Result<()> {
        if self.shaky.load(Relaxed) && self.chance.happens(100) {
            self.trace.count("store silent after success", 0);
            sleep(HANG).await;
        }
        Ok(())
    }
}

fn unavailable() -> Error {
    Error::Generic { store: "bucket", source: "503 Service Unavailable".into() }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a simulated bucket")
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.answers().await?;
        let bytes: Vec<u8> = payload.iter().flat_map(|part| part.iter().copied()).collect();
        let path = self.folder.join(at.as_ref());
        let folder = path.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, &bytes))
            .map_err(|error| Error::Generic { store: "bucket", source: error.into() })?;
        let done = self.inner.put_opts(at, payload, options).await?;
        self.trace.count("objects written", bytes.len() as u64);
        self.says_so().await?;
        Ok(done)
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unavailable())
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.answers().await?;
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
