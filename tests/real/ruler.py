#!/usr/bin/env python3
"""Debian's Prometheus and Ouro evaluate the same rule file over the same samples, each with an Alertmanager of its own.

What they record is the same, ended series end at once, alerts are in the same states with the same texts, a restart of
Ouro resets none of them, and both Alertmanagers deliver the same: what fires, and once that it is resolved.
"""

import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import ROOT, Failed, Story, ask, difference, free_ports, install, request, wait_for
from scraper import Scraper

TENANT = "real-ruler"
HEADERS = {"X-Scope-OrgID": TENANT}

RULES = """
groups:
  - name: rooms
    interval: 1s
    rules:
      - record: rooms:temperature:max
        expr: max by (floor) (room_temperature)
      - record: rooms:count
        expr: count(room_temperature)
        labels: {of: rooms}
      - record: rooms:warm
        expr: room_temperature > 20
      - record: rooms:warm:count
        expr: count by (floor) (rooms:warm)
  - name: alerts
    interval: 1s
    limit: 20
    rules:
      - alert: Hot
        expr: room_temperature > 30
        for: 5s
        labels: {severity: '{{ if gt $value 40.0 }}page{{ else }}ticket{{ end }}', floor: '{{ $labels.floor }}'}
        annotations:
          summary: '{{ $labels.room | title }} has {{ $value | humanize }} degrees, {{ humanizePercentage 0.25 }}'
          rooms: '{{ with query "count(room_temperature)" }}{{ . | first | value }}{{ end }} rooms, {{ len "abc" }}'
          floors: '{{ range query "max by (floor) (room_temperature < 1)" | sortByLabel "floor" }}{{ .Labels.floor }}={{ .Value }};{{ end }}'
      - alert: Kept
        expr: room_temperature > 35
        keep_firing_for: 8s
        annotations: {link: '{{ graphLink "up" }} {{ $labels.instance | stripPort }}'}
      - alert: Never
        expr: room_temperature > 1000
        for: 1m
"""

ALERTMANAGER = """
route:
  receiver: story
  group_by: ['...']
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: story
    webhook_configs: [{{url: "http://127.0.0.1:{port}/{side}", send_resolved: true}}]
"""

PROMETHEUS = """
rule_files: ["{rules}"]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]}}
"""

OURO = """
ruler:
  folder: {folder}
  reload: 500ms
  resend_delay: 5s
  alertmanagers: [{{url: "http://127.0.0.1:{port}"}}]
observe: {{enabled: false}}
"""


class World:
    """What is scraped, and where Alertmanagers deliver."""

    def __init__(self):
        self.rooms = {"hall": (0, 18), "attic": (2, 25), "cellar": (-1, 12)}
        self.delivered = {"prometheus": [], "ouro": []}
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                lines = [f'room_temperature{{room="{room}",floor="{floor}"}} {degrees}\n'
                         for room, (floor, degrees) in world.rooms.items()]
                self.answer("".join(lines).encode())

            def do_POST(self):
                told = json.loads(self.rfile.read(int(self.headers["content-length"])))
                for alert in told["alerts"]:
                    labels = {name: value for name, value in alert["labels"].items() if name != "tenant"}
                    tenant = alert["labels"].get("tenant")
                    entry = (alert["status"], json.dumps(labels, sort_keys=True), tenant)
                    world.delivered[self.path.strip("/")].append(entry)
                self.answer(b"")

            def answer(self, body):
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self, side, status, name):
        """How often an alert of this name was delivered so."""
        return sum(1 for told, labels, _ in self.delivered[side]
                   if told == status and json.loads(labels)["alertname"] == name)


