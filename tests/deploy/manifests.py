"""Holds what the chart renders against the schemas of Kubernetes, and follows every name to what it names."""

import kubernetes_validate
import yaml

from harness import Failed

# The oldest Kubernetes that Chart.yaml allows, and the newest that is known here.
KUBERNETES = ["1.30", kubernetes_validate.latest_version()]
# Of programs beside Kubernetes, whose schemas are not at hand.
FOREIGN = ("cert-manager.io/", "monitoring.coreos.com/")


def valid(documents):
    """How many manifests Kubernetes' own schemas were asked about."""
    own = [document for document in documents if not document["apiVersion"].startswith(FOREIGN)]
    for document in own:
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                place = ".".join(map(str, getattr(error, "path", [])))
                raise Failed(f"{title(document)} by Kubernetes {version}: {place}: {error.message}") from error
    return len(own)


def title(document):
    return f"{document['kind']} {document['metadata']['name']}"


def of(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def pods(documents):
    """(workload, labels of its pods, their spec)."""
    for workload in of(documents, "Deployment", "StatefulSet"):
        template = workload["spec"]["template"]
        yield workload, template["metadata"]["labels"], template["spec"]


def sources(spec):
    """Of the one volume with the files of a pod."""
    [volume] = spec["volumes"]
    return volume["projected"]["sources"]


def fits(selector, labels):
    return selector.items() <= labels.items()


class Names:
    """What is there to be named: by the manifests, and by values that name what is there before."""

    def __init__(self, documents, values):
        self.keys = {title(d): set(d["data"]) for d in of(documents, "ConfigMap")}
        self.keys |= {title(d): set() for d in of(documents, "ServiceAccount", "Service")}
        issued = [d["spec"]["secretName"] for d in of(documents, "Certificate")]
        given, ca = values["tls"]["secrets"].values(), values["objects"]["ca"]
        self.keys |= {f"Secret {name}": {"ca.crt", "tls.crt", "tls.key"} for name in [*issued, *given]}
        self.keys |= {f"Secret {ca['secret']}": {ca["key"]}, f"ConfigMap {ca['configMap']}": {ca["key"]}}
        self.keys[f"Secret {values['objects']['secret']}"] = set()
        self.keys[f"ServiceAccount {values['serviceAccount']['name']}"] = set()

    def need(self, where, kind, name, keys=()):
        found = self.keys.get(f"{kind} {name}")
        if not name or found is None or not set(keys) <= found:
            raise Failed(f"{where} names {kind} {name!r} {[*keys]}: there is {found}")


def workloads(documents, names):
    """What pods name is there, and they are chosen by their own workload."""
    for workload, labels, spec in pods(documents):
        where, [container] = title(workload), spec["containers"]
        names.need(where, "ServiceAccount", spec["serviceAccountName"])
        for source in sources(spec):
            (kind, source), = source.items()
            kind = {"configMap": "ConfigMap", "secret": "Secret"}[kind]
            names.need(where, kind, source["name"], [item["key"] for item in source["items"]])
        for source in container.get("envFrom", []):
            names.need(where, "Secret", source["secretRef"]["name"])
        ports = {port["name"] for port in container["ports"]}
        probed = {container["startupProbe"]["tcpSocket"]["port"], container["readinessProbe"]["httpGet"]["port"]}
        expect(where, probed <= ports, f"probes {probed}, has the ports {ports}")
        volumes = {volume["name"] for volume in spec["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        expect(where, {mount["name"] for mount in container["volumeMounts"]} == volumes, f"mounts not just {volumes}")
        expect(where, fits(workload["spec"]["selector"]["matchLabels"], labels), "does not select its own pods")
        for spread in spec.get("topologySpreadConstraints", []):
            expect(where, fits(spread["labelSelector"]["matchLabels"], labels), "spreads others than its own pods")
        if workload["kind"] == "StatefulSet":
            names.need(where, "Service", workload["spec"]["serviceName"])


def others(documents, names):
    """What names or chooses pods, Services and issuers finds some."""
    titles = [title(document) for document in documents]
    expect("the chart", len(titles) == len(set(titles)), f"has something twice: {sorted(titles)}")
    for service in of(documents, "Service"):
        chosen = [spec for _, labels, spec in pods(documents) if fits(service["spec"]["selector"], labels)]
        expect(title(service), chosen, "selects no pods")
        for port in service["spec"]["ports"]:
            served = all(port["targetPort"] in {p["name"] for p in spec["containers"][0]["ports"]} for spec in chosen)
            expect(title(service), served, f"leads to the port {port['targetPort']}, which some of its pods lack")
    for selecting in of(documents, "PodDisruptionBudget", "NetworkPolicy"):
        selector = selecting["spec"].get("selector") or selecting["spec"]["podSelector"]
        chosen = [1 for _, labels, _ in pods(documents) if fits(selector["matchLabels"], labels)]
        expect(title(selecting), chosen, "selects no pods")
    for monitor in of(documents, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        chosen = [s for s in of(documents, "Service") if fits(selector, s["metadata"]["labels"])]
        expect(title(monitor), len(chosen) == 1, f"selects {len(chosen)} Services")
    for ingress in of(documents, "Ingress"):
        for path in ingress["spec"]["rules"][0]["http"]["paths"]:
            names.need(title(ingress), "Service", path["backend"]["service"]["name"])
    issuers = {d["metadata"]["name"] for d in of(documents, "Issuer")}
    for certificate in of(documents, "Certificate"):
        issuer = certificate["spec"]["issuerRef"]
        there = issuer["kind"] == "ClusterIssuer" or issuer["name"] in issuers
        expect(title(certificate), there, f"has the issuer {issuer['name']}, there are {issuers}")


def expect(where, holds, complaint):
    if not holds:
        raise Failed(f"{where} {complaint}")


def control(documents):
    """The control group's first members are ingesters of different zones, as far as there are as many."""
    names = {}
    for workload in of(documents, "StatefulSet"):
        for n in range(workload["spec"]["replicas"]):
            names[f"{workload['metadata']['name']}-{n}"] = workload["metadata"]["name"]
    [settings] = [d for d in of(documents, "ConfigMap") if d["metadata"]["name"].endswith("-ingester")]
    first = yaml.safe_load(settings["data"]["ouro.yaml"])["ingester"]["placement"]["control"]
    expect("the control group", set(first) <= set(names), f"begins with {first}, ingesters are {list(names)}")
    zones, sets = {names[name] for name in first}, set(names.values())
    expect("the control group", len(zones) == min(len(first), len(sets)), f"begins in {zones}, there are {sets}")


def rolls(documents):
    """An upgrade replaces what answers requests or evaluates rules pod by pod, and never leaves fewer than are wanted."""
    for workload in of(documents, "Deployment"):
        if workload["metadata"]["labels"]["app.kubernetes.io/component"] == "compactor":
            continue
        strategy = workload["spec"]["strategy"]
        gap = strategy.get("rollingUpdate", {}).get("maxUnavailable")
        expect(title(workload), strategy["type"] == "RollingUpdate" and gap == 0, f"is upgraded by {strategy}")
