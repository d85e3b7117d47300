//! An ingester among others: it joins the cluster, keeps what the placement gives it, and hands over before it goes.

use crate::carrier::{self, Carrier};
use crate::control::Control;
use crate::error::Error;
use crate::first;
use crate::ingester::{Ingester, Opened};
use crate::peers::Peers;
use crate::settings::Settings;
use crate::steer::Steer;
use axum::Router;
use consensus::{Group, Host};
use mesh::Mesh;
use model::{Role, ShardCounts};
use node::Node;
use objects::Store;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tenancy::LimitTable;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::service::Routes;
use transport::link::MAX_MESSAGE;
use transport::v1::control_server::ControlServer;
use transport::v1::elections_server::ElectionsServer;
use transport::v1::groups_server::GroupsServer;
use transport::v1::ingest_server::IngestServer;
use transport::v1::raft_server::RaftServer;
use transport::v1::read_server::ReadServer;
use transport::v1::rules_server::RulesServer;

/// How long a node that goes may take to hand its leads over.
const DRAIN: Duration = Duration::from_secs(15);
/// How often it looks whether it still leads.
const LOOK: Duration = Duration::from_millis(100);
/// So long it serves on after it leads nothing: requests that were sent to it find out where to go.
const LINGER: Duration = Duration::from_millis(500);

/// What an ingester of a cluster is given.
pub struct Place<'a> {
    pub data: &'a Path,
    pub settings: &'a Settings,
    /// There are at least so many.
    pub shards: ShardCounts,
    pub cluster: &'a cluster::Settings,
    pub tls: &'a identity::Settings,
}

/// What an ingester has when its log is open and it is about to join.
pub(crate) struct Seat<'a> {
    pub host: Host,
    pub me: consensus::Node,
    pub mesh: Mesh,
    pub settings: &'a Settings,
    /// There are at least so many.
    pub shards: ShardCounts,
}

impl Ingester {
    /// Opens the log under `data`, joins the cluster and begins to keep what the placement gives this node.
    pub async fn join(
        place: Place<'_>,
        limits: Arc<LimitTable>,
        store: Store,
        node: &Node,
    ) -> Result<(Ingester, Mesh), Error> {
        let folder = place.data.join("raft");
        let Place { settings, shards, cluster, tls, .. } = place;
        let member = cluster.member_name().map_err(mesh::Error::from)?;
        let names = &settings.placement.control;
        let me = first::node_id(&folder, &cluster.name, &member, names, &store, rand::random).await?;
        let joining = Mesh::open(cluster, tls, Role::Ingester, me.0).await?;
        let mesh = joining.mesh().clone();
        let (carrier, unreached) = Carrier::new(me, mesh.clone());
        let broken = |why: String| Error::Open { folder: folder.clone(), why };
        let host = Host::open(&folder, me, settings.consensus.clone(), Arc::new(carrier));
        let host = host.map_err(|error| broken(error.to_string()))?;
        node.spawn("ingester: peers not reached", carrier::report(host.clone(), unreached, node.stopping()));
        let seat = Seat { host, me, mesh, settings, shards };
        let (ingester, services) = Ingester::take(seat, limits, store, node).map_err(|e| broken(e.to_string()))?;
        let mesh = joining.serve(services, Router::new(), node);
        Ok((ingester, mesh))
    }

    /// Opens what is on this node's disk, and begins to keep what the placement gives it. The services are for the others:
    /// what is on disk is opened before anybody is told that this node is there.
    pub(crate) fn take(
        seat: Seat<'_>,
        limits: Arc<LimitTable>,
        store: Store,
        node: &Node,
    ) -> Result<(Ingester, Routes), Error> {
        let Seat { host, me, mesh, settings, shards } = seat;
        let names = settings.placement.control.iter();
        let first: Vec<consensus::Node> = names.map(|name| first::named(mesh.cluster(), name)).collect();
        let voters = if first.contains(&me) { first } else { Vec::new() };
        let peers = Peers::of(mesh.clone());
        let control = Control::open(&host, &voters, peers.clone())?;
        let opened = Opened { host, me, control: control.clone(), peers };
        let (keeper, ingester) = Ingester::assemble(opened, settings, limits, store, node);
        keeper.open(&control.table().borrow().clone())?;
        node.spawn("ingester: placement", keeper.run(control.table(), node.stopping()));
        let steer = Steer::new(control, mesh.clone(), settings.placement.clone(), shards);
        node.spawn("ingester: steering", steer.run(node.stopping()));
        node.spawn("ingester: log pressure", ingester.clone().watch_pressure(node.clone()));
        let services = services(&ingester, &mesh);
        Ok((ingester, services))
    }

    /// The groups that this node leads.
    fn led(&self) -> Vec<Group> {
        let led = |group: &Group| group.status().leader == Some(self.me());
        self.groups().into_iter().map(|(group, _)| group).filter(led).collect()
    }

    /// Hands over what this node leads, while it still serves, and then leaves the cluster. The log stays open.
    pub async fn leave(&self, mesh: &Mesh) {
        mesh.set_draining(true).await;
        let deadline = Instant::now() + DRAIN;
        while Instant::now() < deadline {
            let led = self.led();
            // With nobody who stays there is nobody to hand over to.
            if led.is_empty() || !others_stay(mesh) {
                sleep(LINGER).await;
                break;
            }
            tracing::info!(groups = led.len(), "handing over what this ingester leads");
            let handed = futures::future::join_all(led.into_iter().map(|group| hand_over(group, mesh)));
            // Those that went nowhere are tried again.
            let _ = timeout_at(deadline, handed).await;
            sleep(LOOK).await;
        }
        let left = self.led().len();
        if left > 0 {
            tracing::warn!(
                groups = left,
                "not everything was handed over: others take the lead when this ingester is gone"
            );
        }
        mesh.leave().await;
    }
}

fn others_stay(mesh: &Mesh) -> bool {
    let members = mesh.members().borrow().clone();
    members.of_role(Role::Ingester).any(|member| member.id != mesh.me().id && !member.draining)
}

/// Gives the lead to the follower that has most of the log and stays; to nobody if there is none.
async fn hand_over(group: Group, mesh: &Mesh) {
    let members = mesh.members().borrow().clone();
    let stays = |node: consensus::Node| members.by_id(node.0).is_some_and(|member| !member.draining);
    let followers = group.progress().into_iter().filter(|p| p.voter && p.active && stays(p.node));
    let Some(heir) = followers.max_by_key(|progress| progress.matched) else { return };
    if let Err(error) = group.transfer(heir.node).await {
        tracing::debug!(group = group.id().0, %error, "the lead was not handed over");
    }
}

fn services(ingester: &Ingester, mesh: &Mesh) -> Routes {
    let raft = carrier::Receiver { host: ingester.host(), mesh: mesh.clone() };
    Routes::new(IngestServer::new(ingester.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(ReadServer::new(ingester.clone()))
        .add_service(ControlServer::new(ingester.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(RulesServer::new(ingester.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(ElectionsServer::new(ingester.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(GroupsServer::new(ingester.clone()))
        .add_service(RaftServer::new(raft).max_decoding_message_size(MAX_MESSAGE))
}
