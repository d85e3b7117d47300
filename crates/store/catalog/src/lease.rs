//! The lease under which one compactor works, and no other.
//!
//! Clocks play no part in it. Who wants the lease names it as it was last seen; only if nobody has renewed it since, it
//! is granted, under a higher epoch. How long to look on before asking is the asker's business:
//! too short a patience costs work, never a row, because every change is tied to the epoch.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it; nobody when empty. A name is drawn anew whenever the lease is wanted, so each has one epoch.
    pub holder: String,
    /// Grows with every change of the holder.
    pub epoch: u64,
    /// Grows while one holder renews it.
    pub renewal: u64,
}

impl Lease {
    /// Renews for the holder. Grants to another one, if the lease is still as that one saw it or nobody holds it.
    pub(crate) fn ask(&mut self, holder: String, epoch: u64, renewal: u64) {
        if holder == self.holder {
            self.renewal += 1;
        } else if self.holder.is_empty() || (epoch, renewal) == (self.epoch, self.renewal) {
            *self = Lease { holder, epoch: self.epoch + 1, renewal: 0 };
        }
    }

    /// Whether someone works under this epoch.
    pub(crate) fn is_under(&self, epoch: u64) -> bool {
        !self.holder.is_empty() && self.epoch == epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_one_holder_and_a_growing_epoch() {
        let mut lease = Lease::default();
        let mut ask = |holder: &str, epoch, renewal| {
            lease.ask(holder.into(), epoch, renewal);
            (lease.holder.clone(), lease.epoch, lease.renewal)
        };
        let is = |holder: &str, epoch, renewal| (holder.to_owned(), epoch, renewal);
        assert_eq!(ask("a", 9, 9), is("a", 1, 0), "nobody has it");
        assert_eq!(ask("b", 0, 0), is("a", 1, 0), "seen before a had it");
        assert_eq!(ask("a", 1, 9), is("a", 1, 1), "renewed");
        assert_eq!(ask("b", 1, 0), is("a", 1, 1), "a was faster");
        assert_eq!(ask("b", 1, 1), is("b", 2, 0), "a has not moved since");
        assert_eq!(ask("a", 1, 1), is("b", 2, 0), "a is too late");
        assert_eq!(ask("", 1, 1), is("b", 2, 0), "only the holder gives it back");
        assert_eq!(ask("", 2, 0), is("", 3, 0), "given back");
        assert_eq!(ask("b", 2, 0), is("b", 4, 0), "and granted again, under another epoch");
        assert_eq!(ask("b", 0, 0), is("b", 4, 1), "whoever has it renews it, even without having heard so");
    }
}
