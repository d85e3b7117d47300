#!/usr/bin/env python3
"""Debian's Prometheus scrapes Debian's node exporter and itself, and remote-writes into Ouro: both answer the same.

Queries are asked of both at times for which everything has been shipped: from Ouro's heads, from its segments after a
flush, and after a restart. The exporter goes away for a moment in between, so that stale markers are part of it.
"""

import json
import time

from harness import Story, ask, difference, free_ports, install, request, wait_for
from scraper import Scraper

TENANT = "real-prometheus"
HEADERS = {"X-Scope-OrgID": TENANT}
# The longest window of the queries. It must be full of samples at the first time that is asked about: for counters
# that begin inside a window Prometheus 3 extrapolates otherwise than Debian's 2.42.
WINDOW = 20
# How much time the range queries are about.
SECONDS = 24

# Each is asked as an instant query and as a range query.
QUERIES = [
    'up',
    '{__name__=~"node_load.*"}',
    'rate(prometheus_http_requests_total[20s])',
    'irate(node_cpu_seconds_total{mode!="idle"}[10s])',
    'increase(prometheus_tsdb_head_samples_appended_total[20s])',
    'delta(node_memory_MemFree_bytes[20s])',
    'resets(process_cpu_seconds_total[20s]) + on (instance) changes(up[20s])',
    'histogram_quantile(0.9, rate(prometheus_http_request_duration_seconds_bucket[20s]))',
    'histogram_quantile(0.5, sum by (le, handler) (rate(prometheus_http_response_size_bytes_bucket[20s])))',
    'sum by (mode) (rate(node_cpu_seconds_total[15s]))',
    'avg without (cpu, mode) (node_cpu_seconds_total)',
    'count by (job, __name__) ({job=~"node|prometheus"})',
    'quantile(0.75, node_cpu_seconds_total)',
    'group by (zone) (up) or count_values("value", up)',
    'rate(node_cpu_seconds_total[20s]) * on (instance) group_left (nodename, machine) node_uname_info',
    'node_memory_MemFree_bytes / on (instance, job) group_right node_disk_info or node_memory_MemTotal_bytes',
    '100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)',
    'go_goroutines offset 10s - go_goroutines',
    'prometheus_tsdb_head_series @ {middle} + 0',
    'sum_over_time(up[20s]) / count_over_time(up[20s])',
    'max_over_time(rate(prometheus_tsdb_head_samples_appended_total[5s])[20s:2s])',
    'quantile_over_time(0.9, go_goroutines[20s])',
    'last_over_time(node_time_seconds[5s]) > 1000 < bool 1e10',
    'label_replace(up, "port", "$1", "instance", ".*:(.*)")',
    'label_join(up, "both", "-", "job", "zone")',
    'absent(up{job="nowhere"}) or absent_over_time(up{job="node"}[10s])',
    'node_load1 > bool 0 and on (instance) up == 1 unless on () absent(up)',
    'clamp_max(up, 0.5) ^ 2 % 7 + on () group_left () (vector(time()) * 0)',
    'predict_linear(node_time_seconds[20s], 60)',
    'timestamp(node_load1)',
]
# Their order counts too, which only an instant query has: all of them, or those of one value of a label.
ORDERED = {'sort_desc(node_cpu_seconds_total)': "", 'topk(4, node_cpu_seconds_total{mode=~"user|idle"})': "",
           'sort(node_filesystem_size_bytes)': "", 'bottomk by (job) (2, scrape_samples_scraped)': "job"}

# What Grafana's query builder lists: paths, and forms if it is a POST.
NAMES = [("labels", None), ("label/__name__/values", None), ("label/mode/values", None),
         ("series", {"match[]": ["up", 'node_cpu_seconds_total{cpu="0"}']})]


