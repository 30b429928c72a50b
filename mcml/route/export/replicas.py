"""The router itself on Kubernetes: several of them behind a Service, which share their state through the store. Pure."""

import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from mcml.core.errors import Usage
from mcml.core.schema_routes import Tls

Json = dict[str, Any]

LABEL = "app.kubernetes.io/name"
FOLDER = "/project"
STATE = f"{FOLDER}/.mcml/route"
KEYS_FILE = "keys.json"
"""The name of the file of API keys (mcml.route.front.keys), in a router's folder and in the Secret."""

GRACE_SECONDS = 40
"""Longer than the router takes to drain."""


@dataclass(frozen=True)
class Replicas:
    """What to run: an image that holds mcml, how often, the text of mcml.toml, and the Secret with what the environment must hold.

    `secret` names a Secret of yours: its keys become environment variables (PGPASSWORD, cloud credentials). `keys` names one that holds the
    file of API keys of the machine where they were made, as `keys.json`; a change of it arrives in the routers that run. `tls` is what
    mcml.toml says of the listener, and `certificates` names the Secret with the files that it names, by their names without folders.
    """

    image: str
    replicas: int
    config: str
    store_url: str
    port: int
    namespace: str = "default"
    name: str = "mcml-router"
    secret: str = ""
    keys: str = ""
    profile: str = ""
    tls: Tls | None = None
    certificates: str = ""
    annotations: dict[str, str] = field(default_factory=dict)


def check(wanted: Replicas) -> None:
    """Check that the replicas can share a state, and find their certificate.

    Raises Usage for an SQLite store or one with a password in its URL, and for TLS without a Secret that can take the files' place, or with
    two files of one name.
    """
    if not wanted.store_url.startswith("postgresql"):
        why = "their keys, drains and pins are in the store, and SQLite is a file of one machine"
        raise Usage("several routers need a store that they share", why=why, next_step="set store.url to a PostgreSQL in mcml.toml")
    if urlsplit(wanted.store_url).password:
        why = "it would stand in a ConfigMap that everybody may read"
        next_step = "take it out of store.url, and put PGPASSWORD into a Secret: --secret NAME"
        raise Usage("the store's URL has a password in it", why=why, next_step=next_step)
    _check_names(wanted)
    if wanted.tls and not wanted.certificates:
        files = " ".join(f"--from-file={path}" for path in _files(wanted))
        step = f"kubectl create secret generic router-tls {files}, then: --tls-secret router-tls"
        raise Usage("a router in a container does not find its certificate", why="router.tls names files of this machine", next_step=step)
    if any(PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts for path in _files(wanted)):
        why = "the container's own files cannot be changed"
        raise Usage("router.tls names a file outside of the project", why=why, next_step="name it relative to mcml.toml: tls/router.pem")


def _check_names(wanted: Replicas) -> None:
    paths: dict[str, str] = {}
    for path in _files(wanted):
        other = paths.setdefault(PurePosixPath(path).name, path)
        if other != path:
            why = "a Secret holds files by their names, without folders"
            raise Usage(f"two files of router.tls have one name: {other}, {path}", why=why, next_step="rename one, and in mcml.toml")


def manifests(wanted: Replicas) -> list[Json]:
    """Return ServiceAccount, ConfigMap, Deployment, Service and PodDisruptionBudget. Raises what `check` raises."""
    check(wanted)
    return [
        _object(wanted, "v1", "ServiceAccount", annotations=wanted.annotations),
        {**_object(wanted, "v1", "ConfigMap"), "data": {"mcml.toml": wanted.config}},
        {**_object(wanted, "apps/v1", "Deployment"), "spec": _deployment(wanted)},
        {**_object(wanted, "v1", "Service"), "spec": _service(wanted)},
        {**_object(wanted, "policy/v1", "PodDisruptionBudget"), "spec": {"maxUnavailable": 1, "selector": _selector(wanted)}},
    ]


def _files(wanted: Replicas) -> list[str]:
    return [path for path in wanted.tls.model_dump().values() if path] if wanted.tls else []


