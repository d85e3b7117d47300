#!/usr/bin/env python3
"""How many bytes of raw lines a core goes through, and how long a needle and the newest lines take.

    loadtest/scan.py --bin target/release --obsbench OBSBENCH --corpus DIR [--data DIR] [--runs 5]

The corpus is one of `obsbench gen-logs`, the yardstick's generator. It is pushed and flushed once (what is in --data is
used again), then each question is asked several times. CPU time is that of the server, all threads, on the average of the
runs; GB/s are the corpus's raw bytes by it, so of one core.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from ouro import Ouro

ALL = '{cluster=~".+"}'
SCANS = {
    "every line, counted": f"sum(count_over_time({ALL}[1m]))",
    "a text in no line": f'sum(count_over_time({ALL} |= "9f3e2a77-none" [1m]))',
    "a text in many lines": f'sum(count_over_time({ALL} |= "numpy" [1m]))',
    "a regular expression": f'sum(count_over_time({ALL} |~ "num.*whl" [1m]))',
    "a field of JSON": f"sum by (app) (rate({ALL} | json | DownstreamStatus >= 500 [1m]))",
}
LINES = {
    "a request id": f'{ALL} |= "NEEDLE"',
    "the newest 100": ALL,
    "the newest 100 of a kind": f'{ALL} |= "GET"',
}


def load(ouro, args, manifest):
    files = sorted(str(file) for file in pathlib.Path(args.corpus).glob("logs-*.blk"))
    begun = time.monotonic()
    subprocess.run([args.obsbench, "push", "--url", f"{ouro.url}/loki/api/v1/push", "--kind", "loki", "--files", *files],
                   check=True, stdout=subprocess.DEVNULL)
    pushed = time.monotonic()
    ouro.send("/flush?wait=true", b"", "POST")
    print(f"{manifest['raw_bytes'] / 1e9:.1f} GB pushed in {pushed - begun:.1f} s, flushed in "
          f"{time.monotonic() - pushed:.1f} s, {ouro.cpu():.1f} CPU-s")


def ask(ouro, args, query, times):
    """Median wall time and mean CPU time of the runs after the first, in ms."""
    ouro.ask("query_range", query=query, limit=100, **times)
    before = ouro.cpu()
    walls = [ouro.ask("query_range", query=query, limit=100, **times)[1] for _ in range(args.runs)]
    return statistics.median(walls), (ouro.cpu() - before) * 1e3 / args.runs


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--bin", default="target/release")
    arguments.add_argument("--obsbench", required=True)
    arguments.add_argument("--corpus", required=True)
    arguments.add_argument("--data")
    arguments.add_argument("--runs", type=int, default=5)
    args = arguments.parse_args()
    manifest = json.loads(pathlib.Path(args.corpus, "logs-manifest.json").read_text())
    if manifest["kind"] != "logs":
        sys.exit(f"{args.corpus} is no corpus of logs")
    binary = str(pathlib.Path(args.bin, "ouro").resolve())
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(args.data or f"{scratch}/data")
        is_new = not folder.exists()
        ouro = Ouro(binary, str(folder))
        if is_new:
            load(ouro, args, manifest)
        times = {"start": manifest["start"], "end": manifest["end"], "step": 60}
        for name, query in SCANS.items():
            wall, cpu = ask(ouro, args, query, times)
            speed = manifest["raw_bytes"] / 1e9 / (cpu / 1e3)
            print(f"{name:26} {wall:7.0f} ms, {cpu:7.0f} CPU-ms, {speed:5.1f} GB/s a core   {query}")
        for name, query in LINES.items():
            wall, cpu = ask(ouro, args, query.replace("NEEDLE", manifest["needles"][1]["id"]), times)
            print(f"{name:26} {wall:7.0f} ms, {cpu:7.0f} CPU-ms   {query}")
        ouro.stop()


if __name__ == "__main__":
    main()
