"""The router itself on Kubernetes: several of them behind a Service, which share their state through the store. Pure."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mcml.core.errors import Usage

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
    file of API keys of the machine where they were made, as `keys.json`; a change of it arrives in the routers that run.
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
    annotations: dict[str, str] = field(default_factory=dict)


def check(wanted: Replicas) -> None:
    """Check that the replicas can share a state. Raises Usage for an SQLite store, or one with a password in its URL."""
    if not wanted.store_url.startswith("postgresql"):
        why = "their keys, drains and pins are in the store, and SQLite is a file of one machine"
        raise Usage("several routers need a store that they share", why=why, next_step="set store.url to a PostgreSQL in mcml.toml")
    if urlsplit(wanted.store_url).password:
        why = "it would stand in a ConfigMap that everybody may read"
        next_step = "take it out of store.url, and put PGPASSWORD into a Secret: --secret NAME"
        raise Usage("the store's URL has a password in it", why=why, next_step=next_step)


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


def _object(wanted: Replicas, version: str, kind: str, *, annotations: dict[str, str] | None = None) -> Json:
    labels = {LABEL: wanted.name, "app.kubernetes.io/managed-by": "mcml"}
    metadata: Json = {"name": wanted.name, "namespace": wanted.namespace, "labels": labels}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _selector(wanted: Replicas) -> Json:
    return {"matchLabels": {LABEL: wanted.name}}


def _service(wanted: Replicas) -> Json:
    return {"selector": {LABEL: wanted.name}, "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]}


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
            *([{"name": "keys", "secret": {"secretName": wanted.keys, "defaultMode": 0o440}}] if wanted.keys else []),
        ],
    }
    return {
        "replicas": wanted.replicas,
        "selector": _selector(wanted),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": {LABEL: wanted.name}}, "spec": pod},
    }


def _container(wanted: Replicas) -> Json:
    # the file is mounted as a folder, not as one file: only then a change of the ConfigMap arrives
    link = f"ln -sf /config/mcml.toml {FOLDER}/mcml.toml && "
    if wanted.keys:
        link += f"mkdir -p {STATE} && ln -sf /keys/{KEYS_FILE} {STATE}/{KEYS_FILE} && "
    link += f"exec mcml route serve --host 0.0.0.0 --port {wanted.port}"
    container: Json = {
        "name": "router",
        "image": wanted.image,
        "command": ["/bin/sh", "-c", link],
        "workingDir": FOLDER,
        "ports": [{"name": "http", "containerPort": wanted.port, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": "http"}, "periodSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {"httpGet": {"path": "/v2/health/live", "port": "http"}, "periodSeconds": 10, "failureThreshold": 6},
        "startupProbe": {"httpGet": {"path": "/v2/health/live", "port": "http"}, "periodSeconds": 1, "failureThreshold": 60},
        # endpoints of a Service go away a little after the pod is told to end
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        "resources": {"requests": {"cpu": "500m", "memory": "384Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/config", "readOnly": True},
            {"name": "state", "mountPath": FOLDER},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
            *([{"name": "keys", "mountPath": "/keys", "readOnly": True}] if wanted.keys else []),
        ],
    }
    if wanted.secret:
        container["envFrom"] = [{"secretRef": {"name": wanted.secret}}]
    return container
