//! Joining, and what a member has from then on.

use crate::door;
use crate::error::Error;
use crate::links::{Links, To};
use crate::pump;
use axum::Router;
use cluster::{Driver, Member, Members, Membership, Outgoing};
use identity::{Expect, Identity};
use model::Role;
use node::Node;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::Exposition;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use transport::Link;
use transport::v1::gossip_server::GossipServer;

/// A member of a cluster, and its way to the others. Cheap to clone.
#[derive(Clone)]
pub struct Mesh {
    /// None in a simulation, where nobody has a certificate.
    identity: Option<Identity>,
    membership: Membership,
    links: Links,
    me: Arc<Member>,
    cluster: Arc<str>,
    /// Certificates carry members' names; else they carry DNS names, and only the role is known.
    named: bool,
    closed: watch::Sender<bool>,
    /// Takes the place of chance in a simulation.
    turn: Option<Arc<AtomicUsize>>,
}

/// A member that listens, and does not answer yet.
pub struct Joining {
    mesh: Mesh,
    identity: Identity,
    listener: TcpListener,
    driver: Driver,
    outgoing: Outgoing,
}

impl Mesh {
    /// Checks who we are and takes the port. `id`: in Raft for an ingester, `random_id` for others.
    pub async fn open(
        cluster: &cluster::Settings,
        tls: &identity::Settings,
        role: Role,
        id: u64,
    ) -> Result<Joining, Error> {
        cluster.check()?;
        let identity = Identity::open(tls, &cluster.name, role)?;
        let name = cluster.member_name()?;
        let (certificate, named) = (identity.own().name, tls.names.is_empty());
        if named && certificate != name {
            return Err(Error::Name { certificate, settings: name });
        }
        let refused = |source| Error::Listen { address: cluster.listen, source };
        let listener = TcpListener::bind(cluster.listen).await.map_err(refused)?;
        let me = Member {
            id,
            name,
            role,
            zone: cluster.zone.clone(),
            address: cluster.address()?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            incarnation: 0,
            draining: false,
        };
        let (membership, driver, outgoing) = Membership::new(me.clone(), cluster, rand::random())?;
        let links = Links::new(identity.connector());
        let mesh = Mesh {
            identity: Some(identity.clone()),
            membership,
            links,
            me: Arc::new(me),
            cluster: cluster.name.as_str().into(),
            named,
            closed: watch::Sender::new(false),
            turn: None,
        };
        Ok(Joining { mesh, identity, listener, driver, outgoing })
    }

    /// A member of a simulated cluster: whoever makes it runs the driver, carries the gossip's packets, and makes the links
    /// to addresses. `now` is the wall clock, `seed` what the gossip draws from.
    #[doc(hidden)]
    pub fn simulated(
        cluster: &cluster::Settings,
        me: Member,
        (now, seed): (Duration, u64),
        link: impl Fn(&str) -> Link + Send + Sync + 'static,
    ) -> Result<(Mesh, Membership, Driver, Outgoing), Error> {
        let (membership, driver, outgoing) = Membership::new_at(me.clone(), cluster, seed, now)?;
        let mesh = Mesh {
            identity: None,
            membership: membership.clone(),
            links: Links::by(move |to| link(&to.address)),
            me: Arc::new(me),
            cluster: cluster.name.as_str().into(),
            named: false,
            closed: watch::Sender::new(false),
            turn: Some(Arc::default()),
        };
        Ok((mesh, membership, driver, outgoing))
    }

