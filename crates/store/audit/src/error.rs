//! What can be wrong with an object.

use model::TenantId;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Block(#[from] block::Error),
    #[error("logs of tenant {tenant}: {source}")]
    Logs { tenant: TenantId, source: logs::Error },
    #[error("metrics of tenant {tenant}: {source}")]
    Metrics { tenant: TenantId, source: metrics::Error },
    #[error("tenant {tenant} has {found} rows, its directory says {rows}")]
    Rows { tenant: TenantId, rows: u64, found: u64 },
    #[error("it is called {name}, but says that it is {is}")]
    Name { name: String, is: String },
}