class Sides:
    """Prometheus and Ouro, to be asked the same."""

    def __init__(self, story, ouro, prometheus_url):
        self.story = story
        self.apis = {"prometheus": (f"{prometheus_url}/api/v1", {}),
                     "ouro": (f"{ouro.url}/prometheus/api/v1", HEADERS)}

    def read(self, side, path):
        url, headers = self.apis[side]
        status, text = request(f"{url}/{path}", None, headers)
        if status != 200:
            raise Failed(f"{side}: {path} answered {status}: {text[:500]}")
        return json.loads(text)

    def query(self, side, query, at):
        url, headers = self.apis[side]
        return ask(f"{url}/query", {"query": query, "time": at}, headers)

    def rules(self, side):
        """What both must say of rules: all but times and paths."""
        groups = {}
        for group in self.read(side, "rules")["data"]["groups"]:
            rules = []
            for rule in group["rules"]:
                kept = ("name", "query", "health", "type", "labels", "state", "duration", "annotations", "lastError")
                shown = {name: rule[name] for name in kept if name in rule}
                if "alerts" in rule:
                    shown["alerts"] = sorted(json.dumps({name: alert[name] for name in
                                                         ("labels", "annotations", "state", "value")}, sort_keys=True)
                                             for alert in rule["alerts"])
                rules.append(shown)
            groups[group["name"]] = {"rules": rules, "interval": group["interval"], "limit": group["limit"]}
        return groups

    def states(self, side):
        """{alertname and room: state} of the active alerts."""
        alerts = self.read(side, "alerts")["data"]["alerts"]
        return {(alert["labels"]["alertname"], alert["labels"]["room"]): alert["state"] for alert in alerts}

    def compare_recorded(self, what):
        """The sources are quiet: both come to the same in the end."""
        queries = ['{__name__=~"rooms:.*"}', 'ALERTS']

        last = []

        def same():
            now = time.time()
            last[:] = [difference(self.query("prometheus", query, now), self.query("ouro", query, now))
                       for query in queries]
            return not any(last)
        try:
            wait_for("the same series", same, 40)
        except Failed as error:
            raise Failed(f"{what}: {error}: {last}") from None
        found = len(self.query("ouro", queries[0], time.time())["result"])
        self.story.check(f"{what}: {found} recorded series and the alerts' are the same", found > 0, "none is there")

    def compare_rules(self, what):
        last = {}

        def same():
            last.update({side: self.rules(side) for side in self.apis})
            return last["prometheus"] == last["ouro"]
        try:
            wait_for("the same rules", same, 40)
        except Failed:
            raise Failed(f"{what}: /rules of Prometheus {json.dumps(last['prometheus'], indent=1)}\n"
                         f"and of Ouro {json.dumps(last['ouro'], indent=1)}") from None
        self.story.check(f"{what}: /rules says the same", True)