    /// This member, as it joined.
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Whether certificates carry the names of members.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The live members, and whenever they change.
    pub fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.membership.members()
    }

    /// The way to a member. It is made when it is first used, and again whenever it breaks; at its other end is the
    /// member, or nobody.
    pub fn link(&self, member: &Member) -> Link {
        let expect = Expect { role: Some(member.role), name: self.named.then(|| member.name.clone()) };
        let to = To { address: member.address.clone(), expect };
        self.links.to(&to)
    }

    /// The way to the live member with this id.
    pub fn link_to(&self, id: u64) -> Option<Link> {
        self.membership.members().borrow().by_id(id).map(|member| self.link(member))
    }

    /// The way to a live member of this role, by chance.
    pub fn any(&self, role: Role) -> Option<Link> {
        let members = self.members().borrow().clone();
        let all: Vec<_> = members.of_role(role).filter(|member| !member.draining).collect();
        let count = all.len().max(1);
        let at = match &self.turn {
            None => rand::random_range(0..count),
            Some(turn) => turn.fetch_add(1, Ordering::Relaxed) % count,
        };
        all.get(at).map(|member| self.link(member))
    }

    /// Tells the others that this member is about to go, or no longer.
    pub async fn set_draining(&self, draining: bool) {
        // Fails only after it left.
        let _ = self.membership.set_draining(draining).await;
    }

    /// Tells the others that this member goes, finishes the requests under way, and closes the port.
    pub async fn leave(&self) {
        let _ = self.membership.leave().await;
        self.closed.send_replace(true);
    }

    /// Writes the meters of membership and certificates.
    pub fn meters(&self, out: &mut Exposition) {
        let members = self.membership.members().borrow().clone();
        for role in Role::ALL {
            let count = members.of_role(role).count() as f64;
            out.gauge("ouro_members", "Live members of the cluster.", &[("role", role.as_str())], count);
        }
        let stats = self.membership.stats();
        out.counter("ouro_gossip_sent_total", "Packets of gossip that were sent.", &[], stats.sent);
        out.counter("ouro_gossip_received_total", "Packets of gossip that came.", &[], stats.received);
        out.counter("ouro_gossip_dropped_total", "Packets for which a queue had no room.", &[], stats.dropped);
        for (reason, count) in [
            ("malformed", stats.refused.malformed),
            ("version", stats.refused.version),
            ("foreign", stats.refused.foreign),
        ] {
            out.counter("ouro_gossip_refused_total", "Packets that were not read.", &[("reason", reason)], count);
        }
        let Some(identity) = &self.identity else { return };
        let tls = identity.stats();
        for (cause, count) in tls.refused {
            let labels = [("reason", cause.as_str())];
            out.counter("ouro_tls_refused_total", "Connections that did not come about.", &labels, count);
        }
        out.counter("ouro_tls_reloads_total", "New certificates that were taken over.", &[], tls.reloads);
        out.counter("ouro_tls_failed_reloads_total", "New certificates that were refused.", &[], tls.failed_reloads);
        let expires = identity.expires().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        out.gauge("ouro_tls_expires_seconds", "When the certificate ends, in Unix time.", &[], expires);
        let left = identity.expires().duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64();
        out.gauge("ouro_tls_left_seconds", "For how long the certificate is still good.", &[], left);
    }
}

/// An id for a member that is not known by it from one start to the next.
pub fn random_id() -> u64 {
    rand::random_range(1..u64::MAX)
}

impl Joining {
    /// The member that others will see.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Answers others by these services and routes, and tells them that this member is there. It goes on until
    /// `Mesh::leave`.
    pub fn serve(self, services: Routes, routes: Router, node: &Node) -> Mesh {
        let Joining { mesh, identity, listener, driver, outgoing } = self;
        let gossip = GossipServer::new(pump::Receiver(mesh.membership.clone()));
        let routes = services.add_service(gossip).into_axum_router().merge(routes);
        let door = door::serve(listener, identity.acceptor(), routes, mesh.closed.subscribe());
        node.spawn("mesh: door", door);
        node.spawn("mesh: gossip out", pump::send(mesh.links.clone(), outgoing));
        node.spawn("mesh: gossip", driver.run());
        let mut closed = mesh.closed.subscribe();
        node.spawn("mesh: certificates", async move { identity.watch(door::until(&mut closed)).await });
        mesh
    }
}
