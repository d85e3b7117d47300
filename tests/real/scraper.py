"""Debian's Prometheus, which scrapes a story's targets and remote-writes what it finds for one tenant.

Debian builds Prometheus without the code that sends the `headers` of `remote_write`, so it writes by way of an nginx
that names the tenant, as gateways in front of multi-tenant stores do: the user of basic authentication is the tenant.
"""

from harness import Failed, free_ports, install, request

GATEWAY = """
daemon off;
worker_processes 1;
pid {folder}/gateway.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/gateway-body;
    proxy_temp_path {folder}/gateway-proxy;
    fastcgi_temp_path {folder}/gateway-fastcgi;
    uwsgi_temp_path {folder}/gateway-uwsgi;
    scgi_temp_path {folder}/gateway-scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /healthy {{ return 204; }}
        location / {{
            proxy_pass {ouro};
            proxy_http_version 1.1;
            proxy_set_header X-Scope-OrgID $remote_user;
            proxy_set_header Authorization "";
        }}
    }}
}}
"""

PROMETHEUS = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:{jobs}
remote_write:
  - url: {gateway}/api/v1/push
    basic_auth: {{username: {tenant}, password: unused}}
    queue_config: {{batch_send_deadline: 1s, min_backoff: 100ms, max_backoff: 500ms}}
    metadata_config: {{send_interval: 2s}}{relabel}
{rules}"""

RELABEL = """
    write_relabel_configs: [{{source_labels: [__name__], regex: "{}", action: drop}}]"""

JOB = """
  - job_name: {name}
    static_configs: [{{targets: ["127.0.0.1:{port}"], labels: {labels}}}]"""


class Scraper:
    """A running Prometheus. `jobs`: {name: (port, labels as YAML)}; port None is Prometheus itself.

    `rules`: more of its configuration; `unshipped`: a pattern of metrics that stay with it.
    """

    def __init__(self, story, ouro, tenant, jobs, rules="", unshipped=None):
        install({"prometheus": "prometheus", "nginx": "nginx-light"})
        gateway_port, port = free_ports(2)
        gateway, self.url = f"http://127.0.0.1:{gateway_port}", f"http://127.0.0.1:{port}"
        config = GATEWAY.format(folder=story.folder, port=gateway_port, ouro=ouro.url)
        config = story.write("gateway.conf", config)
        errors = story.folder / "gateway-error.log"
        child = story.start("gateway", "nginx", "-p", story.folder, "-c", config, "-e", errors)
        story.ready(child, "the gateway", lambda: request(f"{gateway}/healthy")[0] == 204)
        jobs = "".join(JOB.format(name=name, port=at or port, labels=labels) for name, (at, labels) in jobs.items())
        relabel = RELABEL.format(unshipped) if unshipped else ""
        config = PROMETHEUS.format(jobs=jobs, gateway=gateway, tenant=tenant, rules=rules, relabel=relabel)
        config = story.write("prometheus.yml", config)
        self.child = story.start("prometheus", "prometheus", f"--config.file={config}",
                                 f"--storage.tsdb.path={story.folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}")
        story.ready(self.child, "Prometheus", lambda: request(f"{self.url}/-/ready")[0] == 200)

    def shipped(self, until):
        """Whether remote write is through with everything up to this time; that none of it failed."""
        text = request(f"{self.url}/metrics")[1]
        value = lambda name: next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + "{"))
        for fate in ("failed", "dropped"):
            count = value(f"prometheus_remote_storage_samples_{fate}_total")
            if count > 0:
                raise Failed(f"Prometheus says that {count} samples {fate}")
        # Batches may overtake each other by their deadline of a second, hence some more.
        return value("prometheus_remote_storage_queue_highest_sent_timestamp_seconds") >= until + 3
