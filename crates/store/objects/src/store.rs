//! Opens the store that the settings name, and reads, writes, lists and deletes whole objects.

use crate::environment;
use crate::error::Error;
use crate::object::Object;
use crate::settings::Settings;
use crate::unsent;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path, prefix::PrefixStore};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration, time::SystemTime};
use url::Url;

/// A bucket, or a folder that stands for one. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    /// Set when objects are plain files, which are then read without the detour through async.
    folder: Option<PathBuf>,
    timeout: Duration,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    pub modified: SystemTime,
}

impl Store {
    /// Opens the store; `default_folder` is used when the settings name no URL, and is created.
    pub fn open(settings: &Settings, default_folder: &std::path::Path) -> Result<Store, Error> {
        let bad = |why: String| Error::Url { url: settings.url.clone(), why };
        if settings.url.is_empty() {
            return Store::local(default_folder, settings.timeout);
        }
        let url = Url::parse(&settings.url).map_err(|e| bad(e.to_string()))?;
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| bad("not an absolute path".into()))?;
            return Store::local(&folder, settings.timeout);
        }
        // Variables that are not UTF-8 are none of a store's.
        let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let options = environment::merge(url.scheme(), variables, &settings.options);
        let (inner, prefix) = object_store::parse_url_opts(&url, options).map_err(|e| bad(e.to_string()))?;
        let inner: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(inner, prefix));
        Ok(Store { inner, folder: None, timeout: settings.timeout })
    }

    fn local(folder: &std::path::Path, timeout: Duration) -> Result<Store, Error> {
        let bad = |why: String| Error::Url { url: folder.display().to_string(), why };
        std::fs::create_dir_all(folder).map_err(|e| bad(e.to_string()))?;
        let folder = folder.canonicalize().map_err(|e| bad(e.to_string()))?;
        // A segment must be on disk before the log that it replaces is cut.
        let inner = LocalFileSystem::new_with_prefix(&folder).map_err(|e| bad(e.to_string()))?.with_fsync(true);
        Ok(Store { inner: Arc::new(inner), folder: Some(folder), timeout })
    }

    /// A store that a test made; `folder` if its objects are files there.
    #[doc(hidden)]
    pub fn of(inner: Arc<dyn ObjectStore>, folder: Option<PathBuf>, timeout: Duration) -> Store {
        Store { inner, folder, timeout }
    }

    /// What an operator would call it: a folder or the store's own name.
    pub fn describe(&self) -> String {
        match &self.folder {
            Some(folder) => folder.display().to_string(),
            None => self.inner.to_string(),
        }
    }

    /// Whether objects are files of this machine, which the kernel caches.
    pub fn is_local(&self) -> bool {
        self.folder.is_some()
    }

    /// Writes an object whole, or not at all.
    pub async fn put(&self, name: &str, data: Bytes) -> Result<(), Error> {
        let path = Path::from(name);
        self.bounded("put", name, || async { self.inner.put(&path, data.clone().into()).await.map(drop) }).await
    }

    pub async fn get(&self, name: &str) -> Result<Bytes, Error> {
        let path = Path::from(name);
        self.bounded("get", name, || async { self.inner.get(&path).await?.bytes().await }).await
    }

    /// A byte range; one that reaches past the end is an error.
    pub async fn range(&self, name: &str, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        let path = Path::from(name);
        let len = range.end.saturating_sub(range.start);
        let data = self.bounded("read", name, || self.inner.get_range(&path, range.clone())).await?;
        match data.len() as u64 == len {
            true => Ok(data),
            // Stores give what there is.
            false => {
                let why = format!("it has {} of the {len} bytes that were asked for", data.len());
                Err(Error::Failed { operation: "read", name: name.to_owned(), why })
            }
        }
    }

    pub async fn size(&self, name: &str) -> Result<u64, Error> {
        let path = Path::from(name);
        Ok(self.bounded("head", name, || self.inner.head(&path)).await?.size)
    }

    /// Deletes an object; one that is not there is no error.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let path = Path::from(name);
        match self.bounded("delete", name, || self.inner.delete(&path)).await {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// All objects whose names begin with `prefix/`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let path = Path::from(prefix);
        let listed = |meta: ObjectMeta| Listed {
            name: meta.location.to_string(),
            bytes: meta.size,
            modified: meta.last_modified.into(),
        };
        self.bounded("list", prefix, || self.inner.list(Some(&path)).map_ok(listed).try_collect()).await
    }

    /// An object to be read in ranges by threads that may block. Must be called within a tokio runtime.
    pub fn object(&self, name: &str) -> Object {
        Object::new(self.clone(), name, self.folder.as_ref().map(|folder| folder.join(name)))
    }

    /// Makes a request, again and again while none is sent, and all within the store's time. Any request may be made
    /// twice: names are never used again.
    async fn bounded<T, F: Future<Output = Result<T, object_store::Error>>>(
        &self,
        operation: &'static str,
        name: &str,
        request: impl Fn() -> F,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, unsent::repeat(self.timeout, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(object_store::Error::NotFound { .. })) => Err(Error::NotFound { name: name.to_owned() }),
            Ok(Err(error)) => Err(Error::Failed { operation, name: name.to_owned(), why: error.to_string() }),
            Err(_) => Err(Error::Timeout { operation, name: name.to_owned(), limit: self.timeout }),
        }
    }
}

/// By its name alone: the inner stores show the ids of their keys.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.describe()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_stands_for_a_bucket() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(&Settings::default(), &dir.path().join("objects")).expect("opens");
        store.put("a/b", Bytes::from_static(b"0123456789")).await.expect("written");
        assert_eq!(store.range("a/b", 2..5).await.expect("read"), "234");
        assert!(matches!(store.range("a/b", 8..12).await, Err(Error::Failed { .. })));
        assert_eq!(store.size("a/b").await.expect("known"), 10);
        let object = store.object("a/b");
        let read = tokio::task::spawn_blocking(move || object.read(8..10)).await.expect("ran").expect("read");
        assert_eq!(read, "89");
        let names: Vec<_> = store.list("a").await.expect("listed").into_iter().map(|l| l.name).collect();
        assert_eq!(names, ["a/b"]);
        store.delete("a/b").await.expect("deleted");
        store.delete("a/b").await.expect("deleted twice");
        assert!(matches!(store.get("a/b").await, Err(Error::NotFound { .. })));
    }

    #[test]
    fn bad_urls_are_named() {
        for url in ["nonsense", "ftp://x/y", "file://relative"] {
            let settings = Settings { url: url.into(), ..Settings::default() };
            let error = Store::open(&settings, std::path::Path::new("/unused")).expect_err("refused");
            assert!(error.to_string().contains(url), "{error}");
        }
    }
}
