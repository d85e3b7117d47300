#!/usr/bin/env python3
"""A label with a million values: what it costs to take, keep and ask, measured on one fresh process.

    loadtest/cardinality.py --bin target/release [--streams 1000000] [--lines 2]

Each value of `host` is a stream of its own, as an attacker's Host headers would make them. Printed are how long questions
take and the resident memory beside that of the idle process: from the head, after a flush, and after a restart. Nothing
may be refused, and every line must be found; otherwise it exits with 1.
"""

import argparse
import json
import pathlib
import random
import sys
import tempfile
import time

from ouro import Ouro

BATCH = 5_000
TENANT = "edge"


def push(ouro, args, start):
    for first in range(0, args.streams, BATCH):
        numbers = range(first, min(first + BATCH, args.streams))
        streams = [{"stream": {"app": "edge", "host": f"host-{n}.example"},
                    "values": [[str(start + n * 1000 + line), f"GET /{n % 97} HTTP/1.1 {200 + n % 3 * 100} line {line}"]
                               for line in range(args.lines)]} for n in numbers]
        ouro.send("/loki/api/v1/push", json.dumps({"streams": streams}).encode())
        if first // BATCH % 40 == 0:
            print(f"  pushed {first:>9,} streams, {ouro.memory('VmRSS'):.0f} MiB", file=sys.stderr)


def questions(ouro, args, start, where, idle):
    """Asks for single streams, a count, the greatest, and all values."""
    times = {"start": start, "end": start + 3_600_000_000_000}
    wrong, end = [], start // 1_000_000_000 + 3_600
    print(f"{where}: RSS +{ouro.memory('VmRSS') - idle:.0f} MiB")

    def said(what, ms, check, found):
        print(f"  {what:16} {ms:7.0f} ms, RSS +{ouro.memory('VmRSS') - idle:.0f} MiB")
        if not check:
            wrong.append(f"{what}: {found}")

    for n in random.Random(1).sample(range(args.streams), 3):
        data, ms = ouro.ask("query_range", query=f'{{host="host-{n}.example"}}', limit=100, **times)
        lines = sum(len(stream["values"]) for stream in data["result"])
        said("one stream", ms, lines == args.lines, f"{lines} lines of host-{n}")
    data, ms = ouro.ask("query", query='sum(count_over_time({app="edge"}[1h]))', time=end)
    counted = data["result"][0]["value"][1] if data["result"] else "nothing"
    said("count of all", ms, counted == str(args.streams * args.lines), counted)
    top = 'topk(5, sum by (host) (count_over_time({app="edge", host=~"host-12.*"}[1h])))'
    data, ms = ouro.ask("query", query=top, time=end)
    said("top 5 of 111,112", ms, len(data["result"]) == 5, data["result"])
    data, ms = ouro.ask("query_range", query='{app="edge"} |= "GET /13 " | line_format "{{.host}}"', limit=100, **times)
    lines = sum(len(stream["values"]) for stream in data["result"])
    said("100 lines of all", ms, lines == 100, f"{lines} lines")
    data, ms = ouro.ask("label/host/values", **times)
    said("values of host", ms, len(data) == args.streams, f"{len(data)} values")
    print(f"  at most +{ouro.memory('VmHWM') - idle:.0f} MiB so far")
    for what in wrong:
        print(f"  WRONG {what}")
    return not wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--bin", default="target/release")
    arguments.add_argument("--streams", type=int, default=1_000_000)
    arguments.add_argument("--lines", type=int, default=2)
    arguments.add_argument("--settle", type=float, default=20, help="seconds between the flush and the questions")
    args = arguments.parse_args()
    binary = str(pathlib.Path(args.bin, "ouro").resolve())
    with tempfile.TemporaryDirectory() as scratch:
        folder = f"{scratch}/data"
        ouro = Ouro(binary, folder, TENANT)
        time.sleep(1)
        idle, start = ouro.memory("VmRSS"), (int(time.time()) - 3_600) * 1_000_000_000 + 1
        print(f"idle: {idle:.0f} MiB")
        begun, cpu = time.monotonic(), ouro.cpu()
        push(ouro, args, start)
        seconds, cpu = time.monotonic() - begun, ouro.cpu() - cpu
        rows = args.streams * args.lines
        print(f"{args.streams:,} streams, {rows:,} lines pushed in {seconds:.0f} s, {cpu:.1f} CPU-s; none refused")
        good = questions(ouro, args, start, "from the head", idle)
        begun = time.monotonic()
        ouro.send("/flush?wait=true", b"", "POST")
        print(f"flushed in {time.monotonic() - begun:.1f} s, RSS +{ouro.memory('VmRSS') - idle:.0f} MiB")
        time.sleep(args.settle)
        good &= questions(ouro, args, start, "from a segment", idle)
        size = sum(file.stat().st_size for file in pathlib.Path(folder, "objects").rglob("*") if file.is_file())
        ouro.stop()
        ouro = Ouro(binary, folder, TENANT)
        good &= questions(ouro, args, start, "after a restart", idle)
        ouro.stop()
        print(f"objects: {size / 1e6:.1f} MB, {size / args.streams:.1f} bytes a stream")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
