"""What the stories share: they install their clients, start processes on 127.0.0.1, wait for conditions, speak HTTP.

Python's standard library only. Every process that a story starts is its own child and is ended by its own id; data,
configuration and logs live in `target/real/STORY`, which is made anew by each run and stays for a look afterwards.
"""

import argparse
import glob
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "real"
# Debian keeps servers here, and not every PATH has it.
os.environ["PATH"] += ":/usr/sbin:/sbin"


class Failed(Exception):
    """The story does not hold; the text says where."""


# ---------------------------------------------------------------- installing

def install(packages):
    """Installs Debian packages, given as {program or pattern of paths: package}, where there is no such file."""
    missing = sorted({package for file, package in packages.items() if not (shutil.which(file) or glob.glob(file))})
    if not missing:
        return
    print(f"installing {' '.join(missing)}", flush=True)
    root = [] if os.geteuid() == 0 else ["sudo"]
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    # Packages of servers start them when they are installed, which nobody wants here.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        script = f"printf '#!/bin/sh\\nexit 101\\n' > {policy} && chmod +x {policy}"
        subprocess.run([*root, "sh", "-c", script], check=True)
    try:
        quiet = {"stdout": subprocess.DEVNULL, "check": True}
        subprocess.run([*apt, "update"], **quiet)
        subprocess.run([*apt, "install", "-y", "--no-install-recommends", *missing], **quiet)
    finally:
        if ours:
            subprocess.run([*root, "rm", "-f", policy], check=True)


def virtual_environment(*requirements):
    """The python of a virtual environment that has these packages."""
    python = TARGET / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", TARGET / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
    return python


# ---------------------------------------------------------------- waiting

def wait_for(what, condition, seconds=60):
    """Returns the first truthy result of `condition`; a refused connection counts as not yet."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except OSError as error:
            last = error
        time.sleep(0.1)
    raise Failed(f"waited {seconds} s in vain for {what}; last: {last!r}")


def free_ports(count):
    """Ports that are free now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


# ---------------------------------------------------------------- HTTP

