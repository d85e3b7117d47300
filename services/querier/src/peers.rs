//! The other queriers of a cluster: who keeps which objects' ranges, and who may be asked for anything now.

use cluster::Members;
use mesh::Mesh;
use model::Role;
use ring::{Member, Ring};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use transport::Link;

/// For how long a querier that did not answer is not asked again.
const AVOIDED: Duration = Duration::from_secs(5);

/// Nobody, by default.
#[derive(Default)]
pub struct Peers {
    mesh: Option<Mesh>,
    /// The ring over these members.
    ring: Mutex<Option<(Arc<Members>, Arc<Ring>)>>,
    /// Until when members are not asked.
    avoided: Mutex<HashMap<String, Instant>>,
    #[cfg(test)]
    pub given: Mutex<Vec<(String, Link)>>,
}

impl Peers {
    pub fn new(mesh: Option<Mesh>) -> Arc<Peers> {
        Arc::new(Peers { mesh, ..Peers::default() })
    }

    /// Who keeps an object's ranges, if it is another querier that may be asked.
    pub fn owner(&self, object: &str) -> Option<(String, Link)> {
        let mesh = self.mesh.as_ref()?;
        let (members, ring) = self.ring(mesh);
        let name = *ring.replicas(object.as_bytes(), 1).first()?;
        if name == mesh.me().name || self.is_avoided(name) {
            return None;
        }
        Some((name.to_owned(), mesh.link(members.by_name(name)?)))
    }

    /// All that may be asked.
    pub fn all(&self) -> Vec<(String, Link)> {
        #[cfg(test)]
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner).clone();
        #[cfg(not(test))]
        let given: Vec<(String, Link)> = Vec::new();
        let Some(mesh) = &self.mesh else {
            return given.into_iter().filter(|(name, _)| !self.is_avoided(name)).collect();
        };
        let members = mesh.members().borrow().clone();
        let others = members.of_role(Role::Querier).filter(|member| !member.draining && member.name != mesh.me().name);
        let asked = others.filter(|member| !self.is_avoided(&member.name));
        asked.map(|member| (member.name.clone(), mesh.link(member))).collect()
    }

    fn ring(&self, mesh: &Mesh) -> (Arc<Members>, Arc<Ring>) {
        let members = mesh.members().borrow().clone();
        let mut baked = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, ring)) = baked.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &members)) {
            return (of.clone(), ring.clone());
        }
        let queriers = members.of_role(Role::Querier).filter(|member| !member.draining);
        let ring = Ring::new(queriers.map(|m| Member { name: m.name.clone(), zone: m.zone.clone() }));
        let ring = Arc::new(ring);
        *baked = Some((members.clone(), ring.clone()));
        (members, ring)
    }

    pub fn avoid(&self, name: String) {
        let mut avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        avoided.insert(name, Instant::now() + AVOIDED);
    }

    fn is_avoided(&self, name: &str) -> bool {
        let mut avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        avoided.retain(|_, until| *until > Instant::now());
        avoided.contains_key(name)
    }
}
