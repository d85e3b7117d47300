//! An S3 server in memory that fails on request: slow, busy, away, cut short, or silent after it has done the work.
//!
//! It runs on a runtime of its own, so tests may pause their clock, block, or be no async code at all.
//!
//! ```
//! let s3 = ouro_tests::s3::S3::start();
//! // endpoint s3.url, bucket "ouro", key "ouro-test", secret "ouro-test-secret", any region, path style, plain HTTP
//! s3.inject(ouro_tests::s3::Rule::on("PUT", ouro_tests::s3::Fault::SlowDown).times(3));
//! ```

mod fault;
mod operations;
mod server;
mod store;

use crate::s3::fault::Faults;
use crate::s3::store::Store;
use bytes::Bytes;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::runtime::Runtime;

pub use fault::{Fault, Request, Rule};

/// The bucket that exists from the start.
pub const BUCKET: &str = "ouro";
pub const ACCESS_KEY: &str = "ouro-test";
pub const SECRET_KEY: &str = "ouro-test-secret";

/// A running server; dropping it ends it.
pub struct S3 {
    /// Without a slash at the end.
    pub url: String,
    address: SocketAddr,
    store: Arc<Store>,
    faults: Arc<Faults>,
    runtime: Option<Runtime>,
}

impl S3 {
    /// Starts a server on a free port of 127.0.0.1.
    pub fn start() -> S3 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("s3")
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let (store, faults) = (Arc::new(Store::new(BUCKET)), Arc::new(Faults::default()));
        runtime.spawn(server::serve(listener, Arc::clone(&store), Arc::clone(&faults)));
        S3 { url: format!("http://{address}"), address, store, faults, runtime: Some(runtime) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a fault. Of several rules that fit a request the first counts.
    pub fn inject(&self, rule: Rule) {
        self.faults.inject(rule);
    }

    /// Forgets all faults and comes back.
    pub fn heal(&self) {
        self.faults.heal();
    }

    /// Away, the server cuts its connections and closes every new one at once.
    pub fn set_away(&self, away: bool) {
        self.faults.set_away(away);
    }

    /// Ignores `If-Match` and `If-None-Match` on writes, as stores that lack them do.
    pub fn set_conditions(&self, honoured: bool) {
        self.store.set_conditions(honoured);
    }

    /// The most keys of one listing, 1000 as S3 has it unless set otherwise.
    pub fn set_page(&self, keys: usize) {
        self.store.set_page(keys);
    }

    /// The least bytes of a part that is not the last, 5 MiB as S3 has it unless set otherwise.
    pub fn set_least_part(&self, bytes: usize) {
        self.store.set_least_part(bytes);
    }

    /// The keys in a bucket, sorted.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.store.keys(bucket)
    }

    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.store.object(bucket, key)
    }

    /// Replaces an object behind the clients' backs, for instance by a damaged one.
    pub fn replace(&self, bucket: &str, key: &str, body: impl Into<Bytes>) {
        self.store.replace(bucket, key, body.into());
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.store.open_uploads()
    }

    /// All requests since the start or the last `take_requests`, in the order in which they came.
    pub fn take_requests(&self) -> Vec<Request> {
        self.faults.take_requests()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // In the background, since a test that drops it may be async.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
