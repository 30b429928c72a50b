"""Manifests as a document: YAML for people and kubectl, the objects themselves as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcml.core.view import Document, Text


def configuration(whole: Mapping[str, Any]) -> Document:
    """Show a configuration of Envoy as JSON, which Envoy reads as it is."""
    import json

    return Document("RouteExport", [{"name": "envoy", **whole}], (Text(json.dumps(whole, indent=2), verbatim=True),))


def manifests(objects: Sequence[Mapping[str, Any]]) -> Document:
    """Show Kubernetes objects as one YAML stream."""
    import yaml

    text = yaml.safe_dump_all(objects, sort_keys=False, width=1000)
    items = [{"name": f"{one['kind']}/{one['metadata']['name']}", **one} for one in objects]
    return Document("RouteExport", items, (Text(text.rstrip(), verbatim=True),))