def _object(wanted: Replicas, version: str, kind: str, *, annotations: dict[str, str] | None = None) -> Json:
    labels = {LABEL: wanted.name, "app.kubernetes.io/managed-by": "mcml"}
    metadata: Json = {"name": wanted.name, "namespace": wanted.namespace, "labels": labels}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _selector(wanted: Replicas) -> Json:
    return {"matchLabels": {LABEL: wanted.name}}


def _service(wanted: Replicas) -> Json:
    port = {"name": "https", "port": 443} if wanted.tls else {"name": "http", "port": 80}
    return {"selector": {LABEL: wanted.name}, "ports": [{**port, "targetPort": "http", "protocol": "TCP"}]}


def _deployment(wanted: Replicas) -> Json:
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": _selector(wanted),
    }
    pod = {
        "serviceAccountName": wanted.name,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "topologySpreadConstraints": [spread],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(wanted)],
        "volumes": [
            {"name": "config", "configMap": {"name": wanted.name}},
            {"name": "state", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            *({"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}} for name, secret in _secrets(wanted)),
        ],
    }
    return {
        "replicas": wanted.replicas,
        "selector": _selector(wanted),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": {LABEL: wanted.name}}, "spec": pod},
    }


def _secrets(wanted: Replicas) -> list[tuple[str, str]]:
    """Return the volumes that are Secrets; each is mounted under its name."""
    return [(name, secret) for name, secret in (("keys", wanted.keys), ("certificates", wanted.certificates)) if secret]


def _start(wanted: Replicas) -> str:
    # folders are mounted, not single files: only then a change of the ConfigMap or Secret arrives
    links = {f"{FOLDER}/mcml.toml": "/config/mcml.toml"}
    links |= {f"{STATE}/{KEYS_FILE}": f"/keys/{KEYS_FILE}"} if wanted.keys else {}
    links |= {f"{FOLDER}/{path}": f"/certificates/{PurePosixPath(path).name}" for path in _files(wanted)}
    folders = sorted({str(PurePosixPath(link).parent) for link in links} - {FOLDER})
    made = [shlex.join(["mkdir", "-p", *folders])] if folders else []
    made += [shlex.join(["ln", "-sf", file, link]) for link, file in links.items()]
    profile = f" --profile {shlex.quote(wanted.profile)}" if wanted.profile else ""
    return " && ".join([*made, f"exec mcml route serve --host 0.0.0.0 --port {wanted.port}{profile}"])


def _probe(wanted: Replicas, path: str) -> Json:
    """Ask over what the listener speaks; the kubelet has no certificate to show, so where one is asked for it looks at the port alone."""
    if wanted.tls and wanted.tls.client_ca:
        return {"tcpSocket": {"port": "http"}}
    return {"httpGet": {"path": path, "port": "http", **({"scheme": "HTTPS"} if wanted.tls else {})}}


def _container(wanted: Replicas) -> Json:
    ready, live = _probe(wanted, "/v2/health/ready"), _probe(wanted, "/v2/health/live")
    container: Json = {
        "name": "router",
        "image": wanted.image,
        "command": ["/bin/sh", "-c", _start(wanted)],
        "workingDir": FOLDER,
        "ports": [{"name": "http", "containerPort": wanted.port, "protocol": "TCP"}],
        "readinessProbe": {**ready, "periodSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {**live, "periodSeconds": 10, "failureThreshold": 6},
        "startupProbe": {**live, "periodSeconds": 1, "failureThreshold": 60},
        # endpoints of a Service go away a little after the pod is told to end
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        "resources": {"requests": {"cpu": "500m", "memory": "384Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/config", "readOnly": True},
            {"name": "state", "mountPath": FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
            *({"name": name, "mountPath": f"/{name}", "readOnly": True} for name, _ in _secrets(wanted)),
        ],
    }
    if wanted.secret:
        container["envFrom"] = [{"secretRef": {"name": wanted.secret}}]
    return container
