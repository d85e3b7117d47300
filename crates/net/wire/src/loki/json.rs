//! Turns the JSON form of a Loki push into the protobuf form, in one pass.
//!
//! `{"streams": [{"stream": {"name": "value"}, "values": [["<unix ns>", "line", {"name": "value"}]]}]}`, as the public
//! description of Loki's push API has it.

use super::Builder;
use super::labels::label_text;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Why a JSON push body is refused: the text names the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("loki push as JSON: {why}")]
pub struct JsonError {
    why: String,
}

/// Gives the uncompressed protobuf body of a JSON push; an empty one where there are no streams. Text that is not UTF-8
/// becomes U+FFFD, as Loki does it.
pub fn from_json(json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let error = |e: serde_json::Error| JsonError { why: e.to_string() };
    let mut builder = Builder::new();
    let mut reader = serde_json::Deserializer::from_slice(json);
    PushSeed(&mut builder).deserialize(&mut reader).map_err(error)?;
    reader.end().map_err(error)?;
    Ok(builder.finish())
}

/// Says where in the body an error is.
struct Place {
    stream: usize,
    value: usize,
}

impl Place {
    fn error<E: de::Error>(&self, item: &str, why: impl fmt::Display) -> E {
        E::custom(format_args!("streams[{}].values[{}]{item}: {why}", self.stream, self.value))
    }
}

struct PushSeed<'b>(&'b mut Builder);
struct StreamsSeed<'b>(&'b mut Builder);
struct StreamSeed<'b>(&'b mut Builder, usize);
struct ValuesSeed<'b>(&'b mut Builder, usize);
struct ValueSeed<'b>(&'b mut Builder, Place);
struct MetadataSeed<'b>(&'b mut Builder);

macro_rules! seed {
    ($name:ident, $deserialize:ident) => {
        impl<'de> DeserializeSeed<'de> for $name<'_> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.$deserialize(self)
            }
        }
    };
}
seed!(PushSeed, deserialize_map);
seed!(StreamsSeed, deserialize_any);
seed!(StreamSeed, deserialize_map);
seed!(ValuesSeed, deserialize_seq);
seed!(ValueSeed, deserialize_seq);
seed!(MetadataSeed, deserialize_any);

impl<'de> Visitor<'de> for PushSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"streams\"")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.0.as_ref() {
                "streams" => map.next_value_seed(StreamsSeed(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for StreamsSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("streams: an array")
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut at = 0;
        while seq.next_element_seed(StreamSeed(self.0, at))?.is_some() {
            at += 1;
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for StreamSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "streams[{}]: an object with \"stream\" and \"values\"", self.1)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let StreamSeed(builder, at) = self;
        let mut labels: Option<String> = None;
        builder.stream("");
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.0.as_ref() {
                "stream" => {
                    let pairs: BTreeMap<Text<'de>, Text<'de>> =
                        map.next_value().map_err(|e| de::Error::custom(format_args!("streams[{at}].stream: {e}")))?;
                    labels = Some(label_text(pairs.iter().map(|(name, value)| (name.0.as_ref(), value.0.as_ref()))));
                }
                "values" => map.next_value_seed(ValuesSeed(builder, at))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let labels = labels.ok_or_else(|| de::Error::custom(format_args!("streams[{at}] has no \"stream\"")))?;
        builder.set_labels(&labels);
        Ok(())
    }
}

impl<'de> Visitor<'de> for ValuesSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "streams[{}].values: an array", self.1)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut place = Place { stream: self.1, value: 0 };
        while seq.next_element_seed(ValueSeed(self.0, Place { ..place }))?.is_some() {
            place.value += 1;
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { stream, value } = self.1;
        write!(
            f,
            "streams[{stream}].values[{value}]: an array [\"<unix ns>\", \"line\"], with {{metadata}} as a third element"
        )
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let ValueSeed(builder, place) = self;
        let time = seq.next_element::<Text<'de>>().map_err(|e| place.error("[0]", e))?;
        let time = time.ok_or_else(|| place.error("", "there is no timestamp"))?;
        let nanos = time.0.parse::<i64>();
        let nanos = nanos.map_err(|_| place.error("[0]", format_args!("{:?} is not a time in Unix ns", time.0)))?;
        let line = seq.next_element::<Text<'de>>().map_err(|e| place.error("[1]", e))?;
        let line = line.ok_or_else(|| place.error("", "there is no line"))?;
        builder.start(nanos, &line.0);
        seq.next_element_seed(MetadataSeed(builder)).map_err(|e| place.error("[2]", e))?;
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(place.error("", "there are more than three elements"));
        }
        builder.end();
        Ok(())
    }
}

impl<'de> Visitor<'de> for MetadataSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
            self.0.add_metadata(&name.0, &value.0);
        }
        Ok(())
    }
}

/// A JSON string; borrowed where nothing in it is escaped.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
        // As bytes: serde_json then leaves UTF-8 and lone surrogates to us.
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        Ok(Text(String::from_utf8_lossy(bytes)))
    }
    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        Ok(Text(String::from_utf8_lossy(bytes).into_owned().into()))
    }
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(text.into()))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(text.to_owned().into()))
    }
}
