//! Many label sets, one after the other.

use crate::labels::Packed;

/// Label sets by number. They take about what their texts take, and four bytes each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSets {
    text: String,
    ends: Vec<u32>,
}

impl LabelSets {
    /// Adds a set as the last; false, and nothing added, if there is no room: all together have 4 GiB at most.
    #[must_use]
    pub fn push(&mut self, labels: Packed<'_>) -> bool {
        let Ok(end) = u32::try_from(self.text.len() + labels.text().len()) else { return false };
        self.text.push_str(labels.text());
        self.ends.push(end);
        true
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, number: usize) -> Option<Packed<'_>> {
        let end = *self.ends.get(number)?;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(Packed::unchecked(&self.text[start as usize..end as usize]))
    }

    pub fn last(&self) -> Option<Packed<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = Packed<'_>> {
        (0..self.len()).filter_map(|number| self.get(number))
    }

    /// Bytes that they take.
    pub fn held(&self) -> usize {
        self.text.capacity() + size_of::<u32>() * self.ends.capacity()
    }

    /// Gives back the room for more.
    pub fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    #[test]
    fn sets_come_back_by_number() {
        let sets = [&[("a", "1")][..], &[], &[("a", "1"), ("b", "2")]].map(|pairs| Labels::from_pairs(pairs.to_vec()));
        let mut all = LabelSets::default();
        assert!(all.last().is_none() && all.is_empty());
        assert!(sets.iter().all(|labels| all.push(labels.into())));
        all.shrink();
        assert_eq!((all.len(), all.get(3), all.held()), (3, None, 12 + 12));
        assert_eq!(all.iter().map(Packed::to_labels).collect::<Vec<_>>(), sets);
        assert_eq!(all.last().map(|labels| labels.value("b")), Some("2"));
    }
}
