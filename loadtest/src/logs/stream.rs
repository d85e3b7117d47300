//! The streams of a tenant and their labels.

use super::words::{Framework, SERVICES, Service};
use crate::seed::Rng;
use std::collections::BTreeMap;

/// One label set and what its rows look like.
#[derive(Debug, PartialEq)]
pub struct Stream {
    pub labels: BTreeMap<String, String>,
    pub content: Content,
    pub service: &'static Service,
    text: String,
}

/// What a stream's rows look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content {
    /// Traefik's access log of requests with a status of this class (2 for 2xx).
    Access {
        class: u64,
    },
    App(Framework),
}

/// The node whose agent a lane is.
pub fn node(lane: u32) -> String {
    format!("node-{lane:02}")
}

impl Stream {
    pub fn new(seed: u64, lane: u32, number: u32) -> Stream {
        let mut rng = Rng::new(&[seed, 1, number.into()]);
        // Two streams in five are access logs; loud services have more streams than quiet ones.
        let service = &SERVICES[rng.skewed(SERVICES.len())];
        let access = rng.below(5) < 2;
        let class = *[2, 2, 3, 4, 5].get(rng.below(5) as usize).unwrap_or(&2);
        let content = if access { Content::Access { class } } else { Content::App(service.framework) };
        let app = if access { "traefik" } else { service.name };
        let pod = format!("{app}-{}-{}", rng.suffix(10), rng.suffix(5));
        let mut labels = BTreeMap::new();
        let mut set = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
        set("app", app);
        set("cluster", service.cluster);
        set("container", app);
        set("filename", &format!("/var/log/pods/{}_{pod}_{number:08x}/{app}/0.log", service.namespace));
        set("job", &format!("{}/{app}", service.namespace));
        set("namespace", service.namespace);
        set("node", &node(lane));
        set("pod", &pod);
        set("service_name", service.name);
        set("stream", if access { "stdout" } else { "stderr" });
        if access {
            set("entrypoint", "websecure");
            set("request_host", service.host);
            set("status_class", &format!("{class}xx"));
        }
        let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let text = format!("{{{}}}", pairs.join(", "));
        Stream { labels, content, service, text }
    }

    /// The labels as a push says them: `{a="b", c="d"}`.
    pub fn text(&self) -> &str {
        &self.text
    }
}
