//! Metrics behind the door: samples are decoded once, when they are looked at, and kept compressed in memory.

use crate::error::Error;
use crate::fold;
use crate::signal::{Admission, Emit, Head, Means, Question, Reply, Rest, Stats, Values, emit_labels};
use block::Part;
use bytes::Bytes;
use metrics::{Bounds, Refusal};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use transport::{rows, v1};
use wire::batch::{Batch, Format};
use wire::prometheus::{self, Version};

/// How long a head remembers a series of which it has no samples.
const IDLE: Duration = Duration::from_secs(2 * 3600);

pub struct MetricsHead(metrics::Head);

fn version(format: Format) -> Version {
    match format {
        Format::PromV2 => Version::V2,
        _ => Version::V1,
    }
}

impl Head for MetricsHead {
    type Settings = metrics::Settings;
    type Frozen = metrics::Frozen;
    type View = metrics::View;

    fn new(settings: &metrics::Settings) -> MetricsHead {
        MetricsHead(metrics::Head::new(*settings))
    }

    /// Takes out samples that are too old for their series, contradict one that is stored, or are of series beyond the
    /// limits.
    fn admit(&self, batch: Batch, bounds: &Bounds) -> Result<Admission, Error> {
        let body = batch.body()?;
        let admission = self.0.admit(&batch.header.tenant, batch.header.format, &body, bounds)?;
        if admission.refused.is_empty() {
            return Ok(Admission { batch: Some(batch), body: Some(body.into()), refused: Vec::new() });
        }
        let rows: u32 = admission.refusals.iter().map(|refusal| refusal.rows).sum();
        let refusals = admission.refusals.into_iter();
        let told = |r: Refusal| v1::Refusal { text: r.text, rows: r.rows, reason: r.why.name().to_owned() };
        let refused = refusals.map(told).collect();
        if rows >= batch.header.rows {
            return Ok(Admission { batch: None, body: None, refused });
        }
        let rest = prometheus::without(&body, version(batch.header.format), &admission.refused);
        let mut header = batch.header;
        header.rows -= rows;
        header.body_len = rest.len() as u32;
        let batch = Batch { header, payload: wire::snappy::compress(&rest).into() };
        Ok(Admission { batch: Some(batch), body: Some(rest.into()), refused })
    }

    fn apply(&self, index: u64, batch: &Batch, body: Option<Bytes>, _: Rest) -> Result<(), Error> {
        let body = match body {
            Some(body) => body,
            None => batch.body()?.into(),
        };
        self.0.apply(index, &batch.header, &body)?;
        Ok(())
    }

    fn cut(&self, through: u64) -> metrics::Frozen {
        self.0.cut(through)
    }

    fn encode(frozen: &metrics::Frozen) -> Result<Vec<Part>, Error> {
        Ok(frozen.encode().collect::<Result<_, _>>()?)
    }

    fn drop_frozen(&self, through: u64) {
        self.0.drop_frozen(through);
    }

    /// A series without samples for so long is new when it comes again: only the check of its order is forgotten.
    fn forget_idle(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.sweep(now.saturating_sub(IDLE).as_millis() as i64);
    }

    fn view(&self) -> metrics::View {
        self.0.snapshot()
    }

    fn stats(&self) -> Stats {
        let stats = self.0.stats();
        Stats { rows: stats.rows, raw_bytes: stats.raw_bytes, memory_bytes: stats.memory_bytes, series: stats.series }
    }

    // It holds them.
    const ROWS_LIMIT: &str = "limits.query_memory";

    fn select(view: &metrics::View, question: &Question, means: &Means, emit: Emit<'_>) -> Result<(), Error> {
        let Question { tenant, what, matchers, range, .. } = question;
        match what {
            v1::What::Series => emit_labels(view.series(tenant, matchers, *range), emit),
            v1::What::Values => {
                let mut values = Values::new(question, emit);
                view.series(tenant, matchers, *range).iter().for_each(|labels| values.add(labels.into()));
                values.end();
            }
            v1::What::Rows => {
                for series in view.select(tenant, matchers, *range) {
                    let size = series.size();
                    if !emit(Reply::Series(rows::series_rows(series)), size) {
                        return Ok(());
                    }
                }
            }
            v1::What::Metadata => {
                for metadata in view.metadata(tenant) {
                    let size = metadata.help.len() + metadata.family.len() + 32;
                    if !emit(Reply::Metadata(rows::metadata(&metadata)), size) {
                        return Ok(());
                    }
                }
            }
            v1::What::Exemplars => {
                for (labels, exemplars) in view.exemplars(tenant, matchers, *range) {
                    let size = labels.packed().len() + 64 * exemplars.len();
                    if !emit(Reply::Exemplars(rows::exemplar_rows(&labels, &exemplars)), size) {
                        return Ok(());
                    }
                }
            }
            v1::What::Oldest => {
                emit(Reply::Oldest(v1::Oldest { time: view.oldest(tenant, *range) }), 8);
            }
            v1::What::Folded => fold::metrics(view, question, means, emit)?,
            v1::What::Arrived | v1::What::Unspecified => {}
        }
        Ok(())
    }
}