def main():
    story = Story("ruler", __doc__)
    install({"prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"})
    with story:
        folder = story.folder / "rules"
        data = folder / TENANT
        # As Kubernetes mounts a ConfigMap: links into a folder that is exchanged as a whole.
        versions = 0

        def publish(files):
            nonlocal versions
            versions += 1
            version = data / f"..version-{versions}"
            version.mkdir(parents=True)
            for name, text in files.items():
                (version / name).write_text(text)
                if not (data / name).is_symlink():
                    (data / name).symlink_to(f"..data/{name}")
            (data / "..next").symlink_to(version.name)
            os.rename(data / "..next", data / "..data")

        publish({"rules.yaml": RULES})
        for file in (data / "rules.yaml", ROOT / "services/ruler/tests/fixtures/rules.yaml"):
            done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
            story.check(f"promtool finds {file.name} good", done.returncode == 0, done.stdout + done.stderr)

        world = World()
        managers = {}
        for side in world.delivered:
            [port] = free_ports(1)
            config = story.write(f"alertmanager-{side}.yml", ALERTMANAGER.format(port=world.port, side=side))
            child = story.start(f"alertmanager-{side}", "prometheus-alertmanager", f"--config.file={config}",
                                f"--storage.path={story.folder}/alertmanager-{side}", "--cluster.listen-address=",
                                f"--web.listen-address=127.0.0.1:{port}")
            story.ready(child, "Alertmanager", lambda: request(f"http://127.0.0.1:{port}/-/ready")[0] == 200)
            managers[side] = port
        config = story.write("ouro.yaml", OURO.format(folder=folder, port=managers["ouro"]))
        ouro = story.ouro("--config", config)
        rules = PROMETHEUS.format(rules=data / "rules.yaml", port=managers["prometheus"])
        scraper = Scraper(story, ouro, TENANT, {"rooms": (world.port, "{}")}, rules, "rooms:.*|ALERTS.*")
        sides = Sides(story, ouro, scraper.url)
        both = lambda condition: all(condition(side) for side in sides.apis)

        wait_for("the first scrape", lambda: both(lambda s: sides.query(s, "rooms:count", time.time())["result"]))
        sides.compare_recorded("at first")
        sides.compare_rules("at first")

        # A room that is gone is not counted any more, and not by its old value for five minutes.
        del world.rooms["attic"]
        wait_for("the end of a series", lambda: both(
            lambda s: not sides.query(s, 'rooms:warm{room="attic"}', time.time())["result"]), 30)
        sides.compare_recorded("after a room went")

        world.rooms["hall"] = (0, 38)
        world.rooms["attic"] = (2, 33)
        wait_for("pending alerts", lambda: sides.states("ouro").get(("Hot", "hall")) == "pending")
        active = lambda: {json.dumps(alert["labels"], sort_keys=True): alert["activeAt"]
                          for alert in sides.read("ouro", "alerts")["data"]["alerts"]}
        before = active()
        ouro.restart()
        wait_for("the alerts after a restart", lambda: len(active()) >= len(before))
        kept = active()
        story.check(f"a restart keeps {len(before)} alerts", all(kept.get(one) == at for one, at in before.items()),
                    f"{before}, then {kept}")
        hot = {("Hot", "hall"): "firing", ("Hot", "attic"): "firing", ("Kept", "hall"): "firing"}
        wait_for("firing alerts", lambda: both(lambda s: sides.states(s) == hot))
        sides.compare_recorded("while alerts fire")
        sides.compare_rules("while alerts fire")
        delivered = lambda status, names: all(
            world.count(side, status, name) == count for side in world.delivered for name, count in names.items())
        wait_for("both Alertmanagers to deliver", lambda: delivered("firing", {"Hot": 2, "Kept": 1}))

        # What is kept firing outlives what is not.
        world.rooms["hall"] = (0, 19)
        wait_for("what is kept", lambda: both(lambda s: sides.states(s).get(("Hot", "hall")) is None
                                              and sides.states(s).get(("Kept", "hall")) == "firing"), 30)
        world.rooms["attic"] = (2, 20)
        wait_for("no alert", lambda: both(lambda s: sides.states(s) == {}), 30)
        sides.compare_recorded("after the alerts")
        sides.compare_rules("after the alerts")
        wait_for("the ends to be delivered", lambda: delivered("resolved", {"Hot": 2, "Kept": 1}), 60)
        # Rulers tell again and again of what is resolved; it is delivered once.
        again = time.time() + 12
        wait_for("some resends", lambda: time.time() > again)
        told = {side: sorted((status, labels) for status, labels, _ in all_of)
                for side, all_of in world.delivered.items()}
        story.check(f"both delivered the same {len(told['ouro'])} notifications", told["ouro"] == told["prometheus"],
                    json.dumps(told, indent=1))
        whose = {tenant for _, _, tenant in world.delivered["ouro"]}
        story.check("Ouro's say whose they are", whose == {TENANT}, str(whose))

        publish({"rules.yaml": RULES.replace("max by", "max buy")})
        warned = lambda: " ".join(sides.read("ouro", "rules").get("warnings", []))
        wait_for("the bad file to be named", lambda: "rules.yaml" in warned())
        story.check("a bad file keeps its groups and is named", len(sides.rules("ouro")) == 2 and
                    ouro.meter("ouro_rule_file_faults") == 1, warned())
        publish({"rules.yaml": RULES.replace("rooms:count", "rooms:number")})
        gone = lambda: not sides.query("ouro", "rooms:count", time.time())["result"]
        wait_for("the new file", lambda: sides.query("ouro", "rooms:number", time.time())["result"] and gone(), 30)
        story.check("a good one is taken over, and ends the series of the rule that went", warned() == "", warned())


if __name__ == "__main__":
    main()
