//! What a flush takes from a head, and its encoding tenant by tenant.

use crate::error::Error;
use crate::head::{Counts, Generation};
use crate::part::Encoder;
use crate::settings::Settings;
use block::Part;
use model::TenantId;
use std::sync::Arc;

/// Rows between two cuts of a head. They stay readable through the head until it drops them.
#[derive(Clone)]
pub struct Frozen {
    through: u64,
    generation: Arc<Generation>,
    settings: Settings,
}

impl Frozen {
    pub(crate) fn new(through: u64, generation: Arc<Generation>, settings: Settings) -> Frozen {
        Frozen { through, generation, settings }
    }

    /// The last log index that is in it.
    pub fn through(&self) -> u64 {
        self.through
    }

    /// Tenants with rows, by name.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.generation.tenants()
    }

    pub fn counts(&self) -> Counts {
        self.generation.counts()
    }

    /// Encodes one tenant after the other, by name. One row group at a time is in memory, beside what is encoded.
    pub fn encode(&self) -> Parts {
        let tenants = self.tenants().into_iter();
        Parts { frozen: self.clone(), tenants, encoder: None }
    }
}

/// The parts of a segment, each encoded when it is asked for. After an error there are no more.
pub struct Parts {
    frozen: Frozen,
    tenants: std::vec::IntoIter<TenantId>,
    encoder: Option<Encoder>,
}

impl Iterator for Parts {
    type Item = Result<Part, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let tenant = self.tenants.next()?;
            let (streams, chunks) = self.frozen.generation.batches(&tenant)?;
            let encoder = match self.encoder.as_mut() {
                Some(encoder) => encoder,
                None => match Encoder::take() {
                    Ok(encoder) => self.encoder.insert(encoder),
                    Err(error) => return Some(Err(error)),
                },
            };
            let batches = chunks.iter().flat_map(|chunk| chunk.iter());
            match encoder.encode(&tenant, &streams, batches, &self.frozen.settings) {
                Ok(part) if part.rows == 0 => continue,
                Ok(part) => return Some(Ok(part)),
                Err(error) => {
                    self.tenants = Vec::new().into_iter();
                    self.encoder = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            encoder.leave();
        }
    }
}
