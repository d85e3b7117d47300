//! The streams of one tenant in a generation: a million of them cost what their labels take, and some forty bytes each.

use hashbrown::HashTable;
use model::{LabelSets, Labels, Packed};
use std::sync::{Arc, PoisonError, RwLock};
use xxhash_rust::xxh3::xxh3_64;

/// Numbered as they came. Only grows, so that those who read share it with the one who adds.
#[derive(Default)]
pub struct Streams(RwLock<Known>);

#[derive(Default)]
struct Known {
    names: Names,
    /// Hashes of the texts that name streams, and their numbers: two texts may mean the same labels.
    keys: Vec<u128>,
    ids: Vec<u32>,
    /// Places in these.
    by_key: HashTable<u32>,
    /// Numbers of streams, by their labels.
    by_labels: HashTable<u32>,
}

/// The labels of streams by number, as they were at some time. Cheap to clone.
#[derive(Default, Clone)]
pub struct Names(Vec<Arc<LabelSets>>);

/// Label sets in one of the parts, which are copied only if somebody reads the last one while it grows.
const PART: usize = 1024;

impl Streams {
    /// The number of the stream that a text names, by the text's hash.
    pub fn id(&self, key: u128) -> Option<u32> {
        self.read().id(key)
    }

    /// The labels that a text means.
    pub fn labels(&self, key: u128) -> Option<Labels> {
        let known = self.read();
        known.names.get(known.id(key)?).map(Packed::to_labels)
    }

    /// All that there are now.
    pub fn names(&self) -> Names {
        self.read().names.clone()
    }

    pub fn len(&self) -> usize {
        self.read().names.len()
    }

    /// Adds a text, and its stream if that is new.
    pub fn insert(&self, key: u128, labels: &Labels) -> u32 {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Known { names, keys, ids, by_key, by_labels } = &mut *known;
        let packed = labels.as_packed();
        let same = |id: &u32| names.get(*id) == Some(packed);
        let id = by_labels.find(hash(packed), same).copied().unwrap_or_else(|| {
            let id = names.push(packed);
            let of = |id: &u32| names.get(*id).map_or(0, hash);
            by_labels.insert_unique(hash(packed), id, of);
            id
        });
        let place = keys.len() as u32;
        keys.push(key);
        ids.push(id);
        by_key.insert_unique(key as u64, place, |place| keys[*place as usize] as u64);
        id
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn id(&self, key: u128) -> Option<u32> {
        let place = self.by_key.find(key as u64, |place| self.keys[*place as usize] == key)?;
        Some(self.ids[*place as usize])
    }
}

fn hash(labels: Packed<'_>) -> u64 {
    xxh3_64(labels.text().as_bytes())
}

impl Names {
    fn push(&mut self, labels: Packed<'_>) -> u32 {
        let id = self.len() as u32;
        if self.0.last().is_none_or(|last| last.len() == PART) {
            if let Some(full) = self.0.last_mut() {
                Arc::make_mut(full).shrink();
            }
            self.0.push(Arc::default());
        }
        if let Some(last) = self.0.last_mut() {
            // The limit of one stream's labels is far below what a part has room for.
            let fits = Arc::make_mut(last).push(labels);
            debug_assert!(fits);
        }
        id
    }

    pub fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * PART + last.len())
    }

    pub fn get(&self, id: u32) -> Option<Packed<'_>> {
        self.0.get(id as usize / PART)?.get(id as usize % PART)
    }

    pub fn iter(&self) -> impl Iterator<Item = Packed<'_>> {
        self.0.iter().flat_map(|part| part.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(number: usize) -> Labels {
        Labels::from_pairs([("app", "edge".to_owned()), ("host", number.to_string())])
    }

    #[test]
    fn streams_are_found_by_texts_and_numbers() {
        let streams = Streams::default();
        let before = streams.names();
        for number in 0..5000usize {
            assert_eq!(streams.insert(number as u128 * 7, &labels(number)), number as u32);
            // Another text that means the same.
            assert_eq!(streams.insert(number as u128 * 7 + 1, &labels(number)), number as u32);
        }
        let names = streams.names();
        assert_eq!((before.len(), names.len(), streams.names().iter().count()), (0, 5000, 5000));
        assert_eq!((streams.id(7 * 4999), streams.id(7 * 4999 + 1), streams.id(2)), (Some(4999), Some(4999), None));
        assert_eq!(streams.labels(7 * 1024), Some(labels(1024)));
        streams.insert(u128::MAX, &labels(5000));
        assert_eq!((names.get(5000), streams.names().get(5000).map(Packed::to_labels)), (None, Some(labels(5000))));
        assert!(names.iter().enumerate().all(|(number, packed)| packed.to_labels() == labels(number)));
    }
}
