//! Scrape targets and the series that they expose.

use super::series::{BOUNDS, Kind};
use crate::seed::{Rng, hash, unit};

/// Something that is scraped: its series have these two labels.
pub struct Target {
    pub instance: String,
    pub job: &'static str,
    pub series: Vec<Series>,
    /// Where in `series` each pod begins, for pods that may be replaced.
    pub first_of_pod: Vec<usize>,
    lane: u32,
}

/// One series, or with churn a row of series that follow one another.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub name: &'static str,
    pub kind: Kind,
    /// Decides its values. The series of one histogram share it, so that their values agree.
    pub key: u64,
    /// The pod that it is about, if that may be replaced.
    pub pod: Option<Pod>,
    /// Labels beside the target's and the pod's.
    own: Vec<(&'static str, String)>,
}

/// A place for a pod on a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pod {
    slot: u32,
    /// When it is due to be replaced: 0 has just begun, 1 would be due.
    pub phase: f64,
}

const NAMESPACES: [&str; 8] =
    ["warehouse", "simple-index", "conveyor", "pythondotorg", "docs", "mailman", "pycon", "buildbot"];

const COUNTERS: [&str; 4] = [
    "container_cpu_usage_seconds_total",
    "container_cpu_user_seconds_total",
    "container_cpu_system_seconds_total",
    "container_cpu_cfs_throttled_seconds_total",
];
const COUNTS: [&str; 12] = [
    "container_cpu_cfs_periods_total",
    "container_cpu_cfs_throttled_periods_total",
    "container_network_receive_bytes_total",
    "container_network_transmit_bytes_total",
    "container_network_receive_packets_total",
    "container_network_transmit_packets_total",
    "container_fs_reads_bytes_total",
    "container_fs_writes_bytes_total",
    "container_fs_reads_total",
    "container_fs_writes_total",
    "container_memory_failcnt",
    "container_oom_events_total",
];
const BYTES: [&str; 5] = [
    "container_memory_working_set_bytes",
    "container_memory_rss",
    "container_memory_usage_bytes",
    "container_memory_cache",
    "container_memory_mapped_file",
];
const GAUGES: [&str; 4] =
    ["container_processes", "container_threads", "container_file_descriptors", "container_sockets"];
const CONSTANTS: [&str; 7] = [
    "container_spec_memory_limit_bytes",
    "container_spec_cpu_quota",
    "container_spec_cpu_period",
    "container_spec_cpu_shares",
    "container_start_time_seconds",
    "container_fs_limit_bytes",
    "container_memory_swap",
];

impl Target {
    /// A target with exactly `size` series: of five, three are nodes and two are Traefiks.
    pub fn new(seed: u64, lane: u32, size: u32) -> Target {
        let traefik = lane % 5 >= 3;
        let instance = match traefik {
            true => format!("10.244.{}.{}:9100", lane / 250, lane % 250),
            false => format!("node-{lane:02}:10250"),
        };
        let job = if traefik { "traefik" } else { "kubelet-cadvisor" };
        let mut target = Target { instance, job, series: Vec::new(), first_of_pod: Vec::new(), lane };
        let mut group = 0;
        while target.series.len() < size as usize {
            let mut rng = Rng::new(&[seed, 4, lane.into(), group.into()]);
            if traefik {
                target.service(&mut rng, group)
            } else {
                target.pod(&mut rng, group)
            }
            group += 1;
        }
        target.series.truncate(size as usize);
        target
    }

    /// A series' labels, sorted by name, with a pod of this generation.
    pub fn labels(&self, seed: u64, series: &Series, generation: u32) -> Vec<(String, String)> {
        let mut labels: Vec<(String, String)> = vec![
            ("__name__".into(), series.name.into()),
            ("instance".into(), self.instance.clone()),
            ("job".into(), self.job.into()),
        ];
        labels.extend(series.own.iter().map(|(name, value)| ((*name).into(), value.clone())));
        if let Some(pod) = series.pod {
            let namespace = NAMESPACES[(hash(&[seed, 5, pod.slot.into()]) % 8) as usize];
            let set = hash(&[seed, 6, self.lane.into(), pod.slot.into()]);
            let mut rng = Rng::new(&[set, generation.into()]);
            let uid = rng.hex(32);
            labels.push(("cluster".into(), if pod.slot.is_multiple_of(2) { "pypi" } else { "psf" }.into()));
            labels.push(("container".into(), "web".into()));
            labels.push(("id".into(), format!("/kubepods/burstable/pod{uid}/{}", rng.hex(64))));
            labels.push(("image".into(), format!("registry.test/{namespace}/web:release-{}", 400 + generation)));
            labels.push(("namespace".into(), namespace.into()));
            labels.push(("node".into(), format!("node-{:02}", self.lane)));
            labels.push(("pod".into(), format!("{namespace}-web-{}-{}", Rng::new(&[set]).suffix(9), rng.suffix(5))));
        }
        labels.sort();
        labels
    }

