//! Opens every role in one process, joins them in memory, and serves them.

use crate::observe::Observer;
use crate::settings::Settings;
use crate::status::{self, Process};
use anyhow::Context;
use axum::Router;
use compactor::Compactor;
use distributor::{Distributor, Leaders};
use ingester::Ingester;
use mesh::Directory;
use node::Node;
use objects::Store;
use querier::Querier;
use ruler::{Door, Ruler};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::Captured;
use tokio::net::TcpListener;
use tonic::body::Body;
use tower::ServiceExt;
use transport::v1::control_server::ControlServer;
use transport::v1::elections_server::ElectionsServer;
use transport::v1::ingest_server::IngestServer;
use transport::v1::read_server::ReadServer;
use transport::v1::rules_server::RulesServer;
use transport::{Link, link};

/// Serves until Ctrl-C or SIGTERM.
pub async fn serve(settings: Settings, node: Node, captured: Captured) -> anyhow::Result<()> {
    let start = Instant::now();
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {} (listen)", settings.listen))?;
    let at = listener.local_addr()?;
    let roles = Roles::open(&settings, &node).await?;
    let process = Process { roles: roles.clone(), settings: Arc::new(settings.clone()) };
    let app = roles.router().merge(status::router(process.clone()));
    if settings.observe.enabled {
        let observer = Observer { process, captured, push: app.clone(), interval: settings.observe.interval };
        node.spawn("observer", observer.run(node.stopping()));
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = %at, data = %settings.data.display(), "ready");
    banner(&settings, at, start.elapsed());
    let mut stopping = node.stopping();
    axum::serve(listener, app).with_graceful_shutdown(async move { stopping.wait().await }).await?;
    tracing::info!("stopping: requests are answered, tasks are ending");
    roles.ingester.shutdown().await;
    tracing::info!("stopped: everything that was acked is on disk");
    Ok(())
}

/// All services, joined.
#[derive(Clone)]
pub struct Roles {
    pub distributor: Arc<Distributor>,
    pub ingester: Ingester,
    pub querier: Querier,
    pub compactor: Compactor,
    pub ruler: Ruler,
    /// Where all shards are.
    directory: Directory,
}

impl Roles {
    async fn open(settings: &Settings, node: &Node) -> anyhow::Result<Roles> {
        std::fs::create_dir_all(&settings.data)
            .with_context(|| format!("cannot create the data folder {}", settings.data.display()))?;
        let overrides = settings.overrides().map_err(anyhow::Error::msg)?;
        let limits = node.limits(overrides, hidden::check);
        let store = Store::open(&settings.objects, &settings.data.join("objects"))?;
        let (shards, compute) = (settings.shards, node.compute().clone());
        let ingester =
            Ingester::open(&settings.data, &settings.ingester, shards, limits.clone(), store.clone(), node).await?;
        let directory = Directory::one(in_process(&ingester), ingester.control().table().borrow().clone());
        let leaders = Arc::new(Leaders::new(directory.clone()));
        let control = directory.control();
        let distributor = Distributor::new(settings.distributor.clone(), limits.clone(), leaders, control);
        let (distributor, mut stopping) = (Arc::new(distributor), node.stopping());
        node.spawn("elections", distributor.clone().follow(async move { stopping.wait().await }));
        let querier = Querier::new(directory.clone(), None, store.clone(), limits.clone(), &settings.querier, node);
        let compactor =
            Compactor::new(settings.compactor.clone(), directory.clone(), store.clone(), limits.clone(), compute);
        node.spawn("compactor", compactor.clone().run(node.stopping()));
        let routes = distributor::router(distributor.clone()).merge(querier::router(querier.clone()));
        let ruler = Ruler::open(&settings.ruler, Door::InProcess(routes), directory.control(), limits, node)?;
        Ok(Roles { distributor, ingester, querier, compactor, ruler, directory })
    }

    fn router(&self) -> Router {
        distributor::router(self.distributor.clone())
            .merge(querier::router(self.querier.clone()))
            .merge(ruler::router(self.ruler.clone()))
            .merge(ingester::router(self.directory.clone()))
            .merge(compactor::router(self.compactor.clone()))
    }
}

/// The link to an ingester in this process: its servers are the clients' transport.
fn in_process(ingester: &Ingester) -> Link {
    let ingest = IngestServer::new(ingester.clone()).max_decoding_message_size(link::MAX_MESSAGE);
    let routes = tonic::service::Routes::new(ingest)
        .add_service(ReadServer::new(ingester.clone()))
        .add_service(RulesServer::new(ingester.clone()).max_decoding_message_size(link::MAX_MESSAGE))
        .add_service(ElectionsServer::new(ingester.clone()).max_decoding_message_size(link::MAX_MESSAGE))
        .add_service(ControlServer::new(ingester.clone()).max_decoding_message_size(link::MAX_MESSAGE));
    let routes = routes.prepare();
    link::in_memory(tower::service_fn(move |request: http::Request<Body>| {
        let routes = routes.clone();
        async move { routes.oneshot(request).await.map(|response| response.map(Body::new)) }
    }))
}

fn banner(settings: &Settings, at: SocketAddr, took: Duration) {
    let version = env!("CARGO_PKG_VERSION");
    println!("ouro {version} is ready after {:.2} s, data in {}", took.as_secs_f64(), settings.data.display());
    println!("  push logs      http://{at}/loki/api/v1/push");
    println!("  push metrics   http://{at}/api/v1/push");
    println!("  in Grafana     Loki http://{at}, Prometheus http://{at}/prometheus");
    let address = if at.port() == 3100 { String::new() } else { format!(" --address http://{at}") };
    println!("  try            ouro query '{{service=\"ouro\"}}' --tenant ouro{address}");
}
