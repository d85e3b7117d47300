//! Reads for simulations: by the true rule of what comes from where, on a thread that must not block. The store has to be
//! a folder.

use crate::catalog_copy::CatalogCopy;
use crate::error::QueryError;
use crate::heads::{Heads, Question};
use crate::kept::Kept;
use crate::partial::Partial;
use crate::querier::Parts;
use crate::ranges::Ranges;
use crate::reading::Reading;
use crate::segments::Segments;
use crate::settings::Settings;
use crate::source::{ATTEMPTS, PAUSE, Snapshot, TenantRows};
use mesh::Directory;
use model::{ByteSize, LogPage, Reason, ShardId, Signal, TenantId, TimeRange};
use objects::Store;
use std::sync::Arc;
use tenancy::RetentionSettings;
use transport::{rows, v1::What, v1::select_reply::Reply};

/// A querier without its API.
pub struct Reader {
    parts: Arc<Parts>,
}

/// All rows of a tenant's logs, but for those that the heads of these shards have.
pub struct Read {
    pub pages: Vec<LogPage>,
    pub missing: Vec<ShardId>,
}

impl Reader {
    pub fn new(directory: Directory, store: Store, settings: &Settings) -> Reader {
        let parts = Parts {
            control: directory.control(),
            heads: Heads::new(directory.clone()),
            catalog: CatalogCopy::new(directory, settings.catalog_age),
            segments: Segments::new(Ranges::new(store, settings, Arc::default()), settings.indexes),
            peers: Arc::default(),
            others: Default::default(),
        };
        Reader { parts: Arc::new(parts) }
    }

    pub async fn logs(&self, tenant: &TenantId) -> Result<Read, QueryError> {
        let partial = Arc::new(Partial::new(false));
        let source = TenantRows {
            parts: self.parts.clone(),
            tenant: tenant.clone(),
            kept: Kept::now(&RetentionSettings::default()),
            reading: Reading::new(ByteSize(u64::MAX), ByteSize(u64::MAX), Arc::new(|| false)),
            partial: partial.clone(),
            runtime: tokio::runtime::Handle::current(),
            closed: None,
            begun: None,
            limits: Arc::default(),
            levels: false,
        };
        let question = source.question(What::Rows, &[], TimeRange::ALL);
        let Snapshot { heads, objects, .. } = snapshot(&source, &Question { signal: Signal::Logs, ..question }).await?;
        let mut pages = Vec::new();
        for mut head in heads.heads {
            loop {
                match head.next().await {
                    Ok(Some(Reply::Logs(message))) => pages.push(rows::read_log_rows(message)?),
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        partial.without(head.shard, error)?;
                        break;
                    }
                }
            }
        }
        for name in &objects {
            let Some(reader) = self.parts.segments.logs(name, tenant)? else { continue };
            for page in reader.pages(&logs::Selection::all()) {
                pages.push(page?);
            }
        }
        Ok(Read { pages, missing: partial.shards() })
    }
}

async fn snapshot(source: &TenantRows, question: &Question<'_>) -> Result<Snapshot, QueryError> {
    for _ in 0..ATTEMPTS {
        if let Ok(snapshot) = source.try_snapshot(question).await? {
            return Ok(snapshot);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(QueryError::new(Reason::Unavailable, "blocks have rows of heads all the time"))
}
