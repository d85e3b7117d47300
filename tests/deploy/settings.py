"""Feeds settings files to `ouro … --check`, with the variables that their processes would have."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import yaml

from harness import Failed
from manifests import expect, of, pods, sources

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OURO = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/ouro"


class Program:
    """The built program, which checks settings files."""

    def __init__(self, folder):
        self.folder, self.missing = folder, None
        if not OURO.exists():
            self.missing = f"there is no {OURO}"
        elif subprocess.run([OURO, "run", "ruler", "--help"], capture_output=True).returncode != 0:
            self.missing = f"{OURO} is older than `ouro run`"

    def certificate(self, cluster, role, name):
        """{name of a key in a Secret: content} of a member's certificate."""
        certs = self.folder / "certs" / cluster
        if not certs.exists():
            self.run(["certs", "init", "--dir", certs, "--cluster", cluster])
        self.run(["certs", "issue", role, name, "--dir", certs])
        files = {"ca.crt": "ca.crt", "tls.crt": f"{name}.crt", "tls.key": f"{name}.key"}
        return {key: (certs / file).read_text() for key, file in files.items()}

    def run(self, args, env=None):
        done = subprocess.run([OURO, *args], env=env or {}, capture_output=True, text=True, cwd=self.folder)
        if done.returncode != 0:
            raise Failed(f"ouro {' '.join(map(str, args))} ended with {done.returncode}: {done.stderr}")

    def check(self, files, args, env, moved):
        """Checks settings in a folder of their own: {place: text}. `moved` are paths and where they are here."""
        def here(text):
            for path, place in moved.items():
                text = text.replace(path, str(place))
            return text
        for place, text in files.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(here(text))
        args, env = [here(arg) for arg in args], {name: here(value) for name, value in env.items()}
        self.run([*args, "--check"], env)
        # It must be these settings that were checked.
        try:
            self.run([*args, "--check"], env | {"OURO_LOG__LEVELS": "info"})
        except Failed:
            return
        raise Failed(f"ouro {' '.join(args)} --check takes settings that do not exist")


def variables(workload, spec):
    """What Kubernetes would set in the container."""
    fields = {"status.podIP": "10.1.2.3", "status.hostIP": "10.0.0.7",
              "metadata.name": f"{workload['metadata']['name']}-0",
              "metadata.labels['topology.kubernetes.io/zone']": "eu-1a"}
    env, [container] = {}, spec["containers"]
    for source in container.get("envFrom", []):
        env |= {source["prefix"] + key: "AKIA/0" for key in ("AWS_ACCESS_KEY_ID", "secret_access_key")}
    for variable in container.get("env", []):
        value = variable.get("value") or fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        env[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda found: env[found[1]], value)
    return env


def settings(documents, program, cluster):
    """How many settings files were checked."""
    maps = {d["metadata"]["name"]: d["data"] for d in of(documents, "ConfigMap")}
    for count, (workload, labels, spec) in enumerate(pods(documents), 1):
        folder, role = Path(tempfile.mkdtemp(dir=program.folder)), labels["app.kubernetes.io/component"]
        files, [container] = {}, spec["containers"]
        for source in sources(spec):
            (_, source), = source.items()
            for item in source["items"]:
                # All pods of a role share a certificate, and `tls.names` makes its name not count.
                tls = item["path"].startswith("tls/")
                found = program.certificate(cluster, role, role) if tls else maps.get(source["name"], {item["key"]: ""})
                files[folder / "etc" / item["path"]] = found[item["key"]]
        moved = {"/etc/ouro": folder / "etc", "/data": folder / "data"}
        program.check(files, container["args"], variables(workload, spec), moved)
    return count


def compose(program):
    """How many settings files of the compose file were checked."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    members = {name: service for name, service in services.items() if service["command"][0] == "run"}
    for name, service in members.items():
        folder, role = Path(tempfile.mkdtemp(dir=program.folder)), service["command"][1]
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            there = not source.startswith(".") or (DEPLOY / source).exists()
            expect(name, there, f"mounts {source}, which is not there")
        text = (DEPLOY / f"compose/{role}.yaml").read_text()
        certificate = program.certificate("ouro", role, name)
        places = {"ca.crt": "ca.crt", "tls.crt": f"{name}.crt", "tls.key": f"{name}.key"}
        files = {folder / "data/certs" / places[file]: content for file, content in certificate.items()}
        files[folder / f"etc/{role}.yaml"] = text
        moved = {"/etc/ouro": folder / "etc", "/data": folder / "data"}
        program.check(files, service["command"], service["environment"], moved)
    return len(members)
