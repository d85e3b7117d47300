"""A process of Ouro to be measured, its data in a folder."""

import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request


class Ouro:
    """`tenant` is whose rows are pushed and asked for; without one, those of the anonymous."""

    def __init__(self, binary, folder, tenant=None):
        self.headers = {"Content-Type": "application/json", **({"X-Scope-OrgID": tenant} if tenant else {})}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        with open(f"{folder}.log", "ab") as log:
            command = [binary, "--data", folder, "--listen", f"127.0.0.1:{port}"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        while True:
            try:
                self.send("/ready")
                return
            except OSError:
                if self.process.poll() is not None:
                    sys.exit(f"{binary} ended: {folder}.log says why")
                time.sleep(0.05)

    def send(self, path, body=None, method=None):
        wanted = urllib.request.Request(self.url + path, body, self.headers, method=method)
        with urllib.request.urlopen(wanted, timeout=600) as answer:
            return answer.read()

    def ask(self, path, **parameters):
        begun = time.monotonic()
        data = json.loads(self.send(f"/loki/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))["data"]
        return data, (time.monotonic() - begun) * 1e3

    def memory(self, name):
        """In MiB: VmRSS now, or VmHWM, the most so far."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{name}:")[1].split()[0]) / 1024

    def cpu(self):
        """User and system seconds."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self):
        self.process.terminate()
        self.process.wait()
