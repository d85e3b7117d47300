//! The command line.

use crate::settings::Settings;
use clap::{Parser, Subcommand};
use model::Role;
use settings::{SettingsError, Sources};
use std::ffi::OsString;
use std::path::PathBuf;

/// A multi-tenant store for logs and metrics.
///
/// Without a command it serves: every role in one process, no configuration needed.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: Serve,
}

#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Settings file, .toml or .yaml.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where data rests [default: ./data].
    #[arg(long)]
    data: Option<String>,
    /// Address of the HTTP API [default: 127.0.0.1:3100].
    #[arg(long)]
    listen: Option<String>,
    /// Which log lines: error, warn, info, debug, or a filter as tracing writes it.
    #[arg(long)]
    log: Option<String>,
    /// Show the effective settings and exit.
    #[arg(long)]
    pub print_settings: bool,
    /// Check the settings and exit.
    #[arg(long)]
    pub check: bool,
}

impl Serve {
    /// Defaults, then the file, then `OURO_…` variables, then flags.
    pub fn sources(&self) -> Sources {
        Sources::default()
            .file(self.config.as_deref())
            .environment()
            .flag("data", self.data.clone())
            .flag("listen", self.listen.clone())
            .flag("log.level", self.log.clone())
    }

    pub fn settings(&self) -> Result<Settings, SettingsError> {
        let settings: Settings = self.sources().load()?;
        settings.check().map_err(|why| SettingsError::Value { why })?;
        Ok(settings)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask a PromQL or LogQL query; it is told which one it is.
    Query(Query),
    /// Follow the newest lines of a LogQL query.
    Tail(Tail),
    /// Store lines from a file or standard input.
    Push(Push),
    /// Show the members of a cluster.
    Ring(Show),
    /// Show the shards of a cluster: who leads, who lags, what moves.
    Shards(Show),
    /// Show what the compactor does, and what it has before it.
    #[command(subcommand)]
    Compactor(CompactorCommand),
    /// Show what is in a segment or block, and how many bytes each part of it takes.
    Inspect(Inspect),
    /// Read segments and blocks as a whole, and say which are damaged.
    Verify(Verify),
    /// Look at the catalog, which says what segments and blocks there are.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Run a whole cluster on this machine: one process a member, with mutual TLS.
    Dev(Dev),
    /// Make an authority and certificates for the members of a cluster.
    #[command(subcommand)]
    Certs(CertsCommand),
    /// Run one service as a member of a cluster; `--help` after the role says how.
    Run(Run),
}

#[derive(Debug, clap::Args)]
pub struct Show {
    /// Print the server's own JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: Server,
}

#[derive(Debug, Subcommand)]
pub enum CompactorCommand {
    /// The merge under way, what there is to merge, and what was done since the start.
    Status(Show),
    /// What has passed its retention, and leaves with the compactor's next look. With another retention: what would.
    Expired(Expired),
}

#[derive(Debug, clap::Args)]
pub struct Expired {
    /// Logs are kept for so long: 48h, 7d. Without it: as the settings say.
    #[arg(long)]
    pub logs: Option<String>,
    /// Metrics are kept for so long.
    #[arg(long)]
    pub metrics: Option<String>,
    /// Only what this tenant has.
    #[arg(long)]
    pub of: Option<String>,
    #[command(flatten)]
    pub show: Show,
}

#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// A file, a URL such as s3://bucket/segments/…, or an object's name in the store of the settings.
    pub object: String,
    /// Show all that takes bytes, however little.
    #[arg(long)]
    pub all: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Files, URLs, or names of objects in the store of the settings [default: all of that store].
    pub objects: Vec<String>,
    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Compare it with the bucket: every object is there and whole, and no log entry is in two segments.
    Verify(CatalogVerify),
}

#[derive(Debug, clap::Args)]
pub struct CatalogVerify {
    /// Do not read the objects: that they are there, with their sizes, has to do.
    #[arg(long)]
    pub quick: bool,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub server: Server,
}

