#!/usr/bin/env python3
"""A FastAPI service: its metrics by Prometheus's remote write, its log by `ouro push --follow`, both asked in Ouro.

The questions are those that an operator asks first, by the API and by `ouro query`, whose text is looked at.
"""

import re
import time
from pathlib import Path

from harness import Failed, Story, ask, free_ports, request, virtual_environment, wait_for
from scraper import Scraper

TENANT = "real-fastapi"
HEADERS = {"X-Scope-OrgID": TENANT}
REQUIREMENTS = ("fastapi>=0.115,<1", "uvicorn>=0.30,<1", "prometheus-fastapi-instrumentator>=7,<8")

FAILURES = 'sum(rate(http_requests_total{status=~"5.."}[2m])) > 0'
ERRORS = '{app="fastapi"} |= "ERROR"'


def metrics(ouro, query):
    return ask(f"{ouro.url}/prometheus/api/v1/query", {"query": query}, HEADERS)["result"]


def lines(ouro, query):
    form = {"query": query, "limit": 1000, "direction": "forward", "start": time.time_ns() - 3600 * 10**9}
    streams = ask(f"{ouro.url}/loki/api/v1/query_range", form, HEADERS)["result"]
    return [line for _, line in sorted(value for stream in streams for value in map(tuple, stream["values"]))]


def check_answers(story, ouro, url, log, where):
    """Metrics against the service's own page, lines against its own file, and what the client prints of both."""
    [rate] = metrics(ouro, FAILURES)
    story.check(f"{FAILURES} is {float(rate['value'][1]):.3f} {where}", float(rate["value"][1]) > 0)
    text = request(f"{url}/metrics")[1]
    page = {}
    for labels, value in re.findall(r"(?m)^http_requests_total\{(.*)\} (\S+)$", text):
        labels = dict(re.findall(r'(\w+)="(.*?)"', labels))
        if labels["handler"] != "/metrics":
            page[labels["handler"], labels["status"]] = float(value)
    shown = lambda: {(one["metric"]["handler"], one["metric"]["status"]): float(one["value"][1])
                     for one in metrics(ouro, 'sum by (handler, status) (http_requests_total{handler!="/metrics"})')}
    wait_for(f"the counts of the service's own page, {page}", lambda: shown() == page, 20)
    story.check(f"counts by handler and status {where}: {sorted(page.values())}", True)

    # The traceback and uvicorn's own line of it are among the errors too.
    want = [line for line in log.read_text().splitlines() if "ERROR" in line]
    got = lines(ouro, ERRORS)
    story.check(f"{ERRORS} gives {len(got)} lines {where}", want and got == want, f"got {got[:3]}, wanted {want[:3]}")

    printed = ouro.client("query", FAILURES, tenant=TENANT).splitlines()
    good = len(printed) == 2 and printed[0].split() == ["value", "series"] and float(printed[1].split()[0]) > 0
    story.check(f"ouro query prints {printed}", good)
    increases = "sum by (handler, status) (increase(http_requests_total[2m]))"
    printed = ouro.client("query", increases, "--since", "5m", tenant=TENANT)
    rows = printed.splitlines()
    good = rows[0].split() == ["shape", "min", "max", "last", "series"] and any(
        'status="5xx"' in row and 'handler="/pay/{number}"' in row for row in rows[1:])
    story.check(f"ouro query --since prints a table of {len(rows) - 1} series", good, printed)
    printed = ouro.client("query", ERRORS, "--limit", "1000", tenant=TENANT)
    heads = re.findall(r'(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  \{app="fastapi", host="here", service_name="fastapi"\}$', printed)
    shown = re.findall(r"(?m)^    (.*)$", printed)
    good = len(heads) == len(want) and shown == want
    story.check(f"ouro query prints {len(shown)} lines, each with time and labels", good, printed[:500])
    counted = ouro.client("query", 'sum(count_over_time({app="fastapi"} |= "cannot be paid" [1h]))', tenant=TENANT)
    number = sum("cannot be paid" in line for line in want)
    story.check(f"ouro query counts {number} of one kind", counted.split()[2:3] == [str(number)], counted)


def main():
    story = Story("fastapi", __doc__)
    python = virtual_environment(*REQUIREMENTS)
    with story:
        ouro = story.ouro()
        [app_port] = free_ports(1)
        url, log = f"http://127.0.0.1:{app_port}", story.write("app.log", "")
        # In a folder of its own, since Python would take this script for the package of the same name.
        app = story.start("service", python, "-B", "-m", "uvicorn", "--app-dir", Path(__file__).parent / "service",
                          "app:app", "--host", "127.0.0.1", "--port", app_port)
        story.ready(app, "the service", lambda: request(f"{url}/metrics")[0] == 200)
        Scraper(story, ouro, TENANT, {"fastapi": (app_port, "{app: fastapi}")})
        follower = story.start("follower", story.ouro_path, "push", log, "--follow", "--label", "app=fastapi",
                               "--label", "host=here", "--address", ouro.url, "--tenant", TENANT)

        # A rate needs a counter that grows between two scrapes.
        sent = 0
        deadline = time.monotonic() + 60
        while not metrics(ouro, FAILURES):
            if time.monotonic() > deadline:
                raise Failed(f"{FAILURES} has no answer after {sent} requests")
            for number in range(sent, sent + 15):
                request(f"{url}/{'pay' if number % 2 else 'orders'}/{number}")
            sent += 15
            time.sleep(0.5)
        errors = sum("ERROR" in line for line in log.read_text().splitlines())
        story.ready(follower, f"{errors} lines with ERROR", lambda: len(lines(ouro, ERRORS)) >= errors)
        check_answers(story, ouro, url, log, "from heads")
        ouro.flush()
        check_answers(story, ouro, url, log, "from segments")


if __name__ == "__main__":
    main()
