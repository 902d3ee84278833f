//! One page of metrics, gathered anew for each scrape and written in its order.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

type Labels = Vec<(&'static str, String)>;

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// What Prometheus has always read.
    Plain,
}

impl Format {
    /// The one that an `Accept` header asks for.
    pub(crate) fn accepted(accept: &str) -> Format {
        let asked = accept.contains("application/openmetrics-text");
        if asked { Format::OpenMetrics } else { Format::Plain }
    }

    /// Its media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Page {
    metrics: Vec<Metric>,
    unit: Option<Unit>,
}

#[derive(Debug)]
struct Metric {
    /// Without the unit and without `_total`.
    name: String,
    help: &'static str,
    unit: Option<Unit>,
    series: Series,
}

/// The series of one metric, all of them of one kind.
#[derive(Debug, Default)]
pub(super) struct Series {
    gauges: Vec<(Labels, f64)>,
    counters: Vec<(Labels, f64)>,
}

impl Series {
    /// A value that may fall; nothing when there is none, or none that can be written.
    pub(super) fn gauge(&mut self, labels: Labels, value: Option<f64>) {
        self.gauges.extend(value.filter(|value| value.is_finite()).map(|value| (labels, value)));
    }

    /// A value that only rises, but for a restart.
    pub(super) fn counter(&mut self, labels: Labels, value: f64) {
        self.counters.push((labels, value));
    }
}

impl Page {
    /// The next metric has this unit, which its name ends in.
    pub(super) fn with_unit(&mut self, unit: Unit) -> &mut Page {
        self.unit = Some(unit);
        self
    }

    /// A metric with labels. Without a series it is left out.
    pub(super) fn family(
        &mut self,
        name: &str,
        help: &'static str,
        fill: impl FnOnce(&mut Series),
    ) {
        let unit = self.unit.take();
        let mut series = Series::default();
        fill(&mut series);
        if series.gauges.is_empty() && series.counters.is_empty() {
            return;
        }
        let suffix = unit.as_ref().map_or_else(String::new, |unit| format!("_{}", unit.as_str()));
        let name = name.strip_suffix(&suffix).unwrap_or(name).to_owned();
        self.metrics.push(Metric { name, help, unit, series });
    }

    /// One value that may fall.
    pub(super) fn gauge(&mut self, name: &str, help: &'static str, value: f64) {
        self.maybe(name, help, Some(value));
    }

    /// The same, or nothing.
    pub(super) fn maybe(&mut self, name: &str, help: &'static str, value: Option<f64>) {
        self.family(name, help, |series| series.gauge(Labels::new(), value));
    }

    /// One value that only rises. `_total` is added to its name.
    pub(super) fn counter(&mut self, name: &str, help: &'static str, value: f64) {
        self.family(name, help, |series| series.counter(Labels::new(), value));
    }

    /// One series for each state there is, 1 for the present one.
    pub(super) fn states(
        &mut self,
        name: &str,
        help: &'static str,
        label: &'static str,
        states: &[&str],
        present: &str,
    ) {
        self.family(name, help, |series| {
            for state in states {
                let value = f64::from(u8::from(*state == present));
                series.gauge(vec![(label, (*state).to_owned())], Some(value));
            }
        });
    }

    /// All of it.
    pub(super) fn text(self, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        let done = match format {
            Format::OpenMetrics => text::encode(&mut written, &registry),
            Format::Plain => prometheus_text::encode(&mut written, &registry),
        };
        // Writing to a string cannot fail.
        done.map_or_else(|fmt::Error| String::new(), |()| written)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Metric { name, help, unit, series } in &self.metrics {
            let kind = match series.counters.is_empty() {
                true => MetricType::Gauge,
                false => MetricType::Counter,
            };
            let help = format!("{help}.");
            let mut metric = encoder.encode_descriptor(name, &help, unit.as_ref(), kind)?;
            for (labels, value) in &series.gauges {
                match labels.is_empty() {
                    true => metric.encode_gauge(value)?,
                    false => ConstGauge::new(*value).encode(metric.encode_family(labels)?)?,
                }
            }
            for (labels, value) in &series.counters {
                let counter = ConstCounter::new(*value);
                match labels.is_empty() {
                    true => metric.encode_counter::<Labels, f64, f64>(value, None)?,
                    false => counter.encode(metric.encode_family(labels)?)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::default();
        page.gauge("a", "What it is", 1.5);
        page.with_unit(Unit::Seconds).counter("b_seconds", "How long", 2.0);
        page.family("c", "By name", |series| {
            series.gauge(vec![("name", "quo\"te\\\n".to_owned())], Some(3.0));
            series.gauge(vec![("name", "unknown".to_owned())], None);
        });
        page.family("d", "Nothing", |_| ());
        page
    }

    #[test]
    fn both_formats_have_types_help_units_and_totals() {
        let expected = "\
# HELP a What it is.
# TYPE a gauge
a 1.5
# HELP b_seconds How long.
# TYPE b_seconds counter
# UNIT b_seconds seconds
b_seconds_total 2.0
# HELP c By name.
# TYPE c gauge
c{name=\"quo\\\"te\\\\\\n\"} 3.0
# EOF
";
        assert_eq!(page().text(Format::OpenMetrics), expected);
        let plain = page().text(Format::Plain);
        assert!(plain.contains("b_seconds_total 2.0\n"), "{plain}");
        assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"), "{plain}");
    }
}
