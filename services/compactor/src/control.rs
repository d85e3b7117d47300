//! Asks the control group.

use crate::error::Error;
use catalog::{Catalog, Command, Reply};
use std::time::Duration;
use transport::v1::{CatalogRequest, ProposeRequest, control_client::ControlClient};
use transport::{Link, link::MAX_MESSAGE};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone)]
pub struct Control(ControlClient<Link>);

impl Control {
    pub fn new(link: Link) -> Control {
        Control(ControlClient::new(link).max_decoding_message_size(MAX_MESSAGE))
    }

    /// A catalog that is at least at this version.
    pub async fn catalog(&self, at_least: u64) -> Result<Catalog, Error> {
        let mut control = self.0.clone();
        let known = u64::MAX; // no version: the whole catalog is wanted
        let reply = bounded(control.catalog(CatalogRequest { at_least, known })).await?;
        Ok(Catalog::decode(&reply.into_inner().catalog)?)
    }

    pub async fn propose(&self, command: &Command) -> Result<Reply, Error> {
        let mut control = self.0.clone();
        let reply =
            bounded(control.propose(ProposeRequest { command: command.encode().into(), forwarded: false })).await?;
        Ok(Reply::decode(&reply.into_inner().reply))
    }
}

async fn bounded<T>(request: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, Error> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Timeout { limit: DEADLINE }),
    }
}
