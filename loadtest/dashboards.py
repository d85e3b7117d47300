#!/usr/bin/env python3
"""Asks Ouro, Prometheus and VictoriaMetrics the same dashboards' queries over the same samples, side by side.

    loadtest/dashboards.py --bin target/release --data DIR [--sets day hour month] [--systems ouro prometheus victoria]

Loads each set once (what is in DIR already is used again), restarts the servers so that all rows come from disk, lets
the systems take turns with each query, and prints the median wall time and the CPU time of each, then the most memory
that one query over 2,000 series and 1,000 steps takes in a process of its own (of the day; --memory measures only that).
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

END = 1_764_000_000  # Unix seconds; the last sample of every set
# Queries end a moment later: no sample is then at the edge of a window, which Prometheus 2 counts in and 3 does not.
UNTIL = END + 5
TENANT = "load-0"
SETS = {
    # name: (series, targets, span, step between samples, step of queries, window of rates)
    "day": (10_000, 10, "24h", "15s", 120, "5m"),
    "hour": (100_000, 100, "1h", "15s", 15, "5m"),
    "month": (1_000, 5, "30d", "1m", 7200, "2h"),
}
SPANS = {"24h": 86_400, "1h": 3_600, "30d": 30 * 86_400}

QUERIES = {
    "requests by code": "sum by (code) (rate(traefik_service_requests_total[W]))",
    "p99 of all": "histogram_quantile(0.99, sum by (le) (rate(traefik_service_request_duration_seconds_bucket[W])))",
    "p95 by service": "histogram_quantile(0.95, sum by (le, service) "
                      "(rate(traefik_service_request_duration_seconds_bucket[W])))",
    "share of errors": 'sum(rate(traefik_service_requests_total{code=~"5.."}[W])) '
                       "/ sum(rate(traefik_service_requests_total[W]))",
    "share by service": 'rate(traefik_service_requests_total{code="500"}[W]) / on (instance, service, method) '
                        "group_left sum by (instance, service, method) (rate(traefik_service_requests_total[W]))",
    "memory by namespace": "sum by (namespace) (container_memory_working_set_bytes)",
    "top pods by CPU": "topk(10, sum by (pod) (rate(container_cpu_usage_seconds_total[W])))",
    "network by pod": "sum by (namespace, pod) (rate(container_network_receive_bytes_total[W]))",
    "memory of limit": "max by (namespace) (container_memory_rss / on (instance, id) group_left (image) "
                       "container_spec_memory_limit_bytes)",
    "peak of one namespace": 'max_over_time(container_memory_usage_bytes{namespace="docs"}[W])',
    "everything of a node": 'count by (__name__) ({instance="node-00:10250"})',
    "one pod": 'avg_over_time(container_memory_rss{instance="node-00:10250",namespace="docs"}[W])',
}
# About 2,000 series of the day.
MEMORY = 'sum by (le, code) (rate(traefik_service_request_duration_seconds_bucket{code=~"200|302|404"}[5m]))'


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Refused(Exception):
    """An answer that is not a success."""


class Server:
    """One system with one set's samples; its folder stays."""

    def __init__(self, name, folder, binaries):
        self.name, self.folder, self.binaries = name, folder, binaries
        self.process = None

    def start(self):
        self.port = free_port()
        listen = f"127.0.0.1:{self.port}"
        data = self.folder / "data"
        if self.name == "ouro":
            settings = self.folder / "ouro.yaml"
            settings.write_text(
                "log: {level: warn}\n"
                "limits: {reject_old: unlimited, creation_grace: unlimited, ingestion_rate: unlimited,\n"
                "  out_of_order_window: unlimited, retention: {logs: unlimited, metrics: unlimited}}\n"
                "observe: {enabled: false}\n")
            command = [self.binaries / "ouro", "--config", settings, "--data", data, "--listen", listen]
            self.write, self.read = "/api/v1/push", "/prometheus"
        elif self.name == "prometheus":
            (self.folder / "none.yml").write_text("global: {}\n")
            command = ["prometheus", f"--config.file={self.folder}/none.yml", f"--storage.tsdb.path={data}",
                       f"--web.listen-address={listen}", "--web.enable-remote-write-receiver",
                       "--storage.tsdb.retention.time=10y", "--log.level=warn"]
            self.write, self.read = "/api/v1/write", ""
        else:
            command = ["victoria-metrics", f"-storageDataPath={data}", f"-httpListenAddr={listen}",
                       "-retentionPeriod=100y", "-search.disableCache", "-loggerLevel=ERROR",
                       "-search.maxUniqueTimeseries=10000000"]
            self.write, self.read = "/api/v1/write", ""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
        for _ in range(1200):
            try:
                self.get({"ouro": "/ready", "prometheus": "/-/ready", "victoria": "/health"}[self.name], raw=True)
                return self
            except (OSError, Refused):
                if self.process.poll() is not None:
                    sys.exit(f"{self.name} ended: see {self.folder}/log")
                time.sleep(0.1)
        sys.exit(f"{self.name} is not ready after two minutes: see {self.folder}/log")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.process = None

    def get(self, path, raw=False, **parameters):
        prefix = "" if raw else self.read
        url = f"http://127.0.0.1:{self.port}{prefix}{path}"
        if parameters:
            url += "?" + urllib.parse.urlencode(parameters)
        request = urllib.request.Request(url, headers={"X-Scope-OrgID": TENANT, "Cache-Control": "no-store"})
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(f"{self.name} answered {error.code}: {error.read().decode()}") from error

    def ask(self, query, start, end, step):
        body = self.get("/api/v1/query_range", query=query, start=start, end=end, step=step)
        answer = json.loads(body)
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def cpu(self):
        """Seconds, user and system."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self):
        """The most memory so far, in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def rest(self):
        """Waits until it does nothing on its own."""
        quiet = 0
        while quiet < 3:
            before = self.cpu()
            time.sleep(1)
            quiet = quiet + 1 if self.cpu() - before < 0.05 else 0

    def load(self, series, targets, span, step):
        done = self.folder / "loaded"
        if done.exists():
            return
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        self.start()
        began, cpu = time.time(), self.cpu()
        subprocess.run([self.binaries / "loadtest", "history", "--target", f"http://127.0.0.1:{self.port}", "--path",
                        self.write, "--series", str(series), "--targets", str(targets), "--span", span, "--step", step, "--end", str(END)],
                       check=True)
        if self.name == "ouro":
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}/flush", method="POST")
            urllib.request.urlopen(request, timeout=600).read()
        self.rest()
        done.write_text(f"{time.time() - began:.0f} s, {self.cpu() - cpu:.0f} CPU-s, peak {self.peak():.0f} MiB\n")
        self.stop()