def request(url, form=None, headers=(), method=None):
    """(status, text). `form` makes it a POST of a form."""
    body = urllib.parse.urlencode(form, doseq=True).encode() if form is not None else None
    wanted = urllib.request.Request(url, body, dict(headers), method=method)
    try:
        with urllib.request.urlopen(wanted, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error


def ask(url, form, headers=()):
    """The `data` of an answer of a query API."""
    status, text = request(url, form, headers)
    if status != 200:
        raise Failed(f"{url} {form} answered {status}: {text[:500]}")
    return json.loads(text)["data"]


# ---------------------------------------------------------------- comparing

def near(one, other, tolerance=1e-9):
    """Whether two numbers are the same up to the relative tolerance; NaN is NaN."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or abs(one - other) <= tolerance * max(abs(one), abs(other))


def difference(want, got, ordered=None):
    """The first difference between two answers of a query API in labels, times or numbers; None if there is none.

    `ordered`: the label of groups ("" for one group) in which the series come in the order of their values. Equal ones
    have no place of their own there, and groups have none among each other.
    """
    if want["resultType"] != got["resultType"]:
        return f"a {got['resultType']}, wanted a {want['resultType']}"
    if want["resultType"] in ("scalar", "string"):
        want, got = [([("", "")], [want["result"]])], [([("", "")], [got["result"]])]
    else:
        want, got = series_of(want["result"]), series_of(got["result"])
    if ordered is not None:
        for group in {dict(labels).get(ordered) for labels, _ in want}:
            values = [[float(value) for labels, points in side if dict(labels).get(ordered) == group
                       for _, value in points] for side in (want, got)]
            if not all(near(one, other) for one, other in zip(*values)):
                return f"the order of values {values[1]}, wanted {values[0]}"
    want, got = sorted(want), sorted(got)
    for (labels, points), (other, others) in zip(want, got):
        if labels != other:
            return f"series {dict(other)}, wanted {dict(labels)}"
        if [time for time, _ in points] != [time for time, _ in others]:
            return f"{dict(labels)} has points at {[t for t, _ in others]}, wanted {[t for t, _ in points]}"
        for (when, value), (_, found) in zip(points, others):
            if not near(float(value), float(found)):
                return f"{dict(labels)} at {when}: {found}, wanted {value}"
    if len(want) != len(got):
        extra = [dict(labels) for labels, _ in (got[len(want):] or want[len(got):])]
        return f"{len(got)} series, wanted {len(want)}; for instance {extra[0]}"
    return None


def series_of(result):
    return [(sorted(one["metric"].items()), one["values"] if "values" in one else [one["value"]]) for one in result]


# ---------------------------------------------------------------- processes

class Child:
    """A process of the story, its output in a file."""

    def __init__(self, name, command, folder, env=None):
        self.name, self.log, self.patience = name, folder / f"{name}.log", 10
        with self.log.open("ab") as out:
            self.process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, cwd=folder, env=env)

    def lives(self):
        return self.process.poll() is None

    def output(self):
        return self.log.read_text(errors="replace")

    def end(self, how=signal.SIGTERM, seconds=30):
        """Signals this process, and gives its exit code."""
        if self.lives():
            self.process.send_signal(how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"{self.name} did not end within {seconds} s of {how.name}") from None


class Story:
    """Opens the folder of a story and ends what was started in it, whatever happens."""

    def __init__(self, name, description):
        parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
        parser.add_argument("--ouro", type=Path, default=TARGET.parent / "release/ouro", metavar="PATH",
                            help="the program (default: %(default)s)")
        self.ouro_path = parser.parse_args().ouro.resolve()
        if not self.ouro_path.exists():
            parser.error(f"{self.ouro_path} does not exist: run `cargo build --release`")
        self.name, self.folder, self.children = name, TARGET / name, []
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def __enter__(self):
        self.begun = time.monotonic()
        # So that the children are ended too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, kind, error, _):
        for child in reversed(self.children):
            if child.lives():
                child.process.terminate()
        for child in reversed(self.children):
            try:
                child.process.wait(child.patience)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        if kind is None:
            print(f"{self.name}: all is well after {time.monotonic() - self.begun:.0f} s")
        elif isinstance(error, (Failed, OSError, subprocess.CalledProcessError)):
            for child in self.children:
                tail = "\n".join(child.output().splitlines()[-8:])
                print(f"--- the end of {child.log}\n{tail}", file=sys.stderr)
            print(f"{self.name}: FAILED: {error}", file=sys.stderr)
            sys.exit(1)

    def write(self, name, text):
        """A file of the story's folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def start(self, name, *command, env=None):
        child = Child(name, command, self.folder, env)
        self.children.append(child)
        return child

    def ready(self, child, what, condition, seconds=60):
        """Waits for a condition as long as the child lives."""
        def or_dead():
            if not child.lives():
                raise Failed(f"{child.name} ended by itself with {child.process.returncode}")
            return condition()
        return wait_for(what, or_dead, seconds)

    def ouro(self, *args):
        return Ouro(self, args)

    def cluster(self, *args, limits):
        return Cluster(self, args, limits)

    def check(self, what, holds, why=""):
        """Prints what was compared, or ends the story."""
        if not holds:
            raise Failed(f"{what}: {why}")
        print(f"  ok  {what}", flush=True)


def meter(url, name):
    """The sum of a meter over its labels; None when there is none."""
    found = re.findall(rf"(?m)^{name}(?:\{{.*\}})? (\S+)$", request(f"{url}/metrics")[1])
    return sum(map(float, found)) if found else None


class Ouro:
    """The program under test: its server, and its command-line client."""

    def __init__(self, story, args=()):
        self.story, self.args, self.listen, self.starts = story, args, "127.0.0.1:0", 0
        self.start()

    def start(self):
        self.starts += 1
        command = [self.story.ouro_path, "--data", self.story.folder / "data", "--listen", self.listen, *self.args]
        self.child = self.story.start(f"ouro-{self.starts}", *command)
        # The first start picks a port; a later one must come back where its clients look for it.
        banner = lambda: re.search(r"http://(127\.0\.0\.1:\d+)/loki/api/v1/push", self.child.output())
        self.listen = self.story.ready(self.child, "Ouro's banner", banner)[1]
        self.url = f"http://{self.listen}"
        self.story.ready(self.child, "/ready", lambda: request(f"{self.url}/ready")[0] == 200)

    def restart(self):
        code = self.child.end()
        if code != 0:
            raise Failed(f"Ouro ended with {code} on SIGTERM")
        self.start()

    def flush(self):
        """Everything that was acked is in segments afterwards."""
        status, text = request(f"{self.url}/flush?wait=true", method="POST")
        if status != 204:
            raise Failed(f"/flush?wait=true answered {status}: {text}")
        return self.meter("ouro_flush_segments_total")

    def meter(self, name):
        return meter(self.url, name)

    def client(self, *args, tenant):
        """What `ouro ARGS` prints."""
        command = [self.story.ouro_path, *args, "--address", self.url, "--tenant", tenant]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"ouro {' '.join(args)} ended with {done.returncode}: {done.stderr}")
        return done.stdout


