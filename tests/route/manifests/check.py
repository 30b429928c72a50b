"""Check manifests on stdin (JSON list) against what Kubernetes and Istio say they look like; print one line a complaint.

Runs in an environment of its own: kubernetes-validate (Kubernetes' OpenAPI schemas) and cloudcoil's Istio models (from Istio's CRDs).
"""

import json
import sys
from typing import Any


def complaints(one: dict[str, Any]) -> list[str]:
    """Return what is wrong with one object."""
    group = one["apiVersion"].rpartition("/")[0]
    if group == "networking.istio.io":
        return _istio(one)
    if group == "gateway.networking.k8s.io":
        return []  # the test has a schema for these
    import kubernetes_validate  # type: ignore[import-not-found]  # it is only in that environment

    try:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as wrong:
        return [f"{one['kind']}: {wrong.message} at {list(wrong.path)}"]
    return []


def _istio(one: dict[str, Any]) -> list[str]:
    from importlib import import_module

    model = getattr(import_module("cloudcoil.models.istio.networking.v1"), one["kind"])
    try:
        known = model.model_validate(one).model_dump(mode="json", by_alias=True, exclude_none=True)
    except ValueError as wrong:
        return [f"{one['kind']}: {wrong}"]
    return [f"{one['kind']}: unknown field {path}" for path in _missing(one["spec"], known["spec"], "spec")]


def _missing(given: Any, known: Any, path: str) -> list[str]:
    """Return what stands in `given` and not in `known`: the models drop what they do not know."""
    if isinstance(given, dict):
        gone = [f"{path}.{key}" for key in given if key not in known]
        return gone + [found for key in given if key in known for found in _missing(given[key], known[key], f"{path}.{key}")]
    if isinstance(given, list):
        return [found for number, one in enumerate(given) for found in _missing(one, known[number], f"{path}[{number}]")]
    return []


if __name__ == "__main__":
    for manifest in json.load(sys.stdin):
        for complaint in complaints(manifest):
            print(complaint)