def same(answers):
    """Whether all systems gave equally many series and about the same newest values."""
    def newest(result):
        return sorted(round(float(series["values"][-1][1]), 6) for series in result if series["values"])
    counts = {name: len(result) for name, result in answers.items()}
    if len(set(counts.values())) > 1:
        return f"series differ: {counts}"
    reference = newest(next(iter(answers.values())))
    for name, result in answers.items():
        own = newest(result)
        far = [pair for pair in zip(reference, own) if abs(pair[0] - pair[1]) > 0.02 * max(1e-9, abs(pair[0]))]
        if len(own) != len(reference) or far:
            return f"values of {name} differ: {len(far)} of {len(own)}"
    return ""


def compare(servers, span, step, window, runs):
    total = {server.name: [] for server in servers}
    print(f"  {'query':24}" + "".join(f"{server.name + ' ms':>16}{'CPU ms':>8}" for server in servers))
    for title, query in QUERIES.items():
        query = query.replace("[W]", f"[{window}]")
        wall = {server.name: [] for server in servers}
        cpu = {server.name: 0.0 for server in servers}
        answers = {}
        for run in range(runs + 1):
            for server in servers:
                used, began = server.cpu(), time.perf_counter()
                body = server.get("/api/v1/query_range", query=query, start=UNTIL - span, end=UNTIL, step=step)
                took = time.perf_counter() - began
                if run:
                    wall[server.name].append(took * 1000)
                    cpu[server.name] += (server.cpu() - used) * 1000 / runs
                else:
                    answers[server.name] = json.loads(body)["data"]["result"]
        line = f"  {title:24}"
        for server in servers:
            median = statistics.median(wall[server.name])
            total[server.name].append(median)
            line += f"{median:16.1f}{cpu[server.name]:8.0f}"
        print(line, same(answers), flush=True)
    others = [name for name in total if name != "ouro"]
    if "ouro" in total and others:
        shares = [own / min(total[name][at] for name in others) for at, own in enumerate(total["ouro"])]
        print(f"  ouro's median wall time, as a share of the best other's: {statistics.median(shares):.2f} "
              f"(from {min(shares):.2f} to {max(shares):.2f})")


def memory(servers, span, runs):
    """The most that a process takes more for one query over 2,000 series and 1,000 steps."""
    for server in servers:
        more, rest = [], []
        for _ in range(runs):
            server.start()
            server.rest()
            # From here on the kernel notes the peak anew.
            pathlib.Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
            rest.append(server.peak())
            result = server.ask(MEMORY, UNTIL - span, UNTIL, span / 1000)
            more.append(server.peak() - rest[-1])
            server.stop()
        print(f"  {server.name:12} {statistics.median(more):8.1f} MiB more (from {min(more):.1f} to {max(more):.1f}) than "
              f"{statistics.median(rest):.0f} at rest, {len(result)} series in the answer", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("target/release"))
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--systems", nargs="+", default=["ouro", "prometheus", "victoria"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="only the memory of a query, of the day")
    arguments = parser.parse_args()
    for name in ["day"] if arguments.memory else arguments.sets:
        series, targets, span, every, step, window = SETS[name]
        servers = []
        for system in arguments.systems:
            folder = arguments.data / name / system
            folder.mkdir(parents=True, exist_ok=True)
            server = Server(system, folder, arguments.bin.resolve())
            server.load(series, targets, span, every)
            servers.append(server)
        print(f"{name}: {series} series, {span} at {every}; a query's step is {step} s, its windows are {window}")
        for server in servers:
            size = sum(file.stat().st_size for file in (server.folder / "data").rglob("*") if file.is_file())
            loaded = (server.folder / "loaded").read_text().strip()
            print(f"  {server.name:12} loaded in {loaded}; {size / 1e6:.0f} MB")
        if not arguments.memory:
            for server in servers:
                server.start()
            for server in servers:
                server.rest()
            compare(servers, SPANS[span], step, window, arguments.runs)
            for server in servers:
                server.stop()
        if name == "day":
            memory(servers, SPANS[span], arguments.runs)


if __name__ == "__main__":
    main()
