//! Telemetry of machines that have an OpenTelemetry SDK and no agent of ours: their system metrics, mapped to the four that are planned
//! with, and from there on like reports.

use super::front::Front;
use crate::wire::{DeviceMessage, Report, Sample, device_message::Body};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsService;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric::Data, number_data_point::Value};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tonic::{Request, Response, Status};

/// A link or a disk that moves this much a second counts as full, bytes.
const FULL_BYTES_PER_S: f64 = 125_000_000.0;
/// Points of one export that are looked at; an SDK sends a few hundred.
const POINTS_MAX: usize = 20_000;

/// [`MetricsService`] for the devices of a fleet.
#[derive(Debug, Clone)]
pub(super) struct Otlp {
    pub(super) front: Arc<Front>,
    /// By device: what its counters of bytes stood at last.
    pub(super) counters: Arc<Mutex<BTreeMap<String, Counters>>>,
}

/// Sum of a device's counters of bytes, and when it was read, ns since the Unix epoch.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters(BTreeMap<&'static str, (f64, u64)>);

impl Counters {
    /// Use of what is counted in bytes since the last time, percent of a full link; `None` the first time and after a restart.
    fn rate(&mut self, name: &'static str, bytes: f64, at_ns: u64) -> Option<f64> {
        let (before, then) = self.0.insert(name, (bytes, at_ns))?;
        let seconds = at_ns.checked_sub(then).filter(|ns| *ns > 0)? as f64 / 1e9;
        let per_s = (bytes - before) / seconds;
        (per_s >= 0.0).then(|| (per_s / FULL_BYTES_PER_S * 100.0).min(100.0))
    }
}

fn points(metric: &Metric) -> &[NumberDataPoint] {
    match &metric.data {
        Some(Data::Gauge(gauge)) => &gauge.data_points,
        Some(Data::Sum(sum)) => &sum.data_points,
        _ => &[],
    }
}

fn number(point: &NumberDataPoint) -> Option<f64> {
    match point.value {
        Some(Value::AsDouble(value)) => Some(value),
        Some(Value::AsInt(value)) => Some(value as f64),
        None => None,
    }
    .filter(|value| value.is_finite())
}

fn attribute<'a>(attributes: &'a [KeyValue], names: &[&str]) -> Option<&'a str> {
    let found = attributes.iter().find(|one| names.contains(&one.key.as_str()))?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Sum of the values with a state, and of all values.
#[derive(Debug, Default, Clone, Copy)]
struct Share {
    of: f64,
    all: f64,
    count: f64,
}

impl Share {
    fn add(&mut self, metric: &Metric, is_of: impl Fn(&str) -> bool) {
        for point in points(metric) {
            let Some(value) = number(point) else { continue };
            self.all += value;
            self.count += 1.0;
            if attribute(&point.attributes, &["state", "system.cpu.state", "cpu.mode", "system.memory.state"])
                .is_some_and(&is_of)
            {
                self.of += value;
            }
        }
    }
}

/// Reads what is known of an export into a report.
fn report(request: &ExportMetricsServiceRequest, counters: &mut Counters) -> Report {
    let (mut cpu, mut memory, mut used, mut limit) = (Share::default(), Share::default(), None, None);
    let mut bytes: BTreeMap<&'static str, (f64, u64)> = BTreeMap::new();
    let metrics = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|scope| &scope.metrics);
    for metric in metrics {
        match metric.name.as_str() {
            "system.cpu.utilization" => cpu.add(metric, |state| state == "idle"),
            "system.memory.utilization" => memory.add(metric, |state| state == "used"),
            "system.memory.usage" => {
                let mut usage = Share::default();
                usage.add(metric, |state| state == "used");
                used = Some(usage);
            }
            "system.memory.limit" => limit = points(metric).iter().find_map(number),
            "system.network.io" | "system.disk.io" => {
                let name = if metric.name == "system.network.io" { "network" } else { "disk" };
                let sum = bytes.entry(name).or_default();
                for point in points(metric) {
                    sum.0 += number(point).unwrap_or(0.0);
                    sum.1 = sum.1.max(point.time_unix_nano);
                }
            }
            _ => {}
        }
    }
    let mut samples = Vec::new();
    let mut say = |metric: &str, percent: f64| {
        samples.push(Sample { metric: metric.to_owned(), percent: percent.clamp(0.0, 100.0) as f32 });
    };
    // Over all processors and states the shares add up to the number of processors.
    if cpu.all > 0.0 {
        say("cpu", (1.0 - cpu.of / cpu.all) * 100.0);
    }
    if memory.of > 0.0 {
        say("memory", memory.of * 100.0);
    } else if let Some(usage) = used.filter(|usage| usage.all > 0.0) {
        say("memory", usage.of / limit.filter(|limit| *limit > 0.0).unwrap_or(usage.all) * 100.0);
    }
    for (name, (sum, at_ns)) in bytes {
        if let Some(percent) = counters.rate(name, sum, at_ns) {
            say(name, percent);
        }
    }
    Report { samples }
}

