#!/usr/bin/env python3
"""nginx behind wrk, its access log shipped by syslog-ng and by `ouro push --follow`: counts equal those of awk.

The log is JSON, as nginx writes it with `escape=json`. syslog-ng posts batches to Loki's push API with its own HTTP
destination. Each question is asked of both copies: from heads, from segments after a flush, and after a restart.
"""

import re
import signal
import subprocess
import time

from harness import Story, ask, free_ports, install, near, request, wait_for

TENANT = "real-nginx"
HEADERS = {"X-Scope-OrgID": TENANT}
SHIPPERS = ("syslog-ng", "ouro")

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    log_format as_json escape=json '{{"time":"$time_iso8601","msec":"$msec","method":"$request_method","path":"$uri",'
        '"status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,"agent":"$http_user_agent",'
        '"connection":"$connection.$connection_requests"}}';
    access_log {folder}/access.log as_json;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "hello\\n"; }}
        location /moved {{ return 301 /; }}
        location /missing {{ return 404; }}
        location /broken {{ return 500 "it broke\\n"; }}
        location /away {{ return 503; }}
    }}
}}
"""

# Paths in turn, with an agent that a careless shipper would break.
WRK = r"""
local paths = {"/", "/", "/", "/moved", "/missing", "/", "/broken", "/away/now", "/", "/missing"}
local at = 0
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at], {["User-Agent"] = 'wrk "quoted" \\ back' .. "'s slash, caf\xc3\xa9"})
end
"""

# The line is made a JSON string by format-json, of which the quoted value is cut out.
SYSLOG_NG = r"""
@version: 3.38
options {{ keep-hostname(yes); stats-freq(0); }};
source access {{
  file("{folder}/access.log" flags(no-parse) follow-freq(0.2) log-iw-size(20000) log-fetch-limit(5000));
}};
destination ouro {{
  http(
    url("{url}/loki/api/v1/push")
    method("POST")
    headers("Content-Type: application/json", "X-Scope-OrgID: {tenant}")
    body-prefix('{{"streams":[{{"stream":{{"app":"nginx","via":"syslog-ng"}},"values":[')
    body('["$R_UNIXTIME$(padding $R_USEC 6 0)000",$(substr $(format-json --scope none l=$MESSAGE) 5 -1)]')
    delimiter(",")
    body-suffix(']}}]}}')
    batch-lines(2000) batch-bytes(1024Kb) batch-timeout(300)
    log-fifo-size(1000000) retries(100) time-reopen(1)
  );
}};
log {{ source(access); destination(ouro); flags(flow-control); }};
"""


def logql(ouro, query):
    """The vector of an instant query now, by label values."""
    vector = ask(f"{ouro.url}/loki/api/v1/query", {"query": query, "time": time.time_ns()}, HEADERS)["result"]
    return {",".join(one["metric"].values()): float(one["value"][1]) for one in vector}


def awk(program, log):
    """What awk counts: `key number` lines."""
    done = subprocess.run(["awk", program, log], capture_output=True, text=True, check=True)
    return {key: float(number) for key, number in (line.rsplit(" ", 1) for line in done.stdout.splitlines())}


def compare(story, ouro, log, where):
    status = r'match($0, /"status":[0-9]+/) {s = substr($0, RSTART + 9, RLENGTH - 9)}'
    size = r'match($0, /"bytes":[0-9]+/) {b = substr($0, RSTART + 8, RLENGTH - 8)}'
    path = r'match($0, /"path":"[^"]*/) {p = substr($0, RSTART + 8, RLENGTH - 8)}'
    selector = '{app="nginx",via="%s"}'
    cases = [
        ("lines", f"sum(count_over_time({selector}[1h]))", 'END {print " " NR}'),
        ("lines by status", f'sum by (status) (count_over_time({selector} | json status="status" [1h]))',
         status + r' {n[s]++} END {for (s in n) print s " " n[s]}'),
        ("lines by path, whole JSON", f"sum by (path) (count_over_time({selector} | json [1h]))",
         path + r' {n[p]++} END {for (p in n) print p " " n[p]}'),
        ("errors by status", f"sum by (status) (count_over_time({selector} | json | status >= 500 [1h]))",
         status + r' s >= 500 {n[s]++} END {for (s in n) print s " " n[s]}'),
        ("bytes by status",
         f'sum by (status) (sum_over_time({selector} | json status="status", bytes="bytes" | unwrap bytes [1h]))',
         status + size + r' {n[s] += b} END {for (s in n) print s " " n[s]}'),
        ("lines with /missing", f'sum(count_over_time({selector} |= "/missing" [1h]))',
         r'/\/missing/ {n++} END {print " " n}'),
        ("lines with a quote and a backslash",
         f'sum(count_over_time({selector} |= `wrk \\"quoted\\" \\\\ back\'s` [1h]))',
         r'index($0, "wrk \\\"quoted\\\" \\\\ back\047s") {n++} END {print " " n}'),
        ("bytes of lines", f"sum(bytes_over_time({selector}[1h]))", '{n += length($0)} END {print " " n}'),
    ]
    for what, query, program in cases:
        want = awk(program, log)
        for shipper in SHIPPERS:
            got = logql(ouro, query % shipper)
            same = want.keys() == got.keys() and all(near(want[key], got[key]) for key in want)
            why = f"{query % shipper} gave {got}, awk {want}"
            story.check(f"{what} by {shipper}, {where}: {brief(got)}", same, why)


def brief(numbers):
    return ", ".join(f"{key} {number:.0f}".strip() for key, number in sorted(numbers.items()))


def main():
    story = Story("nginx", __doc__)
    install({"nginx": "nginx-light", "wrk": "wrk", "syslog-ng": "syslog-ng-core",
             "/usr/lib/syslog-ng/*/libhttp.so": "syslog-ng-mod-http"})
    with story:
        ouro = story.ouro()
        [port] = free_ports(1)
        folder, url = story.folder, f"http://127.0.0.1:{port}"
        log = story.write("access.log", "")
        config = story.write("nginx.conf", NGINX.format(folder=folder, port=port))
        nginx = story.start("nginx", "nginx", "-p", folder, "-c", config, "-e", folder / "nginx-error.log")
        story.ready(nginx, "nginx", lambda: request(f"{url}/")[0] == 200)
        config = story.write("syslog-ng.conf", SYSLOG_NG.format(folder=folder, url=ouro.url, tenant=TENANT))
        shipper = story.start(
            "syslog-ng", "syslog-ng", "--foreground", "--no-caps", "--cfgfile", config, "--persist-file",
            folder / "persist", "--pidfile", folder / "syslog-ng.pid", "--control", folder / "control")
        follower = story.start("follower", story.ouro_path, "push", log, "--follow", "--label", "app=nginx", "--label",
                               "via=ouro", "--address", ouro.url, "--tenant", TENANT)
        script = story.write("paths.lua", WRK)
        # Fixed time rather than a fixed count: wrk has no other way.
        command = ["wrk", "-t1", "-c8", "-d2s", "-s", script, url]
        wrk = subprocess.run(command, capture_output=True, text=True, check=True)
        [said] = [line for line in wrk.stdout.splitlines() if "requests in" in line]
        print(f"  wrk: {said.strip()}")
        total = awk('END {print " " NR}', log)[""]
        story.check(f"nginx logged {total:.0f} lines", total > 1000, "too few to compare")

        arrived = lambda via: logql(ouro, f'sum(count_over_time({{via="{via}"}}[1h]))').get("", 0) >= total
        story.ready(shipper, "all lines by syslog-ng", lambda: arrived("syslog-ng"), 120)
        story.ready(follower, "all lines by ouro push", lambda: arrived("ouro"), 120)
        compare(story, ouro, log, "from heads")
        segments = ouro.flush()
        story.check(f"a flush wrote {segments:.0f} segments", segments >= 1)
        compare(story, ouro, log, "from segments")

        # Lines that are written while Ouro is away come when it is back, each once.
        ouro.child.end()
        for number in range(20):
            request(f"{url}/missing/{number}")
        ouro.start()
        total += 20
        story.ready(shipper, "late lines by syslog-ng", lambda: arrived("syslog-ng"), 60)
        story.ready(follower, "late lines by ouro push", lambda: arrived("ouro"), 60)
        compare(story, ouro, log, "after a restart")
        code = follower.end(signal.SIGINT)
        said = re.search(r"(\d+) lines are stored", follower.output())
        story.check(f"ouro push --follow says {said and said[0]!r}", code == 0 and said and int(said[1]) == total,
                    f"exit code {code}, {follower.output()[-300:]!r}")


if __name__ == "__main__":
    main()
