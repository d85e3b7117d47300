//! The way to other members: connections that are made when they are first used, kept, and made again when they break.

use hyper_util::rt::TokioIo;
use identity::{Connector, Expect};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use transport::{Link, link};

const CONNECT: Duration = Duration::from_secs(3);
/// A link that nobody asked for since is dropped; whoever still holds it may go on.
const UNUSED: Duration = Duration::from_secs(600);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Links {
    make: Arc<dyn Fn(To) -> Link + Send + Sync>,
    made: Arc<Mutex<HashMap<To, Made>>>,
}

/// Whom a link is to. Another address or another name is another link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct To {
    /// `host:port`.
    pub address: String,
    /// Who must be there.
    pub expect: Expect,
}

struct Made {
    link: Link,
    used: Instant,
}

impl Links {
    pub fn new(connector: Connector) -> Links {
        Links::by(move |to| connect(connector.clone(), to))
    }

    /// Links that are made like this.
    pub fn by(make: impl Fn(To) -> Link + Send + Sync + 'static) -> Links {
        Links { make: Arc::new(make), made: Arc::default() }
    }

    pub fn to(&self, to: &To) -> Link {
        let now = Instant::now();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = made.get_mut(to) {
            found.used = now;
            return found.link.clone();
        }
        made.retain(|_, made| now - made.used < UNUSED);
        let link = (self.make)(to.clone());
        made.insert(to.clone(), Made { link: link.clone(), used: now });
        link
    }
}

fn connect(connector: Connector, to: To) -> Link {
    link::over(tower::service_fn(move |_: http::Uri| {
        let (connector, to) = (connector.clone(), to.clone());
        async move {
            let stream = timeout(CONNECT, TcpStream::connect(&to.address)).await;
            let stream = stream.map_err(|_| late(&to.address))??;
            stream.set_nodelay(true)?;
            let (stream, _) = connector.connect(stream, to.expect).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    }))
}

fn late(address: &str) -> io::Error {
    let text = format!("{address} did not take the connection within {CONNECT:?}");
    io::Error::new(io::ErrorKind::TimedOut, text)
}
