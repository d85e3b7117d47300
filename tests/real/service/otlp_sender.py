"""Sends two rounds of metrics and two lines by OpenTelemetry's SDK: `otlp_sender.py http|grpc URL TENANT`."""

import sys
import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import (ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation,
                                            View)
from opentelemetry.sdk.resources import Resource

kind, url, tenant = sys.argv[1:]
if kind == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    common = {"headers": {"X-Scope-OrgID": tenant}, "compression": Compression.Gzip}
    log_exporter = OTLPLogExporter(endpoint=f"{url}/otlp/v1/logs", **common)
    metric_exporter = OTLPMetricExporter(endpoint=f"{url}/otlp/v1/metrics", **common)
else:
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    common = {"endpoint": url, "insecure": True, "headers": (("x-scope-orgid", tenant),), "compression": Compression.Gzip}
    log_exporter = OTLPLogExporter(**common)
    metric_exporter = OTLPMetricExporter(**common)

resource = Resource.create({"service.name": "shop", "service.namespace": "tests", "service.instance.id": "i-1",
                            "deployment.flavour": "green"})

reader = PeriodicExportingMetricReader(metric_exporter, export_interval_millis=3_600_000)
views = [View(instrument_name="latency", aggregation=ExplicitBucketHistogramAggregation((0.5, 1, 2))),
         View(instrument_type=Histogram, instrument_name="size", aggregation=ExponentialBucketHistogramAggregation())]
meters = MeterProvider(resource=resource, metric_readers=[reader], views=views)
meter = meters.get_meter("shop.metrics")
orders = meter.create_counter("orders", "1", "Orders by how they are paid.")
orders.add(7, {"payment.kind": "card"})
orders.add(1, {"payment.kind": "cash"})
meter.create_up_down_counter("queue.length", "1").add(-1)
latency = meter.create_histogram("latency", "s")
[latency.record(value) for value in (0.5, 1, 2, 3)]
size = meter.create_histogram("size", "By")
[size.record(value) for value in (10, 100)]
meters.force_flush()
time.sleep(0.1)
orders.add(1, {"payment.kind": "cash"})
size.record(1000)
meters.shutdown()

loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(SimpleLogRecordProcessor(log_exporter))
log = loggers.get_logger("shop.log")
log.emit(LogRecord(timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, severity_text="INFO", body="sold"))
log.emit(LogRecord(timestamp=time.time_ns(), severity_number=SeverityNumber.ERROR, severity_text="ERROR", body="it broke",
                   attributes={"order.id": 5}))
loggers.shutdown()
