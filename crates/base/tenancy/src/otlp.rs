//! How a tenant's OTLP is translated, and what is found out about its log lines.

use serde::{Deserialize, Serialize};

/// What becomes of attributes and names that OpenTelemetry has and the stores do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpSettings {
    /// `limits.otlp.index_attributes`: resource attributes of logs that become labels of their stream; all others
    /// become structured metadata.
    pub index_attributes: Vec<String>,
    /// `limits.otlp.index_log_attributes`: attributes of log records (and `severity_text`) that become labels.
    pub index_log_attributes: Vec<String>,
    /// `limits.otlp.drop_attributes`: attributes of resources, scopes and log records that are not stored: names, or
    /// beginnings of names with a `*` at the end.
    pub drop_attributes: Vec<String>,
    /// `limits.otlp.naming`: how names of metrics and labels are made.
    pub naming: Naming,
    /// `limits.otlp.promote_resource_attributes`: resource attributes that become labels of every series.
    pub promote_resource_attributes: Vec<String>,
    /// `limits.otlp.promote_all_resource_attributes`: whether all of them do.
    pub promote_all_resource_attributes: bool,
    /// `limits.otlp.keep_identifying_attributes`: whether `target_info` has `service.name`, `service.namespace` and
    /// `service.instance.id` although `job` and `instance` say them.
    pub keep_identifying_attributes: bool,
    /// `limits.otlp.promote_scope_metadata`: whether series have the name, version, schema and attributes of their
    /// scope as `otel_scope_…` labels.
    pub promote_scope_metadata: bool,
    /// `limits.otlp.delta`: what becomes of sums and histograms with delta temporality.
    pub delta: Delta,
}

/// How OpenTelemetry's names become Prometheus's; the words are those of Prometheus's `translation_strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Naming {
    /// `http.server.duration` in `s` becomes `http_server_duration_seconds`.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// `http_server_duration`
    UnderscoreEscapingWithoutSuffixes,
    /// `http.server.duration_seconds`
    NoUTF8EscapingWithSuffixes,
    /// `http.server.duration`
    NoTranslation,
}

/// What becomes of points that tell only what was added since the point before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delta {
    /// They are left out, which the answer says.
    #[default]
    Refuse,
    /// They are stored as they are, of the type `unknown`: `sum_over_time` adds them up, `rate` and `increase` are for
    /// counters.
    Keep,
}

impl Naming {
    /// Whether units and types are told at the end of a metric's name.
    pub fn suffixes(self) -> bool {
        matches!(self, Naming::UnderscoreEscapingWithSuffixes | Naming::NoUTF8EscapingWithSuffixes)
    }

    /// Whether characters that Prometheus's classic names cannot have become underscores.
    pub fn escapes(self) -> bool {
        matches!(self, Naming::UnderscoreEscapingWithSuffixes | Naming::UnderscoreEscapingWithoutSuffixes)
    }
}

impl Default for OtlpSettings {
    fn default() -> OtlpSettings {
        // As Loki's documentation lists them.
        let index = [
            "service.name",
            "service.namespace",
            "service.instance.id",
            "deployment.environment",
            "deployment.environment.name",
            "cloud.region",
            "cloud.availability_zone",
            "k8s.cluster.name",
            "k8s.namespace.name",
            "k8s.pod.name",
            "k8s.container.name",
            "container.name",
            "k8s.replicaset.name",
            "k8s.deployment.name",
            "k8s.statefulset.name",
            "k8s.daemonset.name",
            "k8s.cronjob.name",
            "k8s.job.name",
        ];
        OtlpSettings {
            index_attributes: index.map(str::to_owned).into(),
            index_log_attributes: Vec::new(),
            drop_attributes: Vec::new(),
            naming: Naming::default(),
            promote_resource_attributes: Vec::new(),
            promote_all_resource_attributes: false,
            keep_identifying_attributes: false,
            promote_scope_metadata: false,
            delta: Delta::default(),
        }
    }
}

/// What is found out about log lines when they arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoverySettings {
    /// `limits.discover.pushes`: whether lines of Loki's push API get their levels when they come, too, and not when a query
    /// looks at them. It costs that bodies are read line by line and written again instead of being kept as they came.
    pub pushes: bool,
    /// `limits.discover.cri`: whether lines of Loki's push API and plain lines that a container runtime wrote
    /// (`2026-11-30T22:31:58Z stdout F message`) are taken apart: their time becomes the entry's, `stdout` or `stderr` the
    /// label `stream` (metadata where the stream has one already or no label is left), and parts of a message (`P`) that
    /// come in one push are joined up to `limits.max_line_size`. Bodies with such lines are written again.
    pub cri: bool,
    /// `limits.discover.service_name`: the labels of which the first that a stream has is its `service_name`, if it
    /// has none; `unknown_service` where it has none of them. An empty list turns it off. A stream that is known keeps its
    /// name until it is idle.
    pub service_name: Vec<String>,
    /// `limits.discover.levels`: whether lines have their level as the structured metadata `detected_level`. Lines of OTLP
    /// and plain lines get it when they come, those of Loki's push API when a query looks at it, unless `pushes` is set.
    pub levels: bool,
    /// `limits.discover.level_fields`: the labels, metadata, JSON fields and logfmt keys that may name a level.
    pub level_fields: Vec<String>,
}

impl Default for DiscoverySettings {
    fn default() -> DiscoverySettings {
        // Both lists as Loki's documentation has them.
        let services = [
            "service",
            "app",
            "application",
            "name",
            "app_kubernetes_io_name",
            "container",
            "container_name",
            "k8s_container_name",
            "component",
            "workload",
            "job",
            "k8s_job_name",
        ];
        let levels =
            ["level", "LEVEL", "Level", "severity", "SEVERITY", "Severity", "severity_text", "lvl", "LVL", "Lvl"];
        DiscoverySettings {
            pushes: false,
            cri: false,
            service_name: services.map(str::to_owned).into(),
            levels: true,
            level_fields: levels.map(str::to_owned).into(),
        }
    }
}
