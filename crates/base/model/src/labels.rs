//! A series' label set, packed into one shared buffer.

use crate::BatchId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{cmp::Ordering, fmt, hash, sync::Arc};
use xxhash_rust::xxh3::xxh3_128;

/// The label that carries a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Sorted, unique, non-empty labels. Packed as `name length, name, value length, value` per label, so that equal sets
/// have equal bytes. Cheap to clone.
///
/// A length below 127 is one byte; a longer one is the byte 127 and then four with seven bits each, the lowest first.
/// So the whole is a text, and its parts need not be checked again whenever they are looked at.
///
/// A label with an empty value equals an absent one, so such labels are not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(Arc<str>);

/// Identifies a label set within a tenant: XXH3-128 of its packed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u128);

impl Labels {
    pub fn empty() -> Labels {
        Labels(Arc::from(""))
    }

    /// Builds a set from pairs in any order; of two pairs with one name, the later wins.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// Packs pairs that are already sorted by name and unique; `None` when they are not. Empty values are left out.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Labels> {
        let mut packed = String::with_capacity(256);
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            if last.is_some_and(|last| last >= name) {
                return None;
            }
            last = Some(name);
            if !value.is_empty() {
                pack(&mut packed, name);
                pack(&mut packed, value);
            }
        }
        Some(Labels(packed.into()))
    }

    /// Reads packed bytes of unknown origin; `None` when they are not what `packed()` gives.
    pub fn from_packed(bytes: &[u8]) -> Option<Labels> {
        Packed::checked(bytes).map(Packed::to_labels)
    }

    pub fn packed(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub fn id(&self) -> SeriesId {
        SeriesId(xxh3_128(self.packed()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The labels in order of their names.
    pub fn iter(&self) -> Iter<'_> {
        Iter(&self.0)
    }

    pub fn as_packed(&self) -> Packed<'_> {
        Packed(&self.0)
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The value of a label; an absent label has none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.as_packed().get(name)
    }

    /// The value of a label, or the empty string, which means the same as absent.
    pub fn value(&self, name: &str) -> &str {
        self.as_packed().value(name)
    }

    pub fn metric_name(&self) -> &str {
        self.value(METRIC_NAME)
    }

    /// This set without the labels for which `drop` says yes.
    pub fn without(&self, mut drop: impl FnMut(&str) -> bool) -> Labels {
        self.keep(|name| !drop(name))
    }

    /// This set with only the labels for which `keep` says yes.
    pub fn keep(&self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        let mut packed = String::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            if keep(name) {
                pack(&mut packed, name);
                pack(&mut packed, value);
            }
        }
        Labels(packed.into())
    }

    /// This set with one label set to another value; an empty value takes the label away.
    pub fn with(&self, name: &str, value: &str) -> Labels {
        let mut builder = LabelsBuilder::from(self);
        builder.set(name, value);
        builder.build()
    }
}

/// A label set that rests in somebody else's text, packed as [`Labels`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed<'a>(&'a str);

impl<'a> Packed<'a> {
    /// Of bytes of unknown origin; `None` when they are not a packed set.
    pub fn checked(bytes: &'a [u8]) -> Option<Packed<'a>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut rest = text;
        let mut last: Option<&str> = None;
        while !rest.is_empty() {
            let name = unpack(&mut rest)?;
            let value = unpack(&mut rest)?;
            if last.is_some_and(|last| last >= name) || value.is_empty() {
                return None;
            }
            last = Some(name);
        }
        Some(Packed(text))
    }

    pub(crate) fn unchecked(text: &'a str) -> Packed<'a> {
        Packed(text)
    }

    pub fn text(self) -> &'a str {
        self.0
    }

    /// The labels in order of their names.
    pub fn iter(self) -> Iter<'a> {
        Iter(self.0)
    }

    /// The value of a label; an absent label has none.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The value of a label, or the empty string, which means the same as absent.
    pub fn value(self, name: &str) -> &'a str {
        self.get(name).unwrap_or("")
    }

    pub fn to_labels(self) -> Labels {
        Labels(self.0.into())
    }
}

impl<'a> From<&'a Labels> for Packed<'a> {
    fn from(labels: &'a Labels) -> Packed<'a> {
        labels.as_packed()
    }
}