    /// A container as cAdvisor sees it.
    fn pod(&mut self, rng: &mut Rng, slot: u32) {
        self.first_of_pod.push(self.series.len());
        let pod = Some(Pod { slot, phase: unit(rng.draw()) });
        let mut add = |name, kind, key| self.series.push(Series { name, kind, key, pod, own: Vec::new() });
        for name in COUNTERS {
            add(name, Kind::Counter { rate: 4.0 * rng.unit() * rng.unit() }, rng.draw());
        }
        for name in COUNTS {
            let rate = if rng.below(4) == 0 { 0.0 } else { 1.0 + (rng.skewed(400) * rng.skewed(400)) as f64 };
            add(name, Kind::Count { rate }, rng.draw());
        }
        for name in BYTES {
            add(name, Kind::Gauge { mean: 4096.0 * (1 + rng.below(1 << 17)) as f64, unit: 4096.0 }, rng.draw());
        }
        for name in GAUGES {
            add(name, Kind::Gauge { mean: (2 + rng.below(60)) as f64, unit: 1.0 }, rng.draw());
        }
        for name in CONSTANTS {
            let value = [0.0, 0.0, 100_000.0, 536_870_912.0, 1024.0, 1_763_700_000.0][rng.below(6) as usize];
            add(name, Kind::Constant { value }, rng.draw());
        }
    }

    /// The requests to one service with one method and code, as Traefik counts them.
    fn service(&mut self, rng: &mut Rng, group: u32) {
        let code = ["200", "302", "404", "500", "503"][group as usize % 5];
        let method = ["GET", "POST", "PUT", "HEAD"][group as usize / 5 % 4];
        let namespace = NAMESPACES[group as usize / 20 % 8];
        let service = format!("{namespace}-web{}-8000@kubernetes", group / 160);
        let (rate, mean) = (if code == "200" { 400.0 } else { 9.0 } * rng.unit(), 0.02 + 0.1 * rng.unit());
        let key = rng.draw();
        let mut add = |name, kind, bound: Option<&str>| {
            let mut own = vec![
                ("cluster", if group / 20 % 8 < 3 { "pypi" } else { "psf" }.to_owned()),
                ("code", code.to_owned()),
                ("method", method.to_owned()),
                ("protocol", "http".to_owned()),
                ("service", service.clone()),
            ];
            own.extend(bound.map(|bound| ("le", bound.to_owned())));
            self.series.push(Series { name, kind, key, pod: None, own });
        };
        for (bound, text) in BOUNDS.iter().enumerate() {
            add("traefik_service_request_duration_seconds_bucket", Kind::Bucket { rate, bound }, Some(text));
        }
        let all = Kind::Bucket { rate, bound: BOUNDS.len() - 1 };
        add("traefik_service_request_duration_seconds_count", all, None);
        add("traefik_service_request_duration_seconds_sum", Kind::Sum { rate, mean }, None);
        add("traefik_service_requests_total", Kind::Count { rate }, None);
    }
}

impl Series {
    pub fn value(&self, key: u64, age: u64) -> f64 {
        self.kind.value(key, age)
    }

    pub fn help(&self) -> &'static str {
        match self.kind {
            Kind::Counter { .. } | Kind::Sum { .. } => "Seconds since the start.",
            Kind::Count { .. } => "How often it has happened since the start.",
            Kind::Gauge { .. } => "How much or how many there are now.",
            Kind::Constant { .. } => "A limit or a setting.",
            Kind::Bucket { .. } => "How long it took to answer a request, in seconds.",
        }
    }
}
