"""Endpoints of SageMaker in memory, checked by the SDK's service model: states that take time, updates that roll back, its own words.

    with AwsModel("sagemaker", "logs") as aws:
        stub = SageMakerStub(aws)
        client = boto3.client("sagemaker", endpoint_url=aws.url)

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html. A state lasts for `polls` answers of DescribeEndpoint.
A model whose image contains `broken` never passes its health check, one with `full` gets no machine: a new endpoint fails, an update of
one rolls back. Names are checked by the model's patterns. What is named and not there is a ValidationException "Could not find ...", what
exists a ValidationException "Cannot create already existing ...", as SageMaker has it. Listings give `page` items at a time, or `tag_page`
tags.
"""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcml.core.clock import Clock, utc_now
from mcml.testing.stubs.aws_model import AwsError, AwsModel

ACCOUNT, REGION = "123456789012", "eu-west-1"
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_IN_PROGRESS = ("Creating", "Updating", "RollingBack", "SystemUpdating")
PING = "The primary container for production variant {} did not pass the ping health check. Please check CloudWatch logs for this endpoint."
CAPACITY = "Unable to provision requested ML compute capacity for {} due to InsufficientInstanceCapacity error."


@dataclass
class StubEndpoint:
    """An endpoint: the configuration in force, the one that comes, and how many more answers its state lasts."""

    config: str
    status: str
    left: int
    pending: str = ""
    reason: str = ""
    weights: dict[str, float] = field(default_factory=dict)
    wanted: dict[str, float] = field(default_factory=dict)


