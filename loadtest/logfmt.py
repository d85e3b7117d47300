#!/usr/bin/env python3
"""Lines of logfmt in a segment: what counts, rates and quantiles over their fields cost, and their patterns.

    loadtest/logfmt.py --bin target/release [--lines 1000000]

Each question is asked three times, the fastest is shown. Every line must be counted; otherwise it exits with 1.
"""

import argparse
import json
import pathlib
import random
import sys
import tempfile
import time

from ouro import Ouro

BATCH = 10_000
QUERIES = [
    'sum by (level) (count_over_time({app="web"} | logfmt | status >= 500 [1h]))',
    'sum by (status) (count_over_time({app="web"} | logfmt status [1h]))',
    'quantile_over_time(0.99, {app="web"} | logfmt | unwrap duration(duration) [1h]) by (level)',
    'sum(sum_over_time({app="web"} | logfmt | unwrap bytes [1h]))',
]


def line(chance, number):
    return (f"ts=2026-12-01T03:00:{number % 60:02}.{chance.randrange(1000):03}Z level={chance.choice(['info', 'warn', 'error'])} "
            f'msg="request done" method=GET path=/api/v1/item/{chance.randrange(100_000)} '
            f"status={chance.choice([200, 200, 200, 204, 404, 500, 503])} duration={chance.random() * 100:.3f}ms "
            f"bytes={chance.randrange(100_000)} addr=10.0.{chance.randrange(256)}.{chance.randrange(256)}:{chance.randrange(60_000)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the program")
    parser.add_argument("--lines", type=int, default=1_000_000)
    args = parser.parse_args()
    chance, raw, start = random.Random(1), 0, time.time_ns() - 60 * 10**9
    with tempfile.TemporaryDirectory() as folder:
        ouro = Ouro(args.bin / "ouro", f"{folder}/data")
        for first in range(0, args.lines, BATCH):
            lines = [line(chance, n) for n in range(first, min(first + BATCH, args.lines))]
            raw += sum(map(len, lines))
            values = [[str(start + (first + n) * 1000), text] for n, text in enumerate(lines)]
            stream = {"stream": {"app": "web", "pod": str(first // BATCH % 4)}, "values": values}
            ouro.send("/loki/api/v1/push", json.dumps({"streams": [stream]}).encode())
        ouro.send("/flush?wait=true", method="POST")
        end = int(time.time()) + 60
        print(f"{args.lines:,} lines, {raw / 1e6:.0f} MB raw")
        for query in QUERIES:
            costs = []
            for _ in range(3):
                cpu = ouro.cpu()
                _, wall = ouro.ask("query", query=query, time=end)
                costs.append((wall, (ouro.cpu() - cpu) * 1e3))
            wall, cpu = min(costs)
            print(f"{wall:6.0f} ms, {cpu:6.0f} CPU-ms  {query}")
        found, wall = ouro.ask("patterns", query='{app="web"}', start=start, end=end * 10**9, step="60s")
        print(f"{wall:6.0f} ms  {len(found)} patterns, first {found[0]['pattern']!r}")
        counted = sum(lines for pattern in found for _, lines in pattern["samples"])
        data, _ = ouro.ask("query", query='sum(count_over_time({app="web"} | logfmt | bytes >= 0 [1h]))', time=end)
        ouro.stop()
        if counted != args.lines or data["result"][0]["value"][1] != str(args.lines):
            sys.exit(f"of {args.lines} lines, {counted} have patterns and {data['result']} were counted")


if __name__ == "__main__":
    main()
