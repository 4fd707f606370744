"""Exports the system metrics of this machine until its standard input ends; where to and with what stands in OTEL_ variables."""

import sys

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
set_meter_provider(provider)
SystemMetricsInstrumentor().instrument()
sys.stdin.read()
provider.shutdown()
