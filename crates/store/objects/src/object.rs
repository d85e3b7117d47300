//! Reads byte ranges of one object from threads that may block.

use crate::error::Error;
use crate::store::Store;
use bytes::Bytes;
use std::{fs::File, ops::Range, os::unix::fs::FileExt, path::PathBuf, sync::OnceLock};
use tokio::runtime::Handle;

/// One object. A local one is opened at the first read and stays readable after it was deleted.
#[derive(Debug)]
pub struct Object {
    store: Store,
    name: String,
    path: Option<PathBuf>,
    file: OnceLock<File>,
    runtime: Handle,
}

impl Object {
    pub(crate) fn new(store: Store, name: &str, path: Option<PathBuf>) -> Object {
        Object { store, name: name.to_owned(), path, file: OnceLock::new(), runtime: Handle::current() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a file of this machine.
    pub fn is_local(&self) -> bool {
        self.path.is_some()
    }

    /// Reads a range. Blocks: never call it on an async thread.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        match &self.path {
            None => self.runtime.block_on(self.store.range(&self.name, range)),
            Some(path) => self.read_file(path, range),
        }
    }

    /// The object's size in bytes. Blocks.
    pub fn size(&self) -> Result<u64, Error> {
        match &self.path {
            None => self.runtime.block_on(self.store.size(&self.name)),
            Some(path) => Ok(self.open(path)?.metadata().map_err(|e| self.failed("head", &e))?.len()),
        }
    }

    fn read_file(&self, path: &PathBuf, range: Range<u64>) -> Result<Bytes, Error> {
        let mut data = vec![0; range.end.saturating_sub(range.start) as usize];
        self.open(path)?.read_exact_at(&mut data, range.start).map_err(|e| self.failed("read", &e))?;
        Ok(data.into())
    }

    fn open(&self, path: &PathBuf) -> Result<&File, Error> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = File::open(path).map_err(|e| self.failed("open", &e))?;
        Ok(self.file.get_or_init(|| file))
    }

    fn failed(&self, operation: &'static str, error: &std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound { name: self.name.clone() },
            _ => Error::Failed { operation, name: self.name.clone(), why: error.to_string() },
        }
    }
}