/// As label sets are sorted.
impl Ord for Packed<'_> {
    fn cmp(&self, other: &Packed<'_>) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Packed<'_> {
    fn partial_cmp(&self, other: &Packed<'_>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A length from here on takes five bytes.
const LONG: usize = 0x7f;

fn pack(packed: &mut String, text: &str) {
    let seven_bits = |len: usize| char::from((len & 0x7f) as u8);
    let len = text.len();
    if len < LONG {
        packed.push(seven_bits(len));
    } else {
        packed.push(seven_bits(LONG));
        packed.extend([len, len >> 7, len >> 14, len >> 21].map(seven_bits));
    }
    packed.push_str(text);
}

fn unpack<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let bytes = rest.as_bytes();
    let (len, from) = match usize::from(*bytes.first()?) {
        len if len < LONG => (len, 1),
        LONG => {
            let parts = bytes.get(1..5)?;
            let len = parts.iter().rev().fold(0, |len, bits| len << 7 | usize::from(*bits));
            // One text for one length.
            (Some(len).filter(|len| *len >= LONG && parts.is_ascii())?, 5)
        }
        _ => return None,
    };
    let text = rest.get(from..from + len)?;
    *rest = &rest[from + len..];
    Some(text)
}

/// Walks packed labels. The bytes were checked when the set was made.
#[derive(Clone)]
pub struct Iter<'a>(&'a str);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        Some((unpack(&mut self.0)?, unpack(&mut self.0)?))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl hash::Hash for Labels {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        state.write(self.packed());
    }
}

/// As the packed text.
impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        let packed = String::deserialize(deserializer)?;
        Labels::from_packed(packed.as_bytes()).ok_or_else(|| de::Error::custom("these are no packed labels"))
    }
}

/// By name and value, label by label, as Prometheus sorts series.
impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        self.as_packed().cmp(&other.as_packed())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `{name="value", …}` with Go-quoted values, as Loki and Prometheus print label sets.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, value)) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Collects labels in any order.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder(Vec<(String, String)>);

impl LabelsBuilder {
    /// Sets a label; an empty value takes it away.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut LabelsBuilder {
        let (name, value) = (name.into(), value.into());
        let at = self.0.binary_search_by(|(n, _)| n.as_str().cmp(&name));
        match (at, value.is_empty()) {
            (Ok(at), true) => drop(self.0.remove(at)),
            (Ok(at), false) => self.0[at].1 = value,
            (Err(_), true) => {}
            (Err(at), false) => self.0.insert(at, (name, value)),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut LabelsBuilder {
        self.0.retain(|(n, _)| n != name);
        self
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    pub fn build(&self) -> Labels {
        let mut packed = String::with_capacity(self.0.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (name, value) in &self.0 {
            pack(&mut packed, name);
            pack(&mut packed, value);
        }
        Labels(packed.into())
    }
}

impl From<&Labels> for LabelsBuilder {
    fn from(labels: &Labels) -> LabelsBuilder {
        LabelsBuilder(labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
    }
}

/// Hashes bytes of a request into the name under which its retry is known.
pub fn content_id(tenant: &str, body: &[u8]) -> BatchId {
    BatchId(xxh3_128(body) ^ xxh3_128(tenant.as_bytes()).rotate_left(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_sorted_unique_and_without_empty_values() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(labels.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!(labels.get("b"), Some("3"));
        assert_eq!(labels.value("c"), "");
        assert_eq!(labels.with("a", "").to_string(), r#"{b="3"}"#);
        assert_eq!(Labels::from_packed(labels.packed()), Some(labels.clone()));
        assert_eq!(Labels::from_sorted([("a", "1"), ("b", "3")]), Some(labels));
        assert_eq!(Labels::from_sorted([("b", "1"), ("a", "3")]), None);
    }

    #[test]
    fn long_values_survive_packing() {
        for len in [0, 1, 126, 127, 128, 16_383, 16_384, 70_000, 3_000_000] {
            let value = "v".repeat(len);
            let labels = Labels::from_pairs([("name", value.as_str())]);
            assert_eq!(labels.value("name"), value);
            assert_eq!(Labels::from_packed(labels.packed()), Some(labels));
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for bytes in [
            &[1u8][..],
            &[1, b'a', 0],
            &[1, b'a'],
            &[0xff, 0xff, 0xff, 0xff, 1],
            &[1, 0xff, 1, b'a'],
            &[2, 0xc3, 0xa4, 1, 0xc3],
        ] {
            assert_eq!(Labels::from_packed(bytes), None, "{bytes:?}");
        }
        let short = [&[0x7f, 1, 0, 0, 0, b'a'][..], &[1, b'x']].concat();
        assert_eq!(Labels::from_packed(&short), None, "a short length written long");
        let two_bytes = "\u{80}".repeat(100);
        assert_eq!(Labels::from_packed(two_bytes.as_bytes()), None);
        assert_eq!(Labels::from_packed(&[1, b'b', 1, b'x', 1, b'a', 1, b'x']), None);
    }

    #[test]
    fn order_is_by_name_then_value() {
        let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        assert!(set(&[("a", "1")]) < set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("a", "10")]) < set(&[("a", "2")]));
        assert!(set(&[("aa", "1")]) < set(&[("b", "1")]));
    }
}
