"""A complete mcml.toml with every key explained by the schema's own description; a test loads it and finds every key in it."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from mcml.core.schema import Settings

VALUES: dict[str, Any] = {
    "name": "acme-ml",
    "targets": {
        "aws-use1": {"provider": "local", "region": "us-east-1", "cluster": ""},
        "gcp-euw1": {"provider": "local", "region": "europe-west1"},
    },
    "models": {
        "fraud": {
            "source": "models/fraud",
            "targets": ["aws-use1", "gcp-euw1"],
            "rollout": {"strategy": "blue-green"},
            "resources": {"aws-use1": {"cpu": "2"}},
            "team": "risk",
            "project": "payments",
        },
        "fraud-next": {"source": "models/fraud-next", "targets": ["aws-use1", "gcp-euw1"]},
    },
    "routes": {
        "fraud": {
            "model": "fraud",
            "pattern": "active-active",
            "score": {"latency": 0.4, "cost": 0.3, "reliability": 0.3},
            "split": {"fraud": 90, "fraud-next": 10},
            "sticky": "x-user-id",
            "shadow": {"model": "fraud-next", "percent": 1, "tolerance": 0.001},
            "protocol": "http",
            "validate_requests": False,
            "idempotent": True,
            "limit": {"requests": 50, "per": 1.0},
            "exploration": 5,
            "timeout": 30.0,
            "per_try_timeout": 2.0,
        },
        "fraud-burst": {
            "model": "fraud",
            "pattern": "burst",
            "tiers": [["aws-use1"], ["gcp-euw1"]],
            "burst": {"concurrency": 8, "ceiling": 20},
        },
        "fraud-eu": {"model": "fraud", "pattern": "residency", "regions": {"eu": ["gcp-euw1"]}, "home": "eu"},
    },
    "router": {
        "host": "127.0.0.1",
        "port": 8080,
        "admin_port": 0,
        "control_port": 0,
        "keys": False,
        "tls": {"certificate": "tls/router.pem", "key": "tls/router.key", "client_ca": ""},
        "cors": ["https://app.example.com"],
        "buffer_limit": 8,
        "body_limit": 32,
        "log_size": 64,
        "logs_kept": 3,
        "trusted_proxies": 0,
        "tracing": {"endpoint": "http://127.0.0.1:4318/v1/traces", "percent": 1},
    },
    "cost": {
        "warehouse": {"provider": "gcp", "engine": "bigquery", "table": "acme-data.finops.focus", "price_per_tib": 6.25},
        "anomalies": {"by": ["service"], "minimum": 10, "percent": 25},
        "rightsizing": {
            "window": "14d",
            "minimum": "7d",
            "coverage": 80,
            "percentile": 95,
            "headroom": 25,
            "machines": ["m7i.*", "m7g.*"],
            "architectures": ["arm64"],
            "saving": 5,
            "leave": {"pinned": "yes"},
            "watch": "30m",
            "health": [{"metric": "machine.memory", "above": 0.97, "label": "instance", "value": "id"}],
        },
        "budgets": {
            "risk": {
                "amount": 2000,
                "currency": "USD",
                "per": "month",
                "where": ["team=risk"],
                "actual": [50, 80, 100],
                "forecast": 100,
                "burn": 2,
                "incident": True,
                "convert": True,
                "act": False,
                "actions": [
                    {
                        "at": 100,
                        "do": "stop-idle",
                        "match": {"environment": "dev"},
                        "kinds": ["instances", "groups"],
                        "targets": ["aws-use1"],
                        "idle": {
                            "lasts": "2h",
                            "signals": [
                                {"metric": "machine.cpu", "below": 0.05, "label": "instance", "value": "id"},
                                {"metric": "machine.network", "below": 10000, "label": "instance"},
                            ],
                        },
                    },
                    {"at": 120, "do": "refuse-gpu-deploys"},
                ],
            }
        },
        "rates": {"file": "rates/eurofxref-hist.csv", "source": "European Central Bank", "max_age": 7},
        "allocation": {
            "rules": [
                {
                    "name": "platform",
                    "where": ["service~Amazon Elastic Kubernetes*"],
                    "split": "proportional",
                    "among": ["risk", "ads"],
                },
                {"name": "support", "where": ["service=AWS Support"], "split": "weights", "weights": {"risk": 2, "ads": 1}},
                {"name": "owners", "by": "tag:owner", "map": {"*@risk.example.com": "risk"}},
                {"name": "sandbox", "where": ["account=123456789012"], "to": "research"},
                {"name": "teams", "by": "team"},
            ],
        },
        "schedules": {
            "office": {
                "hours": ["mon-fri 08:00-18:00"],
                "zone": "Europe/Berlin",
                "holidays": "DE-BY",
                "match": {"environment": "dev"},
                "kinds": ["instances", "groups"],
                "targets": ["aws-use1"],
                "idle": {
                    "lasts": "2h",
                    "signals": [
                        {"metric": "AWS/EC2:CPUUtilization", "below": 5, "label": "InstanceId", "value": "id"},
                        {"metric": "AWS/EC2:NetworkIn", "below": 100000, "label": "InstanceId"},
                    ],
                },
            },
        },
    },
    "store": {"url": ""},
    "infra": {
        "binary": "",
        "environment": "dev",
        "at_once": 8,
        "profile": "dev",
        "team": "risk",
        "cost_centre": "4711",
        "part": "",
        "vpn": False,
        "policies": "",
        "monthly_budget": 2000,
        "tags": {"data-class": "internal"},
        "clouds": {
            "aws": {
                "region": "eu-central-1",
                "layers": ["network", "cluster", "data", "ml"],
                "settings": {"network": {"nat": "one"}, "cluster": {"gpu": {"max": 2}}},
            }
        },
        "secrets": {"dns": {"token": "DNS_TOKEN"}},
        "units": {
            "dns": {
                "module": "infra/dns",
                "clouds": ["aws"],
                "after": ["aws-cluster"],
                "inputs": {"vpc_id": "aws-network.network.vpc_id"},
                "variables": {"ttl": 60},
            }
        },
    },
    "providers": {"local": {"currency": "USD", "prices": {"us-east-1": {"vcpu_hour": 0.048, "gib_hour": 0.0053}}}},
}


def annotated() -> str:
    """Return the example as TOML, each key with its description above it where it stands for the first time."""
    return "\n".join(_table("", VALUES, Settings, set())) + "\n"


def render(values: dict[str, Any]) -> str:
    """Return settings as plain TOML, without explanations."""
    return "\n".join(_table("", values, None, set())).lstrip("\n") + "\n"


def _table(path: str, values: dict[str, Any], model: Any, said: set[str], about: tuple[str, ...] = ()) -> Iterator[str]:
    below = {key: value for key, value in values.items() if isinstance(value, dict)}
    tables = {key: value for key, value in below.items() if _stands_alone(path, value) or isinstance(model, _Names)}
    if path and len(values) > len(tables):
        yield from ("", *about, f"[{path}]")
    elif about:
        yield from ("", *about)
    for key, value in values.items():
        if key not in tables:
            yield from _explained(key, model, said)
            yield f"{_key(key)} = {toml_value(value)}"
    for key, value in tables.items():
        description = tuple(_explained(key, model, said))
        yield from _table(f"{path}.{_key(key)}" if path else _key(key), value, _inside(model, key), said, description)


def _stands_alone(path: str, value: dict[str, Any]) -> bool:
    """A table of its own at the top and for each name; deeper ones (rollout, score) are written inline."""
    return path.count(".") == 0 and (not path or any(isinstance(inner, dict) for inner in value.values()) or bool(value))


def _explained(key: str, model: Any, said: set[str]) -> Iterator[str]:
    field = getattr(model, "model_fields", {}).get(key)
    if field is not None and field.description and field.description not in said:
        said.add(field.description)
        yield f"# {field.description}"


def _inside(model: Any, key: str) -> Any:
    """Return the model below a key; for a table of names the model of one entry is reached through a `_Names`."""
    if isinstance(model, _Names):
        return model.entry
    field = getattr(model, "model_fields", {}).get(key)
    annotation = field.annotation if field else None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = getattr(annotation, "__args__", ())
    return _Names(arguments[-1]) if arguments else None


class _Names:
    def __init__(self, entry: Any) -> None:
        self.entry = entry


def toml_value(value: object) -> str:
    """Write one value as TOML (inline for lists and tables). Raises TypeError for what TOML does not have."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(entry) for entry in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {toml_value(entry)}" for key, entry in value.items()) + " }"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)
