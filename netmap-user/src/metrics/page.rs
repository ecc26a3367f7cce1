//! Values as text: `OpenMetrics` 1.0, and the older text format of Prometheus for who asks for that.

use std::{borrow::Cow, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{self, DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::catalogue::{self, Metric, Type};

/// What a client can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `OpenMetrics` 1.0, unless it asks for another.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Classic,
}

impl Format {
    /// What to answer to a header `Accept`.
    pub(super) fn wanted_by(accept: &str) -> Self {
        if accept.contains("text/plain") && !accept.contains("application/openmetrics-text") {
            Self::Classic
        } else {
            Self::OpenMetrics
        }
    }

    /// The header `Content-Type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A label's value.
pub(super) type Label = Cow<'static, str>;

/// One number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// What is served at one time.
#[derive(Debug)]
pub(super) struct Page(Vec<Samples>);

#[derive(Debug)]
struct Samples {
    metric: &'static Metric,
    list: Vec<(Vec<(&'static str, Label)>, Value)>,
}

impl Page {
    /// Every metric, none with a value.
    pub(super) fn new() -> Self {
        let samples = |metric| Samples {
            metric,
            list: Vec::new(),
        };
        Self(catalogue::ALL.iter().map(samples).collect())
    }

    /// A value of a metric without labels.
    pub(super) fn set(&mut self, metric: &Metric, value: impl Into<Value>) {
        self.add::<0>(metric, [], value);
    }

    /// A value, with those of the metric's labels in their order.
    pub(super) fn add<const N: usize>(
        &mut self,
        metric: &Metric,
        labels: [Label; N],
        value: impl Into<Value>,
    ) {
        debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
        let mut samples = self.0.iter_mut();
        if let Some(samples) = samples.find(|samples| samples.metric.name == metric.name) {
            let labels = metric.labels.iter().copied().zip(labels).collect();
            samples.list.push((labels, value.into()));
        }
    }

    /// The page as `OpenMetrics` text.
    ///
    /// # Errors
    ///
    /// None that strings have.
    pub(super) fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::with_capacity(1 << 17);
        encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Samples { metric, list } in &self.0 {
            let unit = metric.unit.map(|unit| Unit::Other(unit.to_owned()));
            // The encoder puts the unit behind the name.
            let name = metric
                .unit
                .and_then(|unit| metric.name.strip_suffix(unit)?.strip_suffix('_'))
                .unwrap_or(metric.name);
            let kind = match metric.kind {
                Type::Counter => MetricType::Counter,
                Type::Gauge => MetricType::Gauge,
                Type::Info => MetricType::Info,
            };
            let mut family = encoder.encode_descriptor(name, metric.help, unit.as_ref(), kind)?;
            for (labels, value) in list {
                if metric.kind == Type::Info {
                    family.encode_info(labels)?;
                } else if labels.is_empty() {
                    encode(&mut family, metric.kind, *value)?;
                } else {
                    encode(&mut family.encode_family(labels)?, metric.kind, *value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, kind: Type, value: Value) -> fmt::Result {
    match (kind, value) {
        (Type::Counter, Value::Whole(value)) => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (Type::Counter, Value::Real(value)) => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (_, Value::Whole(value)) => encoder.encode_gauge(&value),
        (_, Value::Real(value)) => encoder.encode_gauge(&value),
    }
}

/// The same in the older format: a counter and an info have their samples' name in every line, and there are no units.
pub(super) fn classic(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            if let Some((_, help)) = help.take() {
                out.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalogue::{BUILD, CPU, FLOWS, PACKET_BYTES};

    fn page() -> String {
        let mut page = Page::new();
        page.add(&BUILD, ["1.2.3".into(), "v5".into()], 1_u64);
        page.add(
            &PACKET_BYTES,
            ["uplink-in".into(), "dropped".into(), "a\"b\\c\nd".into()],
            u64::MAX,
        );
        page.set(&CPU, 0.25);
        page.text().unwrap()
    }

    fn about(text: &str, name: &str) -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains(name));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn units_types_and_whatever_a_label_holds_are_written_as_openmetrics_wants_them() {
        let text = page();
        assert_eq!(
            about(&text, "netmap_packet_bytes"),
            [
                "# HELP netmap_packet_bytes Their bytes from the IP header on.",
                "# TYPE netmap_packet_bytes counter",
                "# UNIT netmap_packet_bytes bytes",
                r#"netmap_packet_bytes_total{hook="uplink-in",class="dropped",reason="a\"b\\c\nd"} 18446744073709551615"#,
            ]
        );
        assert_eq!(
            about(&text, "netmap_build").last().unwrap(),
            r#"netmap_build_info{version="1.2.3",layout="v5"} 1"#
        );
        assert_eq!(
            about(&text, "process_cpu").last().unwrap(),
            "process_cpu_seconds_total 0.25"
        );
        assert!(text.ends_with("\n# EOF\n"));
        // One without a value is there all the same.
        assert_eq!(
            about(&text, FLOWS.name).first().unwrap(),
            &format!("# HELP netmap_flows {}", FLOWS.help)
        );
    }

    #[test]
    fn the_older_format_knows_neither_units_nor_infos() {
        let text = classic(&page());
        assert_eq!(
            about(&text, "netmap_packet_bytes"),
            [
                "# HELP netmap_packet_bytes_total Their bytes from the IP header on.",
                "# TYPE netmap_packet_bytes_total counter",
                r#"netmap_packet_bytes_total{hook="uplink-in",class="dropped",reason="a\"b\\c\nd"} 18446744073709551615"#,
            ]
        );
        assert_eq!(
            about(&text, "# TYPE netmap_build"),
            ["# TYPE netmap_build_info gauge"]
        );
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
    }

    #[test]
    fn a_client_gets_what_it_asks_for() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::wanted_by(prometheus), Format::OpenMetrics);
        assert_eq!(Format::wanted_by("*/*"), Format::OpenMetrics);
        assert_eq!(Format::wanted_by(""), Format::OpenMetrics);
        assert_eq!(Format::wanted_by("text/plain"), Format::Classic);
    }
}