/// Where objects rest.
#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    /// Settings file of any role: `objects` and `data` are read from it.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Where data rests [default: ./data].
    #[arg(long)]
    pub data: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Dev {
    /// How many ingesters.
    #[arg(long, default_value_t = 3)]
    pub ingesters: usize,
    /// How many zones they are spread over.
    #[arg(long, default_value_t = 3)]
    pub zones: usize,
    /// How many distributors.
    #[arg(long, default_value_t = 1)]
    pub distributors: usize,
    /// How many queriers.
    #[arg(long, default_value_t = 1)]
    pub queriers: usize,
    /// Where everything of the cluster rests: certificates, settings, logs, data.
    #[arg(long, default_value = "dev-data")]
    pub data: PathBuf,
    /// The first port; members use up to 200 from here on.
    #[arg(long, default_value_t = 3200)]
    pub base_port: u16,
    /// Print one line of JSON instead of text: push, query, and the members.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Make an authority, ca.crt and ca.key, unless it is there.
    Init {
        /// Where to.
        #[arg(long, default_value = "certs")]
        dir: PathBuf,
        /// The cluster's name: members of others are refused.
        #[arg(long, default_value = "ouro")]
        cluster: String,
    },
    /// Make a member's certificate and key, NAME.crt and NAME.key, unless there is one that lasts for a
    /// third of the time.
    Issue(Issue),
}

#[derive(Debug, clap::Args)]
pub struct Issue {
    /// distributor, ingester, querier, compactor or ruler.
    pub role: Role,
    /// The member's name, unique in the cluster.
    pub name: String,
    /// Where the authority is, and where the files go.
    #[arg(long, default_value = "certs")]
    pub dir: PathBuf,
    /// For how many days it is good.
    #[arg(long, default_value_t = 90)]
    pub days: u32,
    /// A DNS name or address to add, for other programs; may be given several times.
    #[arg(long = "host")]
    pub hosts: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Run {
    /// distributor, ingester, querier, compactor or ruler.
    pub role: Role,
    /// Passed on to the service: --config FILE, --check, --print-settings, --help.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

/// Where the server is, and for which tenant.
#[derive(Debug, clap::Args)]
pub struct Server {
    /// Address of a running Ouro.
    #[arg(long, default_value = "http://127.0.0.1:3100", env = "OURO_ADDRESS")]
    pub address: String,
    /// Tenant.
    #[arg(long, default_value = model::tenant::ANONYMOUS)]
    pub tenant: String,
}

#[derive(Debug, clap::Args)]
pub struct Query {
    /// For example `rate(http_requests_total[5m])`, or `{service="ouro"} |= "flushed"`.
    pub query: String,
    /// How far back: 30m, 1h, 2d. Metrics without it: the values now. Logs: the last hour.
    #[arg(long)]
    pub since: Option<String>,
    /// The most lines to show.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// Print the server's own JSON.
    #[arg(long)]
    pub json: bool,
    /// It is LogQL, whatever it looks like.
    #[arg(long, conflicts_with = "metrics")]
    pub logs: bool,
    /// It is PromQL, whatever it looks like.
    #[arg(long)]
    pub metrics: bool,
    #[command(flatten)]
    pub server: Server,
}

#[derive(Debug, clap::Args)]
pub struct Tail {
    /// For example `{service="ouro"}`.
    pub query: String,
    /// Begin so far back.
    #[arg(long, default_value = "1m")]
    pub since: String,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: Server,
}

#[derive(Debug, clap::Args)]
pub struct Push {
    /// A text file; standard input when there is none.
    pub file: Option<PathBuf>,
    /// A label of the stream, name=value; may be given several times [default: job=push].
    #[arg(long = "label", short = 'l', value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Go on as the file grows, also when it is rotated.
    #[arg(long, requires = "file")]
    pub follow: bool,
    #[command(flatten)]
    pub server: Server,
}
