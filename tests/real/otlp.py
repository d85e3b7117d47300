#!/usr/bin/env python3
"""OpenTelemetry's own SDK for Python: its metrics and its log over HTTP and over gRPC, asked in Ouro.
"""

import time
from pathlib import Path

from harness import Story, ask, virtual_environment, wait_for

REQUIREMENTS = ("opentelemetry-sdk>=1.40,<2", "opentelemetry-exporter-otlp>=1.40,<2")


def metrics(ouro, query, tenant):
    return ask(f"{ouro.url}/prometheus/api/v1/query", {"query": query}, {"X-Scope-OrgID": tenant})["result"]


def lines(ouro, query, tenant):
    form = {"query": query, "limit": 100, "direction": "forward", "start": time.time_ns() - 3600 * 10**9}
    streams = ask(f"{ouro.url}/loki/api/v1/query_range", form, {"X-Scope-OrgID": tenant})["result"]
    return sorted((value[1], stream["stream"]) for stream in streams for value in stream["values"])


def check_answers(story, ouro, tenant, where):
    def number(query):
        found = metrics(ouro, query, tenant)
        return float(found[0]["value"][1]) if len(found) == 1 else None

    labels = 'job="tests/shop",instance="i-1"'
    for query, want in [
        (f'orders_total{{{labels},payment_kind="card"}}', 7),
        (f'orders_total{{{labels},payment_kind="cash"}}', 2),
        (f"queue_length_ratio{{{labels}}}", -1),
        (f"latency_seconds_count{{{labels}}}", 4),
        (f"latency_seconds_sum{{{labels}}}", 6.5),
        (f'latency_seconds_bucket{{{labels},le="1"}}', 2),
        (f'latency_seconds_bucket{{{labels},le="+Inf"}}', 4),
        (f"histogram_count(size_bytes{{{labels}}})", 3),
        (f"histogram_sum(size_bytes{{{labels}}})", 1110),
        (f'target_info{{{labels},deployment_flavour="green"}}', 1),
    ]:
        got = wait_for(f"{query} of {tenant} {where}", lambda: (number(query),) if number(query) is not None else None)[0]
        story.check(f"{query} is {want} for {tenant} {where}", got == want, f"got {got}")

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
        ouro = story.ouro()
        tenants = ("real-otlp-http", "real-otlp-grpc")
        for tenant, kind in zip(tenants, ("http", "grpc")):
            sender = story.start(f"sender-{kind}", python, "-B", Path(__file__).parent / "service/otlp_sender.py",
                                 kind, ouro.url, tenant)
            code = sender.process.wait(60)
            text = sender.output()
            story.check(f"the SDK sends over {kind} without a complaint", code == 0 and not text.strip(), text)
        for tenant in tenants:
            check_answers(story, ouro, tenant, "from heads")
        ouro.flush()
        for tenant in tenants:
            check_answers(story, ouro, tenant, "from segments")


if __name__ == "__main__":
    main()
