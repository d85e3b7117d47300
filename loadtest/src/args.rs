//! The command line.

use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Loads a log and metric store through its public APIs and proves that every acknowledged row is there once.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Push logs as Loki agents do: Traefik access logs and Python application logs.
    Logs(LogsCommand),
    /// Push metrics by Prometheus remote write: cAdvisor and Traefik.
    Metrics(MetricsCommand),
    /// Push the past: the metrics' series from long ago until now, as fast as the target takes them.
    History(HistoryCommand),
    /// Read back what a run with --save pushed.
    Verify(VerifyCommand),
}

#[derive(Debug, ClapArgs)]
pub struct LogsCommand {
    #[command(flatten)]
    pub load: Load,
    #[command(flatten)]
    pub reading: Reading,
    /// Streams of each tenant.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub streams: u32,
    /// Agents of each tenant, each with its share of the streams. By default one for 25 streams, at most 8.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub lanes: Option<u32>,
    /// Rows in a push. By default what an agent gathers in a second, at most 500.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub batch: Option<u32>,
    /// Different bodies of each agent; they differ from push to push in ids and times only.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub templates: u32,
}

#[derive(Debug, ClapArgs)]
pub struct MetricsCommand {
    #[command(flatten)]
    pub load: Load,
    #[command(flatten)]
    pub reading: Reading,
    /// Series of each tenant.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub series: u32,
    /// The share of the pods that are replaced by new ones at each scrape, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub churn: f64,
    /// Send remote write 2.0 instead of 1.0.
    #[arg(long)]
    pub rw2: bool,
}

#[derive(Debug, ClapArgs)]
pub struct HistoryCommand {
    #[arg(long, value_name = "URL")]
    pub target: String,
    /// Where remote write is taken: Prometheus has it at /api/v1/write.
    #[arg(long, default_value = "/api/v1/push")]
    pub path: String,
    #[arg(long, default_value = "load-0")]
    pub tenant: String,
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub series: u32,
    /// Scrape targets, each with its share of the series: of five, three are nodes and two are Traefiks.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub targets: u32,
    /// How long ago it begins.
    #[arg(long, default_value = "24h", value_parser = settings::duration::parse)]
    pub span: Duration,
    /// Between two samples of a series.
    #[arg(long, default_value = "15s", value_parser = settings::duration::parse)]
    pub step: Duration,
    /// The time of the last sample, in Unix seconds; now, if it is not given.
    #[arg(long)]
    pub end: Option<i64>,
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Pushes under way at one time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub in_flight: u32,
}

#[derive(Debug, ClapArgs)]
pub struct VerifyCommand {
    /// What a run wrote with --save.
    #[arg(long)]
    pub file: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
    /// Write the result to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// How to push.
#[derive(Debug, Clone, ClapArgs)]
pub struct Load {
    /// Tenants, named by the prefix and a number from 0.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub tenants: u32,
    #[arg(long, default_value = "load-")]
    pub tenant_prefix: String,
    /// Rows per second of all tenants together.
    #[arg(long, default_value_t = 1000.0, conflicts_with = "max", value_parser = positive)]
    pub rate: f64,
    /// As fast as the target takes them.
    #[arg(long)]
    pub max: bool,
    /// How long to push.
    #[arg(long = "for", default_value = "60s", value_parser = settings::duration::parse)]
    pub period: Duration,
    /// Everything that is sent, times excepted, follows from this number.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Pushes under way at one time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub in_flight: u32,
    /// How long one push may take.
    #[arg(long, default_value = "10s", value_parser = settings::duration::parse)]
    pub timeout: Duration,
    /// Afterwards, read every row back.
    #[arg(long)]
    pub verify: bool,
    /// Write what was acknowledged to this file, for `loadtest verify`.
    #[arg(long)]
    pub save: Option<PathBuf>,
    /// Write the result to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Where the target is and how to read from it.
#[derive(Debug, Clone, ClapArgs)]
pub struct Reading {
    /// Where to push and to query, for instance http://127.0.0.1:3100.
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Where to push, if not at the target. Several take turns: what failed at one is sent to the next.
    #[arg(long, value_name = "URL")]
    pub push: Vec<String>,
    /// Where to query, if not at the target. Several take turns.
    #[arg(long, value_name = "URL")]
    pub query: Vec<String>,
    /// What precedes /api/v1/query.
    #[arg(long, default_value = "/prometheus")]
    pub query_prefix: String,
    /// A header for every request, as `Name: value`.
    #[arg(long = "header")]
    pub headers: Vec<String>,
    /// A PEM file with certificates to trust.
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// How long the same request is repeated while the target is away or refuses for the moment.
    #[arg(long, default_value = "2m", value_parser = settings::duration::parse)]
    pub give_up: Duration,
    /// The most lines that the target gives in one answer.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(2..))]
    pub limit: u32,
    /// The most samples to ask for at once.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub samples: u32,
    /// Reads under way at one time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub width: u32,
    /// How long to wait before reading, for stores that do not show rows at once.
    #[arg(long, default_value = "0s", value_parser = settings::duration::parse)]
    pub settle: Duration,
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(format!("{number} is not between 0 and 1")) }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err(format!("{number} is not above 0")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
        let parse = |text: &str| Args::try_parse_from(text.split(' '));
        assert!(parse("loadtest logs --target http://x --rate 10 --for 1m30s --seed 3 --verify").is_ok());
        assert!(parse("loadtest logs --push http://a --push http://b --query http://c --verify").is_ok());
        for bad in ["--rate 1 --max", "--rate 0", "--tenants 0", "--for soon", "--rate nan"] {
            assert!(parse(&format!("loadtest logs --target http://x {bad}")).is_err(), "{bad}");
        }
        assert!(parse("loadtest metrics --target http://x --churn 1.5").is_err());
    }
}
