//! Has the lease, or waits for it: of several compactors one works.
//!
//! The catalog ties every change to the lease's epoch, so two compactors that both believe to have it cannot both
//! change anything. The time only says when to try, and when to stop on one's own; it is this process's monotonic clock.

use crate::control::Control;
use crate::error::Error;
use catalog::{Command, Lease, Reply};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The lease, as long as it holds.
pub struct Held {
    control: Control,
    name: String,
    ttl: Duration,
    pub epoch: u64,
    /// Until then nobody else has it.
    until: Mutex<Instant>,
}

/// Waits until the lease is ours: nobody has it, or whoever has it did not renew it for `ttl`.
pub async fn wait(control: &Control, ttl: Duration) -> Held {
    // Drawn each time, so that each time has its own epoch: what was asked for under an earlier one, and perhaps is still
    // on its way, changes nothing any more.
    let name = format!("compactor-{:016x}", RandomState::new().build_hasher().finish());
    let mut seen = Lease::default();
    loop {
        let asked = Instant::now();
        match ask(control, name.clone(), &seen).await {
            Ok((lease, _)) if lease.holder == name => {
                let (control, epoch) = (control.clone(), lease.epoch);
                return Held { control, name, ttl, epoch, until: Mutex::new(asked + ttl) };
            }
            Ok((lease, _)) => {
                tracing::debug!(holder = lease.holder, epoch = lease.epoch, "another compactor has the lease");
                seen = lease;
            }
            Err(error) => tracing::warn!(%error, "the lease was not asked for; it will be tried again"),
        }
        tokio::time::sleep(ttl).await;
    }
}

impl Held {
    /// Renews the lease again and again; returns when it is lost.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(self.ttl / 3).await;
            match self.renew().await {
                Ok(_) => {}
                Err(Error::Lost { .. }) => return,
                Err(error) => tracing::warn!(%error, "the lease was not renewed; it will be tried again"),
            }
            if self.check().is_err() {
                return;
            }
        }
    }

    /// Renews the lease. Returns the version that the catalog had, which a catalog must have that is to be trusted.
    pub async fn renew(&self) -> Result<u64, Error> {
        let asked = Instant::now();
        let own = Lease { holder: self.name.clone(), epoch: self.epoch, renewal: 0 };
        let (lease, version) = ask(&self.control, self.name.clone(), &own).await?;
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if lease.holder != self.name || lease.epoch != self.epoch {
            *until = asked;
            return Err(Error::Lost { epoch: self.epoch });
        }
        *until = (asked + self.ttl).max(*until);
        Ok(version)
    }

    /// An error once the lease may be another's: nothing more may be written then.
    pub fn check(&self) -> Result<(), Error> {
        match Instant::now() < *self.until.lock().unwrap_or_else(PoisonError::into_inner) {
            true => Ok(()),
            false => Err(Error::Lost { epoch: self.epoch }),
        }
    }

    /// Lets another one have it at once.
    pub async fn give_back(&self) {
        let own = Lease { holder: self.name.clone(), epoch: self.epoch, renewal: 0 };
        // Its renewals are counted by the catalog alone, so they are asked for first.
        if let Ok((lease, _)) = ask(&self.control, self.name.clone(), &own).await
            && lease.holder == self.name
        {
            // Without an answer, others wait until its time is over.
            let _ = ask(&self.control, String::new(), &lease).await;
        }
    }
}

async fn ask(control: &Control, holder: String, seen: &Lease) -> Result<(Lease, u64), Error> {
    let command = Command::Lease { holder, epoch: seen.epoch, renewal: seen.renewal };
    match control.propose(&command).await? {
        Reply::Lease { lease, version } => Ok((lease, version)),
        other => Err(Error::Refused(format!("{other:?}"))),
    }
}

#[cfg(test)]
mod tests;
