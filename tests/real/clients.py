#!/usr/bin/env python3
"""Debian's promtool asks Ouro as it asks Prometheus, and a Prometheus without samples of its own reads Ouro's.

One Prometheus scrapes itself and remote-writes into Ouro. promtool must print the same of both, and a second Prometheus,
which has Ouro as its `remote_read`, must answer the same as the first: from heads, and from segments after a flush. What
the first one streams to a remote read as XOR chunks, which later Prometheus ask for, Ouro must stream as well.
"""

import subprocess
import time

from harness import Failed, Story, ask, difference, free_ports, request, wait_for
from scraper import Scraper
from streamed import remote_read

# promtool sends no headers: who names no tenant is this one.
TENANT = "anonymous"
READER = """
global: {{scrape_interval: 1h}}
remote_read:
  - url: {ouro}/prometheus/api/v1/read
    read_recent: true
"""
QUERIES = ['up', 'prometheus_tsdb_head_series', 'rate(prometheus_http_requests_total[10s])',
           'sum by (handler) (prometheus_http_requests_total{code=~"2.."})', 'absent(nothing)',
           'max_over_time(process_resident_memory_bytes{job!="x"}[10s])']


def promtool(*args):
    done = subprocess.run(["promtool", "query", *args], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Failed(f"promtool query {' '.join(args)}: {done.stderr or done.stdout}")
    return sorted(done.stdout.splitlines())


def compare_promtool(story, prometheus, ouro, start, end, where):
    times = (f"--start={start}", f"--end={end}")
    for what, args in (
        ("instant", lambda url: ("instant", f"--time={end}", url, "up")),
        ("range", lambda url: ("range", *times, "--step=2s", url, "sum(prometheus_http_requests_total)")),
        ("series", lambda url: ("series", *times, "--match=up", "--match=go_goroutines", url)),
        ("labels", lambda url: ("labels", *times, url, "handler")),
    ):
        want, got = promtool(*args(prometheus)), promtool(*args(f"{ouro}/prometheus"))
        story.check(f"promtool query {what} prints the same {where}", want and want == got, f"{got}, wanted {want}")


def compare_remote_read(story, prometheus, reader, start, end, where):
    wrong = []
    for query in QUERIES:
        for path, at in (("query", {"time": end}), ("query_range", {"start": start, "end": end, "step": 2})):
            sides = [ask(f"{url}/api/v1/{path}", {"query": query, **at}) for url in (prometheus, reader)]
            why = "Prometheus has no series" if not sides[0]["result"] else difference(*sides)
            if why:
                wrong.append(f"{path} {query}: {why}")
    story.check(f"{len(QUERIES)} queries by remote read are the same {where}", not wrong, "\n  ".join(wrong))


def compare_streamed(story, prometheus, ouro, start, end, where):
    wrong, total = [], 0
    for matchers in ([("__name__", "=~", ".+")], [("__name__", "=~", ".*_bucket"), ("le", "!=", "+Inf")]):
        sides = [remote_read(f"{url}/api/v1/read", matchers, start, end)
                 for url in (prometheus, f"{ouro}/prometheus")]
        # What is about scrapes and writes themselves may go on under the reader's eyes; samples of the past do not.
        want, got = [[(labels, samples) for labels, samples in side if samples] for side in sides]
        total += len(want)
        if got != sorted(got, key=lambda one: one[0]):
            wrong.append(f"{matchers}: series are not sorted")
        if want != got:
            missing = [one for one in want if one not in got][:2]
            wrong.append(f"{matchers}: {len(got)} series, wanted {len(want)}; {missing} is not there")
    story.check(f"{total} streamed series are the same {where}", total > 100 and not wrong, "\n  ".join(wrong))


def main():
    with Story("clients", __doc__) as story:
        ouro = story.ouro()
        scraper = Scraper(story, ouro, TENANT, {"prometheus": (None, '{zone: "a"}')})
        [port] = free_ports(1)
        config = story.write("reader.yml", READER.format(ouro=ouro.url))
        url = f"http://127.0.0.1:{port}"
        child = story.start("reader", "prometheus", f"--config.file={config}",
                            f"--storage.tsdb.path={story.folder}/reader", f"--web.listen-address=127.0.0.1:{port}")
        story.ready(child, "the reader", lambda: request(f"{url}/-/ready")[0] == 200)
        wait_for("the first scrape", lambda: ask(f"{scraper.url}/api/v1/query", {"query": "up == 1"})["result"])
        # What is asked later is asked now too: Prometheus counts by its handlers, and lists them whatever the times.
        now = int(time.time())
        for at in ("query?query=up", f"query_range?query=up&start={now}&end={now}&step=1", "series?match[]=up",
                   "label/job/values", "labels"):
            request(f"{scraper.url}/api/v1/{at}")
        remote_read(f"{scraper.url}/api/v1/read", [("__name__", "=", "up")], now - 1, now)
        start = int(time.time()) + 12
        end = start + 8
        wait_for("everything to be shipped", lambda: time.time() > end and scraper.shipped(end))
        for where in ("from heads", "from segments"):
            compare_promtool(story, scraper.url, ouro.url, start, end, where)
            compare_remote_read(story, scraper.url, url, start, end, where)
            compare_streamed(story, scraper.url, ouro.url, start, end, where)
            ouro.flush()


if __name__ == "__main__":
    main()
