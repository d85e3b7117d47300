//! What agents are answered, and what reaches the shards: requests against the router, with shards that record.

#[path = "push/agent.rs"]
mod agent;
#[path = "push/gather.rs"]
mod gather;
#[path = "push/lines.rs"]
mod lines;
#[path = "push/logs.rs"]
mod logs;
#[path = "push/metrics.rs"]
mod metrics;
#[path = "push/otlp.rs"]
mod otlp;
#[path = "push/relabel.rs"]
mod relabel;
#[path = "push/shards.rs"]
mod shards;
