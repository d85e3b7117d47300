//! The part of the control group that rulers ask for: their leases and notes.

use super::{Control, state};
use crate::error::Error;
use crate::ingester::Ingester;
use bytes::Bytes;
use tonic::{Request, Response, Status};
use transport::v1::rules_server::Rules;
use transport::v1::{CommitReply, CommitRequest};

impl Control {
    /// Commits a command of the leases; `forward` lets a node that does not lead pass it on.
    async fn commit_leases(&self, command: Bytes, forward: bool) -> Result<Bytes, Error> {
        match self.commit(state::for_leases(&command)).await {
            Err(Error::Control(consensus::Error::NotLeader { leader: Some(leader), .. })) if forward => {
                self.shared.peers.commit(leader.0, command).await
            }
            done => Ok(done?.reply),
        }
    }
}

#[tonic::async_trait]
impl Rules for Ingester {
    async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<CommitReply>, Status> {
        let CommitRequest { command, forwarded } = request.into_inner();
        let reply = self.control().commit_leases(command, !forwarded).await.map_err(|e| e.status())?;
        Ok(Response::new(CommitReply { reply }))
    }
}
