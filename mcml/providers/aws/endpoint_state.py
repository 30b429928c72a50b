"""What SageMaker says of an endpoint, as values: its variants with their models, versions and weights, and our words for its state."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mcml.providers.api.endpoint import Endpoint, EndpointState, Variant
from mcml.providers.aws.sagemaker import SageMaker, percents
from mcml.providers.aws.tags import OURS

TARGET, MODEL, VERSION, DIGEST = "mcml-target", "mcml-model", "mcml-version", "mcml-digest"
BUSY = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
FAILED = frozenset({"Failed", "OutOfService"})


@dataclass(frozen=True)
class LiveVariant:
    """A production variant: how its configuration describes it, its weight now, and what its model's tags say."""

    name: str
    config: Mapping[str, Any]
    weight: float
    version: str
    digest: str
    pending: bool = False
    replicas: int = 0


@dataclass(frozen=True)
class Live:
    """An endpoint as it is now; `config` names the configuration in force, `pending` the one that an update is bringing."""

    name: str
    arn: str
    status: str
    config: str
    pending: str
    reason: str
    variants: tuple[LiveVariant, ...]
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def serving(self) -> tuple[LiveVariant, ...]:
        """The variants in force, oldest first."""
        return tuple(variant for variant in self.variants if not variant.pending)

    def find(self, version: str) -> LiveVariant | None:
        """Return a version that is in force."""
        return next((variant for variant in self.serving if variant.version == version), None)

    def shares(self) -> dict[str, int]:
        """Return the traffic of each version, in percent."""
        return percents({variant.version: variant.weight for variant in self.serving})


def read(sagemaker: SageMaker, doing: str, name: str) -> Live | None:
    """Return an endpoint of SageMaker by its name there; None when there is none."""
    return live_of(sagemaker, doing, sagemaker.find(doing, "describe_endpoint", EndpointName=name))


def live_of(sagemaker: SageMaker, doing: str, found: Any) -> Live | None:
    """Return what an answer of DescribeEndpoint means, with the versions that the tags of its models tell."""
    if found is None:
        return None
    config, pending = found.get("EndpointConfigName", ""), found.get("PendingDeploymentSummary", {}).get("EndpointConfigName", "")
    weights = {one["VariantName"]: one.get("DesiredWeight", one.get("CurrentWeight", 0.0)) for one in found.get("ProductionVariants", ())}
    counts = {one["VariantName"]: one.get("CurrentInstanceCount", 0) for one in found.get("ProductionVariants", ())}
    variants = _variants(sagemaker, doing, found["EndpointArn"], config, weights)
    variants = tuple(replace(each, replicas=counts.get(each.name) or each.config.get("InitialInstanceCount", 0)) for each in variants)
    if pending and pending != config:
        known = {variant.name for variant in variants}
        coming = _variants(sagemaker, doing, found["EndpointArn"], pending, {}, pending=True)
        variants += tuple(variant for variant in coming if variant.name not in known)
    tags = sagemaker.tags(doing, found["EndpointArn"])
    arn, status, reason = found["EndpointArn"], found["EndpointStatus"], found.get("FailureReason", "")
    return Live(found["EndpointName"], arn, status, config, pending, reason, variants, tags)


def _variants(
    sagemaker: SageMaker, doing: str, arn: str, config: str, weights: Mapping[str, float], *, pending: bool = False
) -> tuple[LiveVariant, ...]:
    told = sagemaker.find(doing, "describe_endpoint_config", EndpointConfigName=config) if config else None
    found = []
    for one in told["ProductionVariants"] if told else ():
        tags = sagemaker.tags(doing, f"{arn.rpartition(':endpoint/')[0]}:model/{one['ModelName'].lower()}")
        name = one["VariantName"]
        weight = weights.get(name, 0.0 if pending else one.get("InitialVariantWeight", 1.0))
        found.append(LiveVariant(name, one, weight, tags.get(VERSION, name), tags.get(DIGEST, ""), pending))
    return tuple(found)


def told(live: Live) -> Endpoint:
    """Return an endpoint in our words. While it is updated, what was in force serves on, and what comes is starting."""
    shares = live.shares()
    variants = (
        Variant(
            variant.version,
            variant.digest,
            _state(live, variant),
            0 if variant.pending else shares[variant.version],
            address=live.name,
            detail=live.reason if live.status in FAILED else "",
            machine=variant.config.get("InstanceType", ""),
            replicas=variant.replicas,
        )
        for variant in live.variants
    )
    own = {key: value for key, value in live.tags.items() if key not in (TARGET, MODEL, *OURS)}
    return Endpoint(live.tags.get(MODEL, live.name), live.tags.get(TARGET, ""), tuple(variants), own)


def _state(live: Live, variant: LiveVariant) -> EndpointState:
    if live.status in FAILED:
        return "failed"
    return "starting" if variant.pending or live.status == "Creating" else "ready"
