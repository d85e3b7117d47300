//! What a part has beside samples: metadata of metric families, and exemplars.

use super::frame::{self, Frames};
use crate::bytes_io::{Cursor, put_bytes, put_signed, put_varint};
use crate::error::{Error, corrupt};
use model::{Exemplar, Labels, Metadata};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras {
    pub metadata: Vec<Metadata>,
    /// By series, in order; each list is sorted by time.
    pub exemplars: Vec<(u32, Vec<Exemplar>)>,
}

impl Extras {
    pub fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.exemplars.is_empty()
    }

    pub fn encode(&self, frames: &mut Frames) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        put_varint(&mut body, self.metadata.len() as u64);
        for metadata in &self.metadata {
            for text in [&metadata.family, &metadata.kind, &metadata.help, &metadata.unit] {
                put_bytes(&mut body, text.as_bytes());
            }
        }
        put_varint(&mut body, self.exemplars.len() as u64);
        let (mut last, mut last_time) = (0, 0i64);
        for (series, exemplars) in &self.exemplars {
            put_varint(&mut body, u64::from(series - last));
            last = *series;
            put_varint(&mut body, exemplars.len() as u64);
            for exemplar in exemplars {
                put_signed(&mut body, exemplar.time.wrapping_sub(last_time));
                last_time = exemplar.time;
                body.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
                put_bytes(&mut body, exemplar.labels.packed());
            }
        }
        let mut packed = Vec::new();
        frames.put(&body, &mut packed)?;
        let mut out = crc32c::crc32c(&packed).to_le_bytes().to_vec();
        out.extend_from_slice(&packed);
        Ok(out)
    }

    pub fn decode(data: &[u8]) -> Result<Extras, Error> {
        let mut cursor = Cursor::new(data);
        let crc = cursor.u32_le()?;
        let packed = cursor.take(cursor.len())?;
        frame::check(packed, crc)?;
        let body = frame::open(packed)?;
        let mut body = Cursor::new(&body);
        let mut extras = Extras::default();
        for _ in 0..body.count(4)? {
            let mut text = || body.text().map(str::to_owned);
            let (family, kind, help, unit) = (text()?, text()?, text()?, text()?);
            extras.metadata.push(Metadata { family, kind, help, unit });
        }
        let (mut series, mut time) = (0u32, 0i64);
        for _ in 0..body.count(2)? {
            series = series.saturating_add(body.u32()?);
            let mut exemplars = Vec::new();
            for _ in 0..body.count(10)? {
                time = time.wrapping_add(body.signed()?);
                let value = f64::from_bits(body.u64_le()?);
                let Some(labels) = Labels::from_packed(body.bytes()?) else {
                    return corrupt("an exemplar's labels are not valid");
                };
                exemplars.push(Exemplar { labels, value, time });
            }
            extras.exemplars.push((series, exemplars));
        }
        Ok(extras)
    }
}