class Cluster:
    """The program as a cluster on this machine: `ouro dev`, every member with the limits of a settings file."""

    def __init__(self, story, args, limits):
        self.story, self.folder, self.killed = story, story.folder / "cluster", 0
        shown = [story.ouro_path, "--config", limits, "--print-settings"]
        text = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
        tables = "".join(table for table in re.split(r"(?m)^(?=\[)", text) if table.startswith("[limits"))
        # Members keep the settings that they find, so the first start is for writing them.
        command = [story.ouro_path, "dev", "--json", "--data", self.folder, "--base-port", free_range(), *args]
        self.start(command)
        for config in self.folder.glob("*/ouro.toml"):
            if not config.parent.name.startswith("ruler"):
                config.write_text(f"{config.read_text()}{tables}")
        if self.end() != 0:
            raise Failed("the cluster does not end well")
        self.start(command)

    def start(self, command):
        starts = sum(child.name.startswith("dev-") for child in self.story.children) + 1
        self.child = self.story.start(f"dev-{starts}", *command)
        # It ends its members one after the other; without it they would stay.
        self.child.patience = 60
        line = lambda: re.search(r"(?m)^\{.*\}$", self.child.output())
        told = json.loads(self.story.ready(self.child, "a cluster that is ready", line, 90)[0])
        self.push, self.query = told["push"], told["query"]
        self.members = {member["name"]: member for member in told["members"]}

    def kill(self, name):
        """As if its machine had lost power."""
        os.kill(self.members[name]["pid"], signal.SIGKILL)

    def restart(self, name):
        """Starts a member that was killed, and waits until it is in its place."""
        self.killed += 1
        child = self.story.start(f"{name}-{self.killed}", *self.members[name]["command"])
        self.members[name]["pid"] = child.process.pid
        self.story.ready(child, f"{name}", lambda: request(f"{self.members[name]['http']}/ready")[0] == 200)

    def flush(self, name):
        """Asks a member that everything that was acked is in segments afterwards."""
        status, text = request(f"{self.members[name]['http']}/flush?wait=true", method="POST")
        if status != 204:
            raise Failed(f"/flush?wait=true answered {status}: {text}")
        ingesters = (member["http"] for member in self.members.values() if member["role"] == "ingester")
        return sum(meter(url, "ouro_flush_segments_total") for url in ingesters)

    def end(self):
        """Hands over and ends, which takes its time."""
        return self.child.end(seconds=self.child.patience)


def free_range():
    """The first port of a range for `ouro dev` that nobody listens in."""
    for first in range(20_000, 30_000, 250):
        try:
            for port in range(first, first + 200):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise Failed("no range of 200 ports is free")
