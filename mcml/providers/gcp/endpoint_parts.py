"""A version at Vertex AI, as values: the resources of a request read and checked, and what mcml wrote on endpoints read back."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcml.core.errors import InvalidRequest, unknown
from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.api.endpoint_size import ReplicaSize
from mcml.providers.gcp.vertex_prices import Replica

PORT = 8080
MACHINE = "e2-standard-2"
SCALES_AT = 60
RESOURCES = ("machine", "accelerator", "accelerator_count", "replicas", "max_replicas", "spot", "service_account")
_IMAGE = re.compile(r"[a-z0-9.-]+\.[a-z]+(?::\d+)?/[a-z0-9._/-]+(?::[\w.-]+|@sha256:[0-9a-f]{64})?")
_TEXT = re.compile(r"[\w.:+-]+")


@dataclass(frozen=True)
class About:
    """What mcml writes into an endpoint's description, exactly, as labels cannot hold it: the model, the target, and the tags."""

    model: str
    target: str
    tags: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return it as a description."""
        return json.dumps({"mcml": {"model": self.model, "target": self.target, "tags": dict(self.tags)}}, sort_keys=True)


def read_about(description: str) -> About | None:
    """Read what `About.text` wrote; None for anything else."""
    try:
        told = json.loads(description)["mcml"]
        return About(str(told["model"]), str(told["target"]), {str(key): str(value) for key, value in told["tags"].items()})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def display_name(version: str, digest: str) -> str:
    """Return the display name of a deployed model: it is the one place there for its version and digest."""
    return f"{version} {digest}"


def read_display_name(name: str) -> tuple[str, str]:
    """Return version and digest; the digest of what mcml did not deploy is empty."""
    version, _, digest = name.partition(" ")
    return version, digest


def is_image(source: str) -> bool:
    """Tell whether a source is an image in a registry ("europe-west1-docker.pkg.dev/p/r/name:tag") and not a folder."""
    return _IMAGE.fullmatch(source) is not None


def check(request: EndpointRequest) -> None:
    """Raise InvalidRequest for what Vertex AI cannot hold: odd versions and digests, resources it does not know."""
    doing = f"cannot deploy {request.name} version {request.version}"
    for what, text in (("version", request.version), ("digest", request.digest)):
        if not _TEXT.fullmatch(text):
            raise InvalidRequest(doing, why=f"the {what} {text!r} is not made of letters, digits and . : + - _")
    if len(display_name(request.version, request.digest)) > 128:
        raise InvalidRequest(doing, why="version and digest together are longer than the 127 characters that Vertex AI holds")
    check_resources(doing, request.resources, RESOURCES)


def check_resources(doing: str, wanted: Mapping[str, str], known: Sequence[str]) -> None:
    """Raise InvalidRequest for a resource that is not known here."""
    odd = sorted(set(wanted) - set(known))
    if odd:
        raise InvalidRequest(doing, why=f"Vertex AI has no resource {odd[0]!r}; there are {', '.join(known)}")


def container(request: EndpointRequest, image: str) -> dict[str, Any]:
    """Return the container of a model: a v2 server that is asked for one model. Its requests arrive by `rawPredict` as they were sent.

    https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements.
    """
    return {
        "image_uri": image,
        "env": [{"name": name, "value": value} for name, value in sorted(request.environment.items())],
        "ports": [{"container_port": PORT}],
        "predict_route": f"/v2/models/{request.name}/infer",
        "health_route": "/v2/health/ready",
    }


def machines(request: EndpointRequest) -> dict[str, Any]:
    """Return on what a version runs. Raises InvalidRequest for a number that is none."""
    wanted, doing = request.resources, f"cannot deploy {request.name} version {request.version}"
    least = number(doing, wanted, "replicas", 1)
    most = max(least, number(doing, wanted, "max_replicas", least))
    spec = machine_spec(doing, wanted, MACHINE)
    return {"machine_spec": spec, "min_replica_count": least, "max_replica_count": most, **({"spot": True} if is_spot(wanted) else {})}


def machine_spec(doing: str, wanted: Mapping[str, str], default: str) -> dict[str, Any]:
    """Return a machine type with its accelerators. Raises InvalidRequest for a number that is none.

    Names of accelerators: https://cloud.google.com/vertex-ai/docs/reference/rest/v1/MachineSpec#AcceleratorType ("nvidia-l4" is NVIDIA_L4).
    """
    spec: dict[str, Any] = {"machine_type": wanted.get("machine", default)}
    if "accelerator" in wanted:
        from google.cloud.aiplatform_v1 import AcceleratorType

        kind = wanted["accelerator"].upper().replace("-", "_")
        if kind not in AcceleratorType.__members__:
            known = [name.lower().replace("_", "-") for name in AcceleratorType.__members__ if "UNSPECIFIED" not in name]
            raise unknown("accelerator of Vertex AI", wanted["accelerator"], known)
        spec |= {"accelerator_type": kind, "accelerator_count": number(doing, wanted, "accelerator_count", 1)}
    return spec


def size_of(wanted: Mapping[str, str]) -> ReplicaSize:
    """Return what these resources give each replica. Raises InvalidRequest as a deploy does.

    Vertex AI adds replicas at 60 % of their CPU where nothing else is said:
    https://cloud.google.com/vertex-ai/docs/reference/rest/v1/DedicatedResources#AutoscalingMetricSpec.
    """
    doing = "cannot size a model"
    check_resources(doing, wanted, RESOURCES)
    least = number(doing, wanted, "replicas", 1)
    most = max(least, number(doing, wanted, "max_replicas", least))
    type = machine_spec(doing, wanted, MACHINE)["machine_type"]
    count = number(doing, wanted, "accelerator_count", 1) if "accelerator" in wanted else 0
    replica = Replica(type, accelerator_name(wanted.get("accelerator", "")), count, is_spot(wanted))
    return ReplicaSize(machine=str(replica), type=type, replicas=least, most_replicas=most, scales_at=SCALES_AT)


def accelerator_name(name: str) -> str:
    """Return the name that Compute Engine has for an accelerator: NVIDIA_TESLA_T4 is nvidia-tesla-t4 there."""
    return name.lower().replace("_", "-")


def replica_of(given: Any) -> Replica:
    """Return what each replica of a deployed model runs on, by its dedicated resources (an object of the SDK)."""
    spec = given.machine_spec
    name = accelerator_name(spec.accelerator_type.name) if spec.accelerator_count else ""
    return Replica(spec.machine_type, name, spec.accelerator_count, bool(given.spot))


def is_spot(wanted: Mapping[str, str]) -> bool:
    """Tell whether spot machines are asked for."""
    return wanted.get("spot", "").lower() in ("1", "true", "yes")


def number(doing: str, wanted: Mapping[str, str], name: str, default: int) -> int:
    """Return a resource that is a number from 1. Raises InvalidRequest."""
    text = wanted.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise InvalidRequest(doing, why=f"{name} = {text!r} is no number from 1")
    return int(text)


def spread(stored: Mapping[str, int], ids: Sequence[str]) -> dict[str, int]:
    """Give 100 percent to the deployed models that are there (oldest first) in the proportion they had; without any, all to the newest."""
    kept = {one: max(stored.get(one, 0), 0) for one in ids}
    total = sum(kept.values())
    if not total:
        return {one: 100 if one == ids[-1] else 0 for one in ids}
    shares = {one: weight * 100 // total for one, weight in kept.items()}
    for one in sorted(kept, key=lambda one: -(kept[one] * 100 % total))[: 100 - sum(shares.values())]:
        shares[one] += 1
    return shares