#[tonic::async_trait]
impl MetricsService for Otlp {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let device = Arc::clone(self.front.device(&request)?);
        // No agent tells what it runs: the fleet file does.
        self.front.introduce(&device, None).await?;
        let request = request.into_inner();
        let metrics = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|scope| &scope.metrics);
        if metrics.map(|metric| points(metric).len()).sum::<usize>() > POINTS_MAX {
            self.front.metrics.refused("oversize");
            return Err(Status::invalid_argument(format!("an export has at most {POINTS_MAX} points")));
        }
        let report = {
            let mut counters = super::registry::lock(&self.counters);
            report(&request, counters.entry(device.name().to_owned()).or_default())
        };
        if report.samples.is_empty() {
            let error_message = "none of system.cpu.utilization, system.memory.utilization, system.memory.usage, system.network.io, system.disk.io is in it";
            let partial_success =
                Some(ExportMetricsPartialSuccess { rejected_data_points: 0, error_message: error_message.to_owned() });
            return Ok(Response::new(ExportMetricsServiceResponse { partial_success }));
        }
        let at_ms = self.front.clock.now().as_millis();
        device.heard(at_ms);
        let message = DeviceMessage { sequence: 0, previous: None, at_ms, body: Some(Body::Report(report)) };
        let (done, stored) = tokio::sync::oneshot::channel();
        self.front.store(&device, message, Some(done)).await?;
        stored.await.map_err(|_| Status::unavailable("not stored: send it again"))?;
        Ok(Response::new(ExportMetricsServiceResponse { partial_success: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, ResourceMetrics, ScopeMetrics};

    fn metric(name: &str, values: &[(&str, f64)], at_ns: u64) -> Metric {
        let point = |(state, value): &(&str, f64)| NumberDataPoint {
            attributes: vec![KeyValue {
                key: "state".to_owned(),
                value: Some(AnyValue { value: Some(any_value::Value::StringValue((*state).to_owned())) }),
                ..KeyValue::default()
            }],
            time_unix_nano: at_ns,
            value: Some(Value::AsDouble(*value)),
            ..NumberDataPoint::default()
        };
        let data_points = values.iter().map(point).collect();
        Metric { name: name.to_owned(), data: Some(Data::Gauge(Gauge { data_points })), ..Metric::default() }
    }

    fn export(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
        }
    }

    #[test]
    fn system_metrics_become_percent() {
        let mut counters = Counters::default();
        // Two processors: 0.5 and 0.7 idle.
        let cpu = [("idle", 0.5), ("user", 0.5), ("idle", 0.7), ("user", 0.3)];
        let first = report(
            &export(vec![
                metric("system.cpu.utilization", &cpu, 0),
                metric("system.memory.usage", &[("used", 3e9), ("free", 1e9)], 0),
                metric("system.network.io", &[("x", 0.0)], 0),
            ]),
            &mut counters,
        );
        let value = |report: &Report, name: &str| report.samples.iter().find(|s| s.metric == name).map(|s| s.percent);
        assert_eq!(value(&first, "cpu"), Some(40.0));
        assert_eq!(value(&first, "memory"), Some(75.0));
        assert_eq!(value(&first, "network"), None);
        // Half of a full link for two seconds.
        let second = report(
            &export(vec![metric("system.network.io", &[("x", FULL_BYTES_PER_S)], 2_000_000_000)]),
            &mut counters,
        );
        assert_eq!(value(&second, "network"), Some(50.0));
    }
}
