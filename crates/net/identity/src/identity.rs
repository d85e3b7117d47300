//! Who this process is, and what its connections are made with.

use crate::error::Error;
use crate::files::Files;
use crate::handshake::{Acceptor, Connector};
use crate::loaded::Loaded;
use crate::peer::{self, Expect, Names, Peer};
use crate::refusals::Refusals;
use crate::refused::Cause;
use crate::settings::Settings;
use crate::watch::Watched;
use arc_swap::ArcSwap;
use model::Role;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// Our certificate, its key, and the authorities that others' certificates come from. Cheap to clone; all clones see
/// new files at the same moment.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) names: Arc<Names>,
    /// What our own certificate must say, now and after each reload.
    pub(crate) own: Expect,
    pub(crate) current: ArcSwap<Loaded>,
    pub(crate) watched: Mutex<Watched>,
    pub(crate) refusals: Refusals,
    pub(crate) reloads: AtomicU64,
    pub(crate) failed_reloads: AtomicU64,
}

/// What was counted since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// How often changed files were taken over.
    pub reloads: u64,
    /// How many changes of the files were refused.
    pub failed_reloads: u64,
    /// Connections that did not come about, by cause; those to others count like those from others.
    pub refused: [(Cause, u64); Cause::ALL.len()],
}

impl Identity {
    /// Reads the files and checks that other members of `cluster` will accept what they hold: key and certificate
    /// belong together, the certificate is valid now, may be used by both ends of a connection, comes from one of the
    /// authorities, and is of this cluster and role.
    pub fn open(settings: &Settings, cluster: &str, role: Role) -> Result<Identity, Error> {
        settings.check()?;
        peer::check("cluster", cluster)?;
        let names = Arc::new(Names { cluster: cluster.to_owned(), rules: settings.patterns()? });
        let own = Expect { role: Some(role), name: None };
        let files = Files::read(settings)?;
        let loaded = Loaded::new(&files, &names, &own)?;
        let inner = Inner {
            settings: settings.clone(),
            names,
            own,
            current: ArcSwap::from_pointee(loaded),
            watched: Mutex::new(Watched::new(files)),
            refusals: Refusals::default(),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
        };
        Ok(Identity { inner: Arc::new(inner) })
    }

    /// Takes connections of other members.
    pub fn acceptor(&self) -> Acceptor {
        Acceptor::new(self.clone())
    }

    /// Makes connections to other members.
    pub fn connector(&self) -> Connector {
        Connector::new(self.clone())
    }

    /// Who we are, by the certificate that new connections show.
    pub fn own(&self) -> Peer {
        self.inner.current.load().own.clone()
    }

    /// When the certificate that new connections show ends.
    pub fn expires(&self) -> SystemTime {
        self.inner.current.load().expires
    }

    pub fn stats(&self) -> Stats {
        let mut refused = Cause::ALL.map(|cause| (cause, 0));
        refused.iter_mut().zip(self.inner.refusals.counts()).for_each(|(to, count)| *to = count);
        Stats {
            reloads: self.inner.reloads.load(Relaxed),
            failed_reloads: self.inner.failed_reloads.load(Relaxed),
            refused,
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.own()).finish()
    }
}
