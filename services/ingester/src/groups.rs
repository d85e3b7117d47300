//! Tells how this node's groups are, and changes the members of those that it leads.

use crate::ingester::Ingester;
use consensus::{Group, Node};
use model::GroupId;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use transport::status;
use transport::v1::groups_server::Groups;
use transport::v1::{Change, ChangeReply, ChangeRequest, GroupStatus, GroupsReply, GroupsRequest, MemberProgress};

/// How long a change may take to be committed.
const CHANGE: Duration = Duration::from_secs(10);

/// A group as this node sees it. `serves`: it leads, and has applied what came before.
fn describe(group: &Group, serves: bool) -> GroupStatus {
    let now = group.status();
    let progress = group.progress();
    let ids = |nodes: &[Node]| nodes.iter().map(|node| node.0).collect();
    GroupStatus {
        group: group.id().0,
        leader: now.leader.map_or(0, |node| node.0),
        term: now.term,
        voters: ids(&now.voters),
        learners: ids(&now.learners),
        first: now.first,
        last: now.last,
        committed: now.committed,
        applied: now.applied,
        serves,
        progress: progress
            .iter()
            .map(|p| MemberProgress { node: p.node.0, matched: p.matched, active: p.active })
            .collect(),
    }
}

#[tonic::async_trait]
impl Groups for Ingester {
    async fn status(&self, request: Request<GroupsRequest>) -> Result<Response<GroupsReply>, Status> {
        let only = request.into_inner().group;
        let groups = self.groups().into_iter().filter(|(group, _)| only == 0 || group.id().0 == only);
        let groups = groups.map(|(group, serves)| describe(&group, serves)).collect();
        Ok(Response::new(GroupsReply { node: self.me().0, groups }))
    }

    async fn change(&self, request: Request<ChangeRequest>) -> Result<Response<ChangeReply>, Status> {
        let request = request.into_inner();
        let group = self.group(GroupId(request.group)).map_err(|e| e.status())?;
        let node = Node(request.node);
        let changing = async {
            match request.change() {
                Change::Learn => group.add_learner(node).await,
                Change::Promote => group.promote(node).await,
                Change::Remove => group.remove(node).await,
                Change::Transfer => group.transfer(node).await,
                Change::Unspecified => Err(consensus::Error::Members {
                    group: group.id(),
                    why: "it was not said what to change".to_owned(),
                }),
            }
        };
        let late = || format!("group {} did not commit the change within {CHANGE:?}", request.group);
        match timeout(CHANGE, changing).await {
            Ok(Ok(())) => Ok(Response::new(ChangeReply {})),
            Ok(Err(error)) => Err(status::grpc(error.reason(), error.to_string())),
            Err(_) => Err(status::grpc(model::Reason::Timeout, late())),
        }
    }
}
