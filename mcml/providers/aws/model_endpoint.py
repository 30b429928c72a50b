"""Models on SageMaker: an endpoint for each model of a target, a production variant for each version.

https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints.html. What is wanted:

- `source` is a model package folder (packed to `[providers.aws] staging`, unpacked in the container's /opt/ml/model), `s3://...` (a
  `.tar.gz`, or a prefix ending in '/'), or an image that holds its model. The image of the first two is `resources.image`, else
  `[providers.aws] serving_image`; every image answers /ping and /invocations on port 8080.
- `resources`: machine ("ml.m5.large"), replicas ("1"), image. `environment` is the container's. `[providers.aws] sagemaker_role` is needed.

A change is a new endpoint configuration and an UpdateEndpoint: SageMaker starts it beside the old one (blue-green), and goes back to the
old one by itself when it does not come up. Target, model, version and digest are tags; models and configurations carry the endpoint's
name before theirs, so that what a killed command left is found and deleted.
"""

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, StillRunning, Unavailable, Usage, unknown
from mcml.providers.api.endpoint import Endpoint, EndpointRequest, InvokeTarget, ModelEndpoint
from mcml.providers.api.endpoint_price import ReplicaPrice
from mcml.providers.api.endpoint_size import ReplicaSeries, ReplicaSize
from mcml.providers.api.metrics import MachineMetric
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.endpoint_prices import hosting_price
from mcml.providers.aws.endpoint_size import machines, series_of, size_of
from mcml.providers.aws.endpoint_state import BUSY, DIGEST, FAILED, MODEL, TARGET, VERSION, Live, LiveVariant, live_of, read, told
from mcml.providers.aws.model_source import container, variant_config
from mcml.providers.aws.sagemaker import SageMaker, endpoint_name, failure, prefix_of, variant_name
from mcml.providers.aws.session import Session
from mcml.providers.aws.signing import held_keys, signer
from mcml.providers.aws.tags import OURS, tag_list
from mcml.providers.resilience import Policy

READY_SECONDS = 3600.0
VARIANT_HEADER = "X-Amzn-SageMaker-Target-Variant"


def open_model_endpoint(ctx: ProviderContext) -> ModelEndpoint:
    """Return the SageMaker endpoints of the context's target."""
    return SageMakerEndpoint(Session(ctx, policy=Policy(budget=ctx.budget)))


