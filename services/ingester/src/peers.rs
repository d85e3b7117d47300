//! The other ingesters: who they are, and the way to them.

use crate::error::Error;
use bytes::Bytes;
use mesh::Mesh;
use model::ShardId;
use std::time::Duration;
use tokio::time::timeout;
use transport::v1::{CommitRequest, ElectRequest, FlushRequest, ProposeRequest};
use transport::v1::{control_client::ControlClient, elections_client::ElectionsClient};
use transport::v1::{ingest_client::IngestClient, rules_client::RulesClient};
use transport::{Link, rows};

/// How long the leader of the control group may take to commit what another ingester passes on.
const COMMIT: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    mesh: Option<Mesh>,
}

impl Peers {
    /// There are none.
    pub fn none() -> Peers {
        Peers { mesh: None }
    }

    pub fn of(mesh: Mesh) -> Peers {
        Peers { mesh: Some(mesh) }
    }

    fn link(&self, node: u64) -> Result<Link, Error> {
        self.mesh.as_ref().and_then(|mesh| mesh.link_to(node)).ok_or(Error::NoPeer { node })
    }

    /// Has another node, which should lead the control group, commit a command of the catalog.
    pub async fn propose(&self, node: u64, command: Bytes) -> Result<Bytes, Error> {
        let mut client = ControlClient::new(self.link(node)?);
        let asked = timeout(COMMIT, client.propose(ProposeRequest { command, forwarded: true })).await;
        match asked {
            Ok(Ok(reply)) => Ok(reply.into_inner().reply),
            Ok(Err(status)) => Err(Error::Peer { node, why: status.message().to_owned() }),
            Err(_) => Err(Error::Peer { node, why: format!("it did not commit within {COMMIT:?}") }),
        }
    }

    /// Has another node, which should lead the control group, commit a command of the leases.
    pub async fn commit(&self, node: u64, command: Bytes) -> Result<Bytes, Error> {
        let mut client = RulesClient::new(self.link(node)?);
        match timeout(COMMIT, client.commit(CommitRequest { command, forwarded: true })).await {
            Ok(Ok(reply)) => Ok(reply.into_inner().reply),
            Ok(Err(status)) => Err(Error::Peer { node, why: status.message().to_owned() }),
            Err(_) => Err(Error::Peer { node, why: format!("it did not commit within {COMMIT:?}") }),
        }
    }

    /// Has another node, which should lead the control group, commit a command of the elections.
    pub async fn elect(&self, node: u64, command: Bytes) -> Result<Bytes, Error> {
        let mut client = ElectionsClient::new(self.link(node)?);
        match timeout(COMMIT, client.elect(ElectRequest { command, forwarded: true })).await {
            Ok(Ok(reply)) => Ok(reply.into_inner().reply),
            Ok(Err(status)) => Err(Error::Peer { node, why: status.message().to_owned() }),
            Err(_) => Err(Error::Peer { node, why: format!("it did not commit within {COMMIT:?}") }),
        }
    }

    /// Has the leader of a shard flush it, some time soon.
    pub async fn flush(&self, node: u64, shard: ShardId) -> Result<(), Error> {
        let request = FlushRequest { wait: false, shard: Some(rows::shard(shard)) };
        match timeout(COMMIT, IngestClient::new(self.link(node)?).flush(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(Error::Peer { node, why: status.message().to_owned() }),
            Err(_) => Err(Error::Peer { node, why: format!("it did not answer within {COMMIT:?}") }),
        }
    }
}