class SageMakerStub:
    """Registers its handlers at an `AwsModel` that serves "sagemaker". Thread-safe."""

    def __init__(self, aws: AwsModel, *, polls: int = 2, page: int = 2, tag_page: int = 50, clock: Clock = utc_now) -> None:
        self.polls, self.page, self.tag_page, self.clock = polls, page, tag_page, clock
        self.models: dict[str, Mapping[str, Any]] = {}
        self.configs: dict[str, Mapping[str, Any]] = {}
        self.endpoints: dict[str, StubEndpoint] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.lock = threading.RLock()
        for name in vars(SageMakerStub):
            if name[0].isupper():
                aws.on("sagemaker", name, self._locked(getattr(self, name)))

    def CreateModel(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802 - the operations' own names, here and below
        """Store it."""
        if not asked["PrimaryContainer"].get("Image"):
            raise invalid("Requires field Image in PrimaryContainer")
        return {"ModelArn": self._new(self.models, "model", asked["ModelName"], asked)}

    def DeleteModel(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Forget it; SageMaker does not ask whether a configuration names it."""
        self._drop(self.models, "model", asked["ModelName"])
        return {}

    def ListModels(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page."""
        page, more = self._page([name for name in sorted(self.models) if asked.get("NameContains", "").lower() in name.lower()], asked)
        return {"Models": [{"ModelName": name, "ModelArn": arn("model", name), "CreationTime": self.clock()} for name in page], **more}

    def CreateEndpointConfig(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Store it when its models are there and its variants have names of their own."""
        names = [variant["VariantName"] for variant in asked["ProductionVariants"]]
        if len(set(names)) < len(names) or len(names) > 10:
            raise invalid("Variant names must be unique, and at most 10")
        for variant in asked["ProductionVariants"]:
            valid_name(variant["VariantName"])
            if variant["ModelName"] not in self.models:
                raise invalid(f'Could not find model "{arn("model", variant["ModelName"])}".')
        return {"EndpointConfigArn": self._new(self.configs, "endpoint-config", asked["EndpointConfigName"], asked)}

    def DescribeEndpointConfig(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """As it was created."""
        name = asked["EndpointConfigName"]
        found = self._find(self.configs, "endpoint-config", name, "endpoint configuration")
        about = {"EndpointConfigName": name, "EndpointConfigArn": arn("endpoint-config", name), "CreationTime": self.clock()}
        return {**about, "ProductionVariants": found["ProductionVariants"]}

    def DeleteEndpointConfig(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Forget it, unless an endpoint uses it."""
        name = asked["EndpointConfigName"]
        if any(name in (one.config, one.pending) for one in self.endpoints.values()):
            raise invalid(f'Cannot delete endpoint configuration "{name}" that is in use')
        self._drop(self.configs, "endpoint-config", name, "endpoint configuration")
        return {}

    def ListEndpointConfigs(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page."""
        page, more = self._page([name for name in sorted(self.configs) if asked.get("NameContains", "").lower() in name.lower()], asked)
        now = self.clock()
        found = [{"EndpointConfigName": one, "EndpointConfigArn": arn("endpoint-config", one), "CreationTime": now} for one in page]
        return {"EndpointConfigs": found, **more}

    def CreateEndpoint(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Begin to create."""
        config = asked["EndpointConfigName"]
        self._find(self.configs, "endpoint-config", config, "endpoint configuration")
        made = StubEndpoint(config, "Creating", self.polls)
        told = self._new(self.endpoints, "endpoint", asked["EndpointName"], made, asked.get("Tags"))
        self._take(made, config)
        return {"EndpointArn": told}

    def UpdateEndpoint(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Begin to update."""
        found = self._changeable(asked["EndpointName"])
        config = asked["EndpointConfigName"]
        self._find(self.configs, "endpoint-config", config, "endpoint configuration")
        found.status, found.left, found.pending, found.reason = "Updating", self.polls, config, ""
        if not asked.get("RetainAllVariantProperties"):
            found.weights = {}
        return {"EndpointArn": arn("endpoint", asked["EndpointName"])}

    def UpdateEndpointWeightsAndCapacities(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Begin to shift."""
        found = self._changeable(asked["EndpointName"])
        wanted = {one["VariantName"]: float(one.get("DesiredWeight", 1)) for one in asked["DesiredWeightsAndCapacities"]}
        if missing := set(wanted) - set(found.weights):
            raise invalid(f'Variant "{min(missing)}" does not exist on the endpoint')
        if not sum((found.weights | wanted).values()):
            raise invalid("The sum of the weights must be more than zero")
        found.status, found.left, found.wanted = "Updating", self.polls, found.weights | wanted
        return {"EndpointArn": arn("endpoint", asked["EndpointName"])}

    def DescribeEndpoint(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Say how it is, after time has passed."""
        name = asked["EndpointName"]
        found = self._endpoint(name)
        self._advance(name, found)
        if name not in self.endpoints:
            raise invalid(f'Could not find endpoint "{arn("endpoint", name)}".')
        now = self.clock()
        told: dict[str, Any] = {
            "EndpointName": name, "EndpointArn": arn("endpoint", name), "EndpointStatus": found.status, "CreationTime": now,
            "LastModifiedTime": now, "EndpointConfigName": found.config,
        }  # fmt: skip
        if found.status not in ("Creating", "Failed"):
            wanted = found.wanted or found.weights
            made = self.configs.get(found.config, {}).get("ProductionVariants", ())
            counts = {one["VariantName"]: one.get("InitialInstanceCount", 1) for one in made}
            told["ProductionVariants"] = [
                {
                    "VariantName": one,
                    "CurrentWeight": now,
                    "DesiredWeight": wanted[one],
                    **dict.fromkeys(("CurrentInstanceCount", "DesiredInstanceCount"), counts.get(one, 1)),
                }
                for one, now in found.weights.items()
            ]
        if found.pending:
            told["PendingDeploymentSummary"] = {"EndpointConfigName": found.pending}
        return told | ({"FailureReason": found.reason} if found.reason else {})

    def DeleteEndpoint(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Begin to delete."""
        found = self._endpoint(asked["EndpointName"])
        if found.status == "Updating":
            raise invalid(f'Cannot update in-progress endpoint "{arn("endpoint", asked["EndpointName"])}".')
        found.status, found.left = "Deleting", self.polls
        return {}

    def ListEndpoints(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page."""
        page, more = self._page([name for name in sorted(self.endpoints) if asked.get("NameContains", "").lower() in name.lower()], asked)
        now = {"CreationTime": self.clock(), "LastModifiedTime": self.clock()}
        states = {name: self.endpoints[name].status for name in page}
        found = [{"EndpointName": name, "EndpointArn": arn("endpoint", name), "EndpointStatus": states[name], **now} for name in page]
        return {"Endpoints": found, **more}

    def ListTags(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """A page."""
        tags = self._tags(asked["ResourceArn"])
        page, more = self._page(sorted(tags), asked, self.tag_page)
        return {"Tags": [{"Key": key, "Value": tags[key]} for key in page], **more}

    def AddTags(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        """Set them."""
        tags = self._tags(asked["ResourceArn"])
        tags.update({tag["Key"]: tag["Value"] for tag in asked["Tags"]})
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _advance(self, name: str, found: StubEndpoint) -> None:
        found.left -= 1
        if found.left > 0 or found.status not in (*_IN_PROGRESS, "Deleting"):
            return
        if found.status == "Deleting":
            self._drop(self.endpoints, "endpoint", name)
        elif found.status == "Creating":
            found.reason = self._trouble(found.config)
            found.status = "Failed" if found.reason else "InService"
        elif found.status == "Updating" and found.pending and (reason := self._trouble(found.pending)):
            found.status, found.left, found.reason, found.pending = "RollingBack", self.polls, reason, ""
        else:
            if found.pending:
                self._take(found, found.pending)
            found.weights = found.wanted or found.weights
            found.status, found.pending, found.wanted = "InService", "", {}

    def _take(self, found: StubEndpoint, config: str) -> None:
        """Let a configuration be in force; variants that were there keep their weights."""
        variants = self.configs[config]["ProductionVariants"]
        weights = {one["VariantName"]: float(one.get("InitialVariantWeight", 1)) for one in variants}
        found.weights = {name: found.weights.get(name, weight) for name, weight in weights.items()}
        found.config = config

    def _trouble(self, config: str) -> str:
        for variant in self.configs[config]["ProductionVariants"]:
            image = self.models[variant["ModelName"]]["PrimaryContainer"]["Image"] if variant["ModelName"] in self.models else "broken"
            if "broken" in image:
                return PING.format(variant["VariantName"])
            if "full" in image:
                return CAPACITY.format(variant["InstanceType"])
        return ""

    def _endpoint(self, name: str) -> StubEndpoint:
        return self._find(self.endpoints, "endpoint", name)  # type: ignore[no-any-return]

    def _changeable(self, name: str) -> StubEndpoint:
        found = self._endpoint(name)
        if found.status in (*_IN_PROGRESS, "Deleting"):
            raise invalid(f'Cannot update in-progress endpoint "{arn("endpoint", name)}".')
        if found.status == "Failed":
            raise invalid(f'Cannot update failed endpoint "{arn("endpoint", name)}".')
        return found

    def _new(self, into: dict[str, Any], kind: str, name: str, what: Any, tags: Any = None) -> str:
        valid_name(name)
        if name in into:
            raise invalid(f'Cannot create already existing {kind.replace("-config", " configuration")} "{arn(kind, name)}".')
        into[name] = what
        listed = tags if tags is not None or not isinstance(what, Mapping) else what.get("Tags")
        self.tags[arn(kind, name)] = {tag["Key"]: tag["Value"] for tag in listed or ()}
        return arn(kind, name)

    def _find(self, among: Mapping[str, Any], kind: str, name: str, words: str = "") -> Any:
        if name not in among:
            raise invalid(f'Could not find {words or kind} "{arn(kind, name)}".')
        return among[name]

    def _drop(self, among: dict[str, Any], kind: str, name: str, words: str = "") -> None:
        self._find(among, kind, name, words)
        del among[name], self.tags[arn(kind, name)]

    def _tags(self, resource: str) -> dict[str, str]:
        if resource not in self.tags:
            raise invalid(f"Could not find resource {resource}")
        return self.tags[resource]

    def _page(self, names: list[str], asked: Mapping[str, Any], size: int = 0) -> tuple[list[str], dict[str, str]]:
        rest = [name for name in names if name > asked.get("NextToken", "")]
        page = rest[: size or self.page]
        return page, {"NextToken": page[-1]} if len(rest) > len(page) else {}

    def _locked(self, handler: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
        def handle(asked: dict[str, Any]) -> Mapping[str, Any]:
            with self.lock:
                return handler(asked)

        return handle


def arn(kind: str, name: str) -> str:
    """Return the ARN of a resource: in lower case, whatever its name is."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name.lower()}"


def invalid(text: str) -> AwsError:
    """Return the error that SageMaker has for nearly everything."""
    return AwsError("ValidationException", text)


def valid_name(name: str) -> None:
    """Raise unless a name is one that SageMaker takes: the SDK does not look."""
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise invalid(f"1 validation error detected: Value '{name}' failed to satisfy constraint: regular expression pattern")
