//! Ouro's own instruments. Parts keep plain atomics and write them here when asked, so counting costs one addition
//! and nothing is registered anywhere.

use std::fmt::Write;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// One value of one instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct Meter {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

/// All values at one moment.
#[derive(Debug, Default)]
pub struct Exposition {
    meters: Vec<Meter>,
}

impl Exposition {
    /// `name` ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.put(Kind::Counter, name, help, labels, value as f64);
    }

    pub fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: f64) {
        self.put(Kind::Gauge, name, help, labels, value);
    }

    fn put(&mut self, kind: Kind, name: &'static str, help: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.meters.push(Meter { name, help, kind, labels, value });
    }

    pub fn meters(&self) -> &[Meter] {
        &self.meters
    }

    /// The Prometheus text format, version 0.0.4: one family after the other.
    pub fn text(&self) -> String {
        let mut sorted: Vec<&Meter> = self.meters.iter().collect();
        sorted.sort_by_key(|meter| meter.name);
        let mut text = String::with_capacity(sorted.len() * 96);
        let mut family = "";
        for meter in sorted {
            if meter.name != family {
                family = meter.name;
                let kind = if meter.kind == Kind::Counter { "counter" } else { "gauge" };
                // Writing to a string cannot fail.
                let _ = write!(text, "# HELP {family} {}\n# TYPE {family} {kind}\n", meter.help);
            }
            text.push_str(meter.name);
            for (at, (name, value)) in meter.labels.iter().enumerate() {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(text, "{}{name}=\"{value}\"", if at == 0 { '{' } else { ',' });
            }
            let _ = writeln!(text, "{} {}", if meter.labels.is_empty() { "" } else { "}" }, meter.value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut out = Exposition::default();
        out.counter("b_total", "Bees.", &[("kind", "a\"b")], 3);
        out.gauge("a", "Ants.", &[], 1.5);
        out.counter("b_total", "Bees.", &[("kind", "c"), ("x", "y")], 4);
        let want = "# HELP a Ants.\n# TYPE a gauge\na 1.5\n# HELP b_total Bees.\n# TYPE b_total counter\n\
                    b_total{kind=\"a\\\"b\"} 3\nb_total{kind=\"c\",x=\"y\"} 4\n";
        assert_eq!(out.text(), want);
    }
}
