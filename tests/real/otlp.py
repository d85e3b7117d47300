#!/usr/bin/env python3
"""OpenTelemetry's own SDK for Python: its metrics and its log over HTTP and over gRPC, asked in Ouro. What it tells as
running totals is asked as it is; what it tells as deltas, by a tenant that keeps them, is added up.
"""

import os
import time
from pathlib import Path

from harness import Story, ask, virtual_environment, wait_for

REQUIREMENTS = ("opentelemetry-sdk>=1.40,<2", "opentelemetry-exporter-otlp>=1.40,<2")
SETTINGS = """
tenants: {real-otlp-delta: {otlp: {delta: keep}}}
"""
LABELS = 'job="tests/shop",instance="i-1"'


def metrics(ouro, query, tenant):
    return ask(f"{ouro.url}/prometheus/api/v1/query", {"query": query}, {"X-Scope-OrgID": tenant})["result"]


def lines(ouro, query, tenant):
    form = {"query": query, "limit": 100, "direction": "forward", "start": time.time_ns() - 3600 * 10**9}
    streams = ask(f"{ouro.url}/loki/api/v1/query_range", form, {"X-Scope-OrgID": tenant})["result"]
    return sorted((value[1], stream["stream"]) for stream in streams for value in stream["values"])


def check_numbers(story, ouro, tenant, where, numbers):
    def number(query):
        found = metrics(ouro, query, tenant)
        return float(found[0]["value"][1]) if len(found) == 1 else None

    for query, want in numbers:
        got = wait_for(f"{query} of {tenant} {where}", lambda: (number(query),) if number(query) is not None else None)[0]
        story.check(f"{query} is {want} for {tenant} {where}", got == want, f"got {got}")


def check_deltas(story, ouro, tenant, where):
    def sum_of(series):
        return f"sum_over_time({series}[1h])"
    sizes = sum_of(f"size_bytes{{{LABELS}}}")
    check_numbers(story, ouro, tenant, where, [
        (sum_of(f'orders_total{{{LABELS},payment_kind="card"}}'), 7),
        (sum_of(f'orders_total{{{LABELS},payment_kind="cash"}}'), 2),
        (f'count_over_time(orders_total{{{LABELS},payment_kind="cash"}}[1h])', 2),
        (sum_of(f"latency_seconds_count{{{LABELS}}}"), 4),
        (sum_of(f'latency_seconds_bucket{{{LABELS},le="1"}}'), 2),
        (f"histogram_count({sizes})", 3),
        (f"histogram_sum({sizes})", 1110),
    ])


def check_answers(story, ouro, tenant, where):
    check_numbers(story, ouro, tenant, where, [
        (f'orders_total{{{LABELS},payment_kind="card"}}', 7),
        (f'orders_total{{{LABELS},payment_kind="cash"}}', 2),
        (f"queue_length_ratio{{{LABELS}}}", -1),
        (f"latency_seconds_count{{{LABELS}}}", 4),
        (f"latency_seconds_sum{{{LABELS}}}", 6.5),
        (f'latency_seconds_bucket{{{LABELS},le="1"}}', 2),
        (f'latency_seconds_bucket{{{LABELS},le="+Inf"}}', 4),
        (f"histogram_count(size_bytes{{{LABELS}}})", 3),
        (f"histogram_sum(size_bytes{{{LABELS}}})", 1110),
        (f'target_info{{{LABELS},deployment_flavour="green"}}', 1),
    ])

    found = lines(ouro, '{service_name="shop"}', tenant)
    story.check(f"two lines of {tenant} {where}", [line for line, _ in found] == ["it broke", "sold"], found)
    (_, broke), (_, sold) = found
    for labels, want in [(broke, {"detected_level": "error", "severity_text": "ERROR", "order_id": "5"}),
                         (sold, {"detected_level": "info", "scope_name": "shop.log", "service_namespace": "tests"})]:
        got = {name: labels.get(name) for name in want}
        story.check(f"{want} are known {where}", got == want, labels)


def main():
    story = Story("otlp", __doc__)
    python = virtual_environment(*REQUIREMENTS)
    with story:
        config = story.folder / "ouro.yaml"
        config.write_text(SETTINGS)
        ouro = story.ouro("--config", config)
        checks = {"http": check_answers, "grpc": check_answers, "delta": check_deltas}
        for name in checks:
            preference = "delta" if name == "delta" else "cumulative"
            env = {**os.environ, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference}
            sender = story.start(f"sender-{name}", python, "-B", Path(__file__).parent / "service/otlp_sender.py",
                                 "grpc" if name == "grpc" else "http", ouro.url, f"real-otlp-{name}", env=env)
            code = sender.process.wait(60)
            text = sender.output()
            story.check(f"the SDK sends as {name} without a complaint", code == 0 and not text.strip(), text)
        for name, check in checks.items():
            check(story, ouro, f"real-otlp-{name}", "from heads")
        ouro.flush()
        for name, check in checks.items():
            check(story, ouro, f"real-otlp-{name}", "from segments")


if __name__ == "__main__":
    main()
