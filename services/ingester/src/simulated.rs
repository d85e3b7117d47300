//! An ingester of a simulated cluster: the true one, but for the mesh and the log that are handed to it.

use crate::error::Error;
use crate::first;
use crate::ingester::Ingester;
use crate::join::Seat;
use crate::settings::Settings;
use consensus::{Group, Host};
use futures::future::join_all;
use mesh::Mesh;
use model::{ShardCounts, ShardId};
use node::Node;
use objects::Store;
use std::path::Path;
use std::sync::Arc;
use tenancy::LimitTable;
use tonic::service::Routes;
use transport::status::{self, Advice};

/// What it is in Raft; see `first`.
pub async fn node_id(
    folder: &Path,
    cluster: &str,
    member: &str,
    settings: &Settings,
    store: &Store,
    drawn: u64,
) -> Result<consensus::Node, Error> {
    first::node_id(folder, cluster, member, &settings.placement.control, store, || drawn).await
}

/// Begins to keep what the placement gives it. Answers with its services, which others are to be given.
pub fn join(
    (host, me): (Host, consensus::Node),
    mesh: &Mesh,
    settings: &Settings,
    shards: ShardCounts,
    store: Store,
    node: &Node,
) -> Result<(Ingester, Routes), Error> {
    let seat = Seat { host, me, mesh: mesh.clone(), settings, shards };
    Ingester::take(seat, Arc::new(LimitTable::default()), store, node)
}

/// Has all that it leads flushed. Others may lead some of it by now.
pub async fn flush(ingester: &Ingester) -> Result<(), Error> {
    let led = groups(ingester).into_iter().filter(|(_, serves)| *serves);
    let shards = led.filter_map(|(group, _)| ShardId::from_group(group.id()));
    let flushed = join_all(shards.map(|shard| ingester.flush(shard, true))).await.into_iter();
    let elsewhere = |error: &Error| matches!(status::advice(&error.status()), Advice::Elsewhere(_));
    flushed.filter(|flushed| !flushed.as_ref().is_err_and(elsewhere)).collect()
}

/// The groups that are open, and whether it leads each and has applied what came before.
pub fn groups(ingester: &Ingester) -> Vec<(Group, bool)> {
    ingester.groups()
}
