//! The part of the control group that distributors ask for: which replicas are elected.

use super::{Control, state};
use crate::error::Error;
use crate::ingester::Ingester;
use bytes::Bytes;
use elections::Changes;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use transport::v1::elections_server::Elections;
use transport::v1::{ElectReply, ElectRequest, ElectedReply, ElectedRequest};

/// How long a distributor that knows everything is kept waiting.
const WAIT: Duration = Duration::from_secs(10);

impl Control {
    /// Commits a command of the elections; `forward` lets a node that does not lead pass it on.
    async fn commit_elections(&self, command: Bytes, forward: bool) -> Result<Bytes, Error> {
        match self.commit(state::for_elections(&command)).await {
            Err(Error::Control(consensus::Error::NotLeader { leader: Some(leader), .. })) if forward => {
                self.shared.peers.elect(leader.0, command).await
            }
            done => Ok(done?.reply),
        }
    }

    /// What is new once there is something, or nothing after a while. A distributor that knows more than this node
    /// waits, too.
    async fn elected(&self, known: u64) -> Changes {
        let mut versions = self.shared.elected.subscribe();
        let _ = timeout(WAIT, versions.wait_for(|now| *now > known)).await;
        let elections = self.shared.lock().state.elections.clone();
        match elections.version() >= known {
            true => elections.since(known),
            false => Changes { version: known, ..Changes::default() },
        }
    }
}

#[tonic::async_trait]
impl Elections for Ingester {
    async fn elect(&self, request: Request<ElectRequest>) -> Result<Response<ElectReply>, Status> {
        let ElectRequest { command, forwarded } = request.into_inner();
        let reply = self.control().commit_elections(command, !forwarded).await.map_err(|e| e.status())?;
        Ok(Response::new(ElectReply { reply }))
    }

    async fn elected(&self, request: Request<ElectedRequest>) -> Result<Response<ElectedReply>, Status> {
        let changes = self.control().elected(request.into_inner().known).await;
        Ok(Response::new(ElectedReply { changes: serde_json::to_vec(&changes).unwrap_or_default().into() }))
    }
}
