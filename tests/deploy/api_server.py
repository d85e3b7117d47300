"""As much of Kubernetes' API as a chart needs that looks for a ConfigMap in the cluster."""

import http.server
import json
import threading

import yaml

RESOURCES = [{"name": kind.lower() + "s", "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": []}
             for kind in ("ConfigMap", "Secret")]
ANSWERS = {
    "/version": {"major": "1", "minor": "30", "gitVersion": "v1.30.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": RESOURCES},
}
MISSING = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


class ApiServer:
    """Answers on 127.0.0.1 while it is entered, which gives a kubeconfig. It has one ConfigMap."""

    def __init__(self, namespace, name, data):
        place = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
        metadata = {"namespace": namespace, "name": name}
        answers = ANSWERS | {place: {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer = answers.get(self.path.partition("?")[0])
                body = json.dumps(answer or MISSING).encode()
                self.send_response(200 if answer else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        cluster = {"server": f"http://127.0.0.1:{self.server.server_port}"}
        context = {"name": "here", "context": {"cluster": "here", "user": "nobody"}}
        return yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "here", "contexts": [context],
            "clusters": [{"name": "here", "cluster": cluster}], "users": [{"name": "nobody", "user": {}}],
        })

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
