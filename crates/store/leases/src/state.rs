//! The leases themselves, and the notes of those who hold them.

use crate::command::{Command, Reply};
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many slots there are, for ever: more than there will be holders, and few enough to be told in one answer.
pub const SLOTS: u32 = 64;
/// What all notes of a tenant may have together, names included: some thousand pending or firing alerts.
pub const MAX_TENANT_BYTES: u64 = 1 << 20;
const MAX_NAME: usize = 512;
const MAX_HOLDERS: usize = 1024;

/// Everything that is replicated. Clones share the notes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Leases {
    /// Beats of all holders. Each has a number of its own, so that who was lost and came back is never taken for who it
    /// was before.
    beats: u64,
    holders: BTreeMap<String, Holder>,
    slots: BTreeMap<u32, Slot>,
    notes: BTreeMap<TenantId, BTreeMap<String, Note>>,
}

/// Somebody who lives, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The number of its last beat.
    pub beat: u64,
    /// For how many milliseconds after a beat others must let it be.
    pub patience: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Slot {
    /// Nobody when empty.
    pub holder: String,
    /// Grows with every grant.
    pub epoch: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    slot: u32,
    text: Arc<str>,
}

impl Leases {
    /// Applies a committed command, written as `Command::encode` does.
    pub fn apply(&mut self, command: &[u8]) -> Reply {
        match serde_json::from_slice(command) {
            Ok(Command::Beat { holder, patience, want, free, dead }) => self.beat(holder, patience, &want, &free, dead),
            Ok(Command::Leave { holder }) => {
                self.lose(&holder);
                Reply::Done
            }
            Ok(Command::Load { slot, epoch } | Command::Save { slot, epoch, .. }) if !self.is_under(slot, epoch) => {
                Reply::Fenced { epoch: self.slots.get(&slot).map_or(0, |slot| slot.epoch) }
            }
            Ok(Command::Load { slot, .. }) => Reply::Notes { notes: self.notes_of(slot) },
            Ok(Command::Save { slot, notes, .. }) => self.save(slot, notes),
            Err(error) => Reply::Refused { why: error.to_string() },
        }
    }

    /// How much a snapshot has to carry.
    pub fn bytes(&self) -> u64 {
        self.notes.keys().map(|tenant| self.bytes_of(tenant)).sum()
    }

    fn beat(&mut self, holder: String, patience: u64, want: &[u32], free: &[u32], dead: Vec<(String, u64)>) -> Reply {
        if holder.is_empty() || holder.len() > MAX_NAME {
            return Reply::Refused { why: format!("a holder's name has 1 to {MAX_NAME} bytes") };
        }
        for (name, beat) in dead {
            if name != holder && self.holders.get(&name).is_some_and(|other| other.beat == beat) {
                self.lose(&name);
            }
        }
        if self.holders.len() >= MAX_HOLDERS && !self.holders.contains_key(&holder) {
            return Reply::Refused { why: format!("there are {MAX_HOLDERS} holders, which is the limit") };
        }
        self.beats += 1;
        self.holders.insert(holder.clone(), Holder { beat: self.beats, patience });
        for slot in free {
            if let Some(slot) = self.slots.get_mut(slot).filter(|slot| slot.holder == holder) {
                slot.holder.clear();
            }
        }
        for number in want.iter().filter(|number| **number < SLOTS) {
            let slot = self.slots.entry(*number).or_default();
            if slot.holder.is_empty() {
                *slot = Slot { holder: holder.clone(), epoch: slot.epoch + 1 };
            }
        }
        Reply::Held {
            holders: self.holders.clone(),
            slots: self.slots.iter().map(|(n, slot)| (*n, slot.clone())).collect(),
        }
    }

    fn lose(&mut self, holder: &str) {
        self.holders.remove(holder);
        self.slots.values_mut().filter(|slot| slot.holder == holder).for_each(|slot| slot.holder.clear());
    }

    fn is_under(&self, slot: u32, epoch: u64) -> bool {
        self.slots.get(&slot).is_some_and(|slot| !slot.holder.is_empty() && slot.epoch == epoch)
    }

    fn notes_of(&self, slot: u32) -> Vec<(TenantId, String, Arc<str>)> {
        let all =
            self.notes.iter().flat_map(|(tenant, notes)| notes.iter().map(move |(name, note)| (tenant, name, note)));
        let own = all.filter(|(_, _, note)| note.slot == slot);
        own.map(|(tenant, name, note)| (tenant.clone(), name.clone(), note.text.clone())).collect()
    }

    fn bytes_of(&self, tenant: &TenantId) -> u64 {
        let size = |(name, note): (&String, &Note)| (name.len() + note.text.len()) as u64;
        self.notes.get(tenant).map_or(0, |notes| notes.iter().map(size).sum())
    }

    fn save(&mut self, slot: u32, notes: Vec<(TenantId, String, Option<Arc<str>>)>) -> Reply {
        // What becomes smaller is always taken, so that a full tenant can get out of it.
        let mut grown: BTreeMap<&TenantId, i64> = BTreeMap::new();
        for (tenant, name, text) in &notes {
            let before = self.notes.get(tenant).and_then(|notes| notes.get(name));
            let size = |text: &Arc<str>| (name.len() + text.len()) as i64;
            let (before, after) = (before.map_or(0, |note| size(&note.text)), text.as_ref().map_or(0, size));
            *grown.entry(tenant).or_default() += after - before;
        }
        for (tenant, grown) in grown {
            let bytes = self.bytes_of(tenant).saturating_add_signed(grown);
            if grown > 0 && bytes > MAX_TENANT_BYTES {
                return Reply::Full { tenant: tenant.clone(), bytes, limit: MAX_TENANT_BYTES };
            }
        }
        for (tenant, name, text) in notes {
            match text {
                Some(text) => drop(self.notes.entry(tenant).or_default().insert(name, Note { slot, text })),
                None => {
                    if let Some(kept) = self.notes.get_mut(&tenant) {
                        kept.remove(&name);
                        if kept.is_empty() {
                            self.notes.remove(&tenant);
                        }
                    }
                }
            }
        }
        Reply::Done
    }
}

#[cfg(test)]
mod tests;