class Sides:
    """Prometheus and Ouro, to be asked the same."""

    def __init__(self, story, ouro, prometheus_url):
        self.story, self.ouro, self.prometheus = story, ouro, f"{prometheus_url}/api/v1"

    def both(self, path, form):
        return ask(f"{self.prometheus}/{path}", form), ask(f"{self.ouro.url}/prometheus/api/v1/{path}", form, HEADERS)

    def touch(self):
        """Asks everything once, so that Prometheus's counters of requests all begin before the time asked about."""
        for path, form in [*NAMES, ("metadata", None)]:
            request(f"{self.prometheus}/{path}", form)
        for path, times in (("query", {}), ("query_range", {"start": 0, "end": 1, "step": 1})):
            ask(f"{self.prometheus}/{path}", {"query": "up", **times})

    def quiet_moment(self):
        """A part of a second when nothing was scraped for long: on the first instant of a window Prometheus 2 finds a
        sample, and Prometheus 3 does not."""
        result = ask(f"{self.prometheus}/query", {"query": "timestamp(up)"})["result"]
        scraped = [float(one["value"][1]) % 1 for one in result]
        return max((0.0, 0.25, 0.5, 0.75), key=lambda moment: min((moment - at) % 1 for at in scraped))

    def compare(self, start, end, where):
        """Asks everything about the time from start to end."""
        wrong, series, points = [], 0, 0
        cases = [(query, "query_range", {"start": start, "end": end, "step": 3}) for query in QUERIES]
        cases += [(query, "query", {"time": end}) for query in [*QUERIES, *ORDERED]]
        for query, path, times in cases:
            query = query.replace("{middle}", str(int(start + end) // 2))
            want, got = self.both(path, {"query": query, **times})
            # A query that finds nothing compares nothing.
            why = "Prometheus has no series" if not want["result"] else difference(want, got, ORDERED.get(query))
            if why:
                wrong.append(f"{path} {query} {times}: {why}")
            series += len(want["result"])
            points += sum(len(one.get("values", [1])) for one in want["result"] if isinstance(one, dict))
        what = f"{len(cases)} queries, {series} series, {points} points are the same {where}"
        self.story.check(what, not wrong, "\n  ".join([f"{len(wrong)} differ:", *wrong]))

    def compare_names(self, start, end):
        """Asks for names."""
        for path, form in NAMES:
            query = f"{path}?start={start}&end={end}"
            _, want = request(f"{self.prometheus}/{query}", form)
            status, got = request(f"{self.ouro.url}/prometheus/api/v1/{query}", form, HEADERS)
            key = lambda one: json.dumps(one, sort_keys=True)
            want, got = sorted(json.loads(want)["data"], key=key), sorted(json.loads(got).get("data", []), key=key)
            missing, beyond = [n for n in want if n not in got], [n for n in got if n not in want]
            why = f"{status}, missing {missing[:5]}, beyond {beyond[:5]}"
            self.story.check(f"{path}: {len(want)} entries are the same", want and want == got, why)

    def compare_metadata(self):
        for metric in ("node_load1", "node_cpu_seconds_total", "prometheus_http_request_duration_seconds"):
            path = f"metadata?metric={metric}"
            read = lambda url, headers=(): json.loads(request(url, None, headers)[1])["data"]
            want = read(f"{self.prometheus}/{path}")
            got = wait_for("metadata", lambda: read(f"{self.ouro.url}/prometheus/api/v1/{path}", HEADERS), 20)
            self.story.check(f"metadata of {metric} is the same", want == got, f"{got}, wanted {want}")


def main():
    story = Story("prometheus", __doc__)
    install({"prometheus-node-exporter": "prometheus-node-exporter"})
    with story:
        ouro = story.ouro()
        [node_port] = free_ports(1)
        exporter = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{node_port}"]
        node = story.start("node-exporter", *exporter)
        story.ready(node, "the node exporter", lambda: request(f"http://127.0.0.1:{node_port}/metrics")[0] == 200)
        labels = '{zone: "%s"}'
        scraper = Scraper(story, ouro, TENANT, {"node": (node_port, labels % "a"), "prometheus": (None, labels % "b")})
        url = scraper.url
        sides = Sides(story, ouro, url)

        is_up = lambda job, value: ask(f"{url}/api/v1/query", {"query": f'up{{job="{job}"}} == {value}'})["result"]
        for job in ("node", "prometheus"):
            wait_for(f"the first scrape of {job}", lambda: is_up(job, 1))
        sides.touch()
        start = time.time() + 2 + WINDOW
        wait_for("full windows", lambda: time.time() > start)
        start = int(start) + sides.quiet_moment()
        wait_for("some scrapes", lambda: time.time() > start + SECONDS / 3)
        node.end()
        wait_for("the exporter's absence", lambda: is_up("node", 0))
        node = story.start("node-exporter-again", *exporter)
        wait_for("the exporter's return", lambda: is_up("node", 1))
        end = start + SECONDS
        wait_for("everything to be shipped", lambda: scraper.shipped(end))

        sides.compare(start, end, "from heads")
        sides.compare_names(start, end)
        sides.compare_metadata()
        segments = ouro.flush()
        story.check(f"a flush wrote {segments:.0f} segments", segments >= 1)
        sides.compare(start, end, "from segments")
        ouro.restart()
        sides.compare(start, end, "after a restart")
        later = end + int(time.time() - end)
        wait_for("what was scraped since", lambda: scraper.shipped(later))
        sides.compare(start, later, "from segments and heads, the restart included")


if __name__ == "__main__":
    main()
