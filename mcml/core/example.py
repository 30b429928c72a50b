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
            "team": "risk",
            "project": "payments",
        }
    },
    "routes": {
        "fraud": {
            "model": "fraud",
            "pattern": "active-active",
            "score": {"latency": 0.4, "cost": 0.3, "reliability": 0.3},
            "timeout": 30.0,
            "per_try_timeout": 2.0,
        }
    },
    "router": {"host": "127.0.0.1", "port": 8080, "admin_port": 0},
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