class SageMakerEndpoint:
    """Endpoints of one target, in its region."""

    def __init__(self, session: Session, *, ready_seconds: float = READY_SECONDS) -> None:
        self._session, self._ready_seconds = session, ready_seconds
        self._sagemaker = SageMaker(session)
        self._target = session.ctx.target

    def size(self, resources: Mapping[str, str]) -> ReplicaSize:
        """Return the instances of a version."""
        return size_of(resources)

    def machines(self) -> Mapping[str, str]:
        """Return the types that an endpoint takes."""
        return machines(self._sagemaker)

    def series(self, name: str, version: str) -> Mapping[MachineMetric, ReplicaSeries]:
        """Return the series of CloudWatch for a version."""
        return series_of(self._target, name, version)

    def replica_price(self, machine: str) -> ReplicaPrice:
        """Return the price of an hour of an instance, hosting a model."""
        return hosting_price(self._session, machine)

    def describe(self, name: str = "") -> list[Endpoint]:
        """Return the endpoint of that name, or all of the target's. One that is being deleted is none."""
        doing = f"cannot describe {name or 'the endpoints'} on {self._target}"
        if name:
            names = [endpoint_name(self._target, name)]
        else:
            listed = self._sagemaker.pages(doing, "list_endpoints", "Endpoints", NameContains=prefix_of(self._target))
            names = [one["EndpointName"] for one in listed]
        found = (read(self._sagemaker, doing, one) for one in names)
        endpoints = (told(live) for live in found if live is not None and live.status != "Deleting" and live.variants)
        return sorted((one for one in endpoints if one.target == self._target), key=lambda endpoint: endpoint.name)

    def create(self, request: EndpointRequest) -> Endpoint:
        """Start a version beside those that run, without traffic unless it is the first; return when it is ready (an hour at most).

        One that runs with this digest is kept, and its tags brought up to date; an endpoint that has failed is made again.
        Raises InvalidRequest when it does not come up (nothing is left then), QuotaExceeded, Conflict for another digest or while
        somebody else changes the endpoint, Usage without a role, StillRunning.
        """
        if not self._session.settings.sagemaker_role:
            step = "set sagemaker_role in [providers.aws] of mcml.toml"
            raise Usage(f"cannot deploy {request.name} on {self._target}", why="SageMaker needs a role to run it with", next_step=step)
        doing = f"cannot deploy {request.name} version {request.version} on {self._target}"
        live = self._settled(doing, request.name)
        known = live.find(request.version) if live else None
        if known is not None and live is not None and known.digest != request.digest and live.status not in FAILED:
            step = f"give the new model another version, or: mcml deploy delete {request.name} --target {self._target}"
            raise Conflict(doing, why=f"it is another model, with the digest {known.digest[:12]}", next_step=step)
        if known is None or live is None or live.status in FAILED:
            try:
                self._start(doing, request, live)
            except Conflict:
                now = self._settled(doing, request.name)
                known = now.find(request.version) if now else None
                if known is None or known.digest != request.digest:  # it is not that somebody else started the same a moment before us
                    raise
            live = self._must(doing, request.name)
        return told(self._retagged(doing, live, self._tags(request)))

    def shift_traffic(self, name: str, weights: Mapping[str, int]) -> Endpoint:
        """Set the weight of every variant, in percent, and return when it holds; a version that is not named gets none."""
        doing = f"cannot shift the traffic of {name} on {self._target}"
        live = self._must(doing, name)
        for version in weights:
            if live.find(version) is None:
                raise unknown(f"version of {name}", version, [one.version for one in live.serving], next_step="mcml deploy list")
        if any(weight < 0 for weight in weights.values()) or sum(weights.values()) != 100:
            raise InvalidRequest(doing, why=f"the shares {dict(weights)} are not 0 to 100 percent that add up to 100")
        wanted = {variant.name: float(weights.get(variant.version, 0)) for variant in live.serving}
        return told(self._weighed(doing, name, live, wanted))

    def invoke_target(self, name: str, version: str = "") -> InvokeTarget:
        """Return the runtime's URL; a header chooses the variant, whatever its weight. Requests are signed for the service `sagemaker`.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html. There is no health path.
        """
        doing = f"cannot find the endpoint {name} on {self._target}"
        live = read(self._sagemaker, doing, endpoint_name(self._target, name))
        if live is None or live.status == "Deleting" or not live.serving:
            raise self._no_endpoint(name)
        shares = live.shares()
        chosen = live.find(version or max(reversed(list(shares)), key=lambda one: shares[one]))
        if chosen is None:
            raise unknown(f"version of {name}", version, shares, next_step="mcml deploy list")
        client = self._session.call(doing, lambda: self._session.client("sagemaker-runtime"))
        path, headers = f"/endpoints/{live.name}/invocations", {VARIANT_HEADER: chosen.name}
        url, region = client.meta.endpoint_url.rstrip("/"), client.meta.region_name
        keys, expires = held_keys(self._session, f"cannot log in to {name} on {self._target}")
        sign = signer(keys, "sagemaker", region)
        return InvokeTarget(
            url, path, "", "sigv4", headers=headers, service="sagemaker", region=region, keys=keys, expires=expires, sign=sign
        )

    def delete(self, name: str, version: str = "") -> bool:
        """Delete one version, or the whole endpoint with its configurations and models; return when it is gone."""
        doing = f"cannot delete {name}{f' version {version}' if version else ''} on {self._target}"
        live = self._settled(doing, name)
        known = live.find(version) if live and version else None
        if version and known is None:
            return False
        rest = [variant for variant in live.serving if variant is not known] if live and known else []
        if live is None or known is None or not rest:
            return self._delete_all(doing, name, live)
        if not sum(variant.weight for variant in rest):
            newest = rest[-1].name
            live = self._weighed(doing, name, live, {variant.name: 100.0 if variant.name == newest else 0.0 for variant in live.serving})
            rest = [variant for variant in live.serving if variant.version != version]
        config = self._make_config(doing, live.name, [_kept(variant) for variant in rest])
        self._update(doing, name, live, config)
        self._drop("model", known.config["ModelName"])
        return True

    def _start(self, doing: str, request: EndpointRequest, live: Live | None) -> None:
        """Bring a version up; what it made is deleted when that fails for good."""
        name = endpoint_name(self._target, request.name)
        dead = live.find(request.version) if live else None
        others = [variant for variant in live.serving if variant is not dead] if live else []
        model, config = f"{name}-{uuid.uuid4().hex[:12]}", ""
        try:
            self._make_model(doing, request, model)
            added = variant_config(request, variant_name(request.version), model, 0 if others else 100)
            config = self._make_config(doing, name, [*map(_kept, others), added])
            if live is not None and live.status not in FAILED:
                self._update(doing, request.name, live, config)
            else:
                self._create(doing, request, name, config, live)
        except (Unavailable, StillRunning):  # perhaps it is on its way: the next create goes on with it
            raise
        except McmlError:
            for kind, made in (("endpoint_config", config), ("model", model)):
                self._drop(kind, made)
            raise
        self._drop("model", dead.config["ModelName"] if dead else "")

    def _create(self, doing: str, request: EndpointRequest, name: str, config: str, failed: Live | None) -> None:
        if failed is not None:  # of such an endpoint nothing can be changed
            self._gone(doing, name)
            self._drop("endpoint_config", failed.config)
        try:
            tags = tag_list(self._tags(request))
            self._sagemaker.ask(doing, "create_endpoint", EndpointName=name, EndpointConfigName=config, Tags=tags)
        except Conflict:
            if not self._is_coming(doing, name, config):  # the answer to our own call was not lost: somebody was faster
                raise
        live = self._settled(doing, request.name)
        if live is None or live.status in FAILED:
            with suppress(McmlError):
                self._gone(doing, name)
            raise failure(doing, live.reason if live else "it was deleted meanwhile", self._logs(name))

    def _update(self, doing: str, name: str, live: Live, config: str) -> None:
        """Put a configuration in force, and delete the one before. Raises what keeps SageMaker from it."""
        try:
            asked = {"EndpointName": live.name, "EndpointConfigName": config, "RetainAllVariantProperties": True}
            self._sagemaker.ask(doing, "update_endpoint", **asked)
        except Conflict:
            if not self._is_coming(doing, live.name, config):
                raise
        now = self._settled(doing, name)
        if now is None or now.config != config:
            raise failure(doing, now.reason if now else "it was deleted meanwhile", self._logs(live.name))
        self._drop("endpoint_config", live.config)

    def _weighed(self, doing: str, name: str, live: Live, weights: Mapping[str, float]) -> Live:
        wanted = [{"VariantName": variant, "DesiredWeight": weight} for variant, weight in weights.items()]
        try:
            asked = {"EndpointName": live.name, "DesiredWeightsAndCapacities": wanted}
            self._sagemaker.ask(doing, "update_endpoint_weights_and_capacities", **asked)
        except Conflict:
            now = read(self._sagemaker, doing, live.name)
            if now is None or {variant.name: variant.weight for variant in now.serving} != weights:
                raise
        return self._must(doing, name)

    def _delete_all(self, doing: str, name: str, live: Live | None) -> bool:
        where = endpoint_name(self._target, name)
        if live is not None:
            self._gone(doing, where)
        for kind, result, key in (("endpoint_config", "EndpointConfigs", "EndpointConfigName"), ("model", "Models", "ModelName")):
            left = [one[key] for one in self._sagemaker.pages(doing, f"list_{kind}s", result, NameContains=where)]
            for one in left:
                self._drop(kind, one)
        return live is not None

    def _gone(self, doing: str, name: str) -> None:
        self._sagemaker.find(doing, "delete_endpoint", EndpointName=name)
        self._wait(doing, name, lambda found: found is None)

    def _make_model(self, doing: str, request: EndpointRequest, name: str) -> None:
        settings = self._session.settings
        tags = tag_list(self._tags(request), {VERSION: request.version, DIGEST: request.digest})
        what = {"PrimaryContainer": container(self._session, request), "ExecutionRoleArn": settings.sagemaker_role, "Tags": tags}
        with suppress(Conflict):  # a name that nobody else has: the answer to our own call was lost
            self._sagemaker.ask(doing, "create_model", ModelName=name, **what)

    def _make_config(self, doing: str, endpoint: str, variants: list[Mapping[str, Any]]) -> str:
        name, tags = f"{endpoint}-{uuid.uuid4().hex[:12]}", tag_list({TARGET: self._target}, OURS)
        with suppress(Conflict):  # likewise
            self._sagemaker.ask(doing, "create_endpoint_config", EndpointConfigName=name, ProductionVariants=variants, Tags=tags)
        return name

    def _drop(self, kind: str, name: str) -> None:
        """Delete a model or a configuration; what cannot be deleted stays for the next `delete`."""
        if name:
            key = "ModelName" if kind == "model" else "EndpointConfigName"
            with suppress(McmlError):
                self._sagemaker.find(f"cannot delete {name}", f"delete_{kind}", **{key: name})

    def _tags(self, request: EndpointRequest) -> dict[str, str]:
        return {**request.tags, TARGET: self._target, MODEL: request.name, **OURS}

    def _retagged(self, doing: str, live: Live, wanted: Mapping[str, str]) -> Live:
        """Bring tags up to date; others stay, for they may be somebody else's."""
        added = {key: value for key, value in wanted.items() if live.tags.get(key) != value}
        if added:
            self._sagemaker.ask(doing, "add_tags", ResourceArn=live.arn, Tags=tag_list(added))
        return replace(live, tags={**live.tags, **added})

    def _settled(self, doing: str, name: str) -> Live | None:
        """Return an endpoint when nothing changes in it any more; None when there is none."""
        where = endpoint_name(self._target, name)
        found = self._wait(doing, where, lambda found: found is None or found["EndpointStatus"] not in BUSY)
        return live_of(self._sagemaker, doing, found)

    def _wait(self, doing: str, name: str, done: Callable[[Any], bool]) -> Any:
        waited = 0.0
        while not done(found := self._sagemaker.find(doing, "describe_endpoint", EndpointName=name)):
            if waited >= self._ready_seconds:
                why = f"it is {found['EndpointStatus']} for {waited / 60:.0f} minutes"
                raise StillRunning(doing, why=why, next_step="the same command again: it goes on with what is there")
            waited += self._sagemaker.wait()
        return found

    def _is_coming(self, doing: str, name: str, config: str) -> bool:
        found = self._sagemaker.find(doing, "describe_endpoint", EndpointName=name) or {}
        return config in (found.get("EndpointConfigName"), found.get("PendingDeploymentSummary", {}).get("EndpointConfigName"))

    def _must(self, doing: str, name: str) -> Live:
        live = self._settled(doing, name)
        if live is None:
            raise self._no_endpoint(name)
        return live

    def _no_endpoint(self, name: str) -> NotFound:
        others = [endpoint.name for endpoint in self.describe()]
        return unknown(f"endpoint on {self._target}", name, others, next_step=f"mcml deploy model {name}")

    @staticmethod
    def _logs(name: str) -> str:
        return f"aws logs tail /aws/sagemaker/Endpoints/{name}"


def _kept(variant: LiveVariant) -> Mapping[str, Any]:
    """Return how a new configuration describes a variant that stays as it is."""
    return {**variant.config, "InitialVariantWeight": variant.weight}
