"""What a deploy would do, as a value: the package, the targets and what runs there now in, a plan out. No I/O."""

from collections.abc import Mapping, Sequence

from mcml.core.package import ModelPackage, version_end
from mcml.core.plan import Plan, Step
from mcml.providers.api.endpoint import Endpoint, Variant

ROOM = "deploy"


Resources = Mapping[str, Mapping[str, str]]
"""What a model is given on each target, in the words of its provider."""


def version_of(package: ModelPackage, resources: Mapping[str, str]) -> str:
    """Name a version so that other content, or another size, is another version: it is started beside the old one and checked."""
    return f"{package.version}-{version_end(package.digest, resources)}"


def plan_deploy(model: str, package: ModelPackage, running: Mapping[str, Endpoint | None], resources: Resources | None = None) -> Plan:
    """Plan a model onto the targets that are the keys of `running` (in that order), beside what runs there now.

    Per target: a version that is missing or dead is started, then it gets all traffic, then every other version is stopped.
    """
    steps: list[Step] = []
    for target, endpoint in running.items():
        steps.extend(_target_steps(model, package, target, endpoint.variants if endpoint else (), (resources or {}).get(target, {})))
    return Plan(ROOM, tuple(steps))


def _target_steps(
    model: str, package: ModelPackage, target: str, variants: Sequence[Variant], resources: Mapping[str, str]
) -> list[Step]:
    version = version_of(package, resources)
    values: dict[str, object] = {"version": version, "digest": package.digest, **({"resources": dict(resources)} if resources else {})}
    mine = next((variant for variant in variants if variant.version == version), None)
    others = [variant.version for variant in variants if variant.version != version]
    if mine and mine.state == "ready" and mine.weight == 100 and not others:
        return [Step("keep", "version", model, target, "runs with all traffic", values)]
    steps = []
    if mine is None:
        reason = f"new version beside {', '.join(others)}" if others else "nothing runs there"
        steps.append(Step("create", "version", model, target, reason, values))
    elif mine.state != "ready":
        steps.append(Step("update", "version", model, target, f"it is {mine.state}: start it again", values))
    if others or (mine and mine.weight != 100):
        steps.append(Step("update", "traffic", model, target, f"all to {version}", values))
    steps += [Step("delete", "version", model, target, "replaced", {"version": other}) for other in others]
    return steps


def plan_delete(model: str, running: Mapping[str, Endpoint | None]) -> Plan:
    """Plan to stop and remove a model on targets; where nothing runs, nothing is done."""
    steps = []
    for target, endpoint in running.items():
        if endpoint is None:
            steps.append(Step("keep", "endpoint", model, target, "nothing runs there"))
        else:
            versions = [variant.version for variant in endpoint.variants]
            steps.append(Step("delete", "endpoint", model, target, "asked for", {"versions": versions}))
    return Plan(ROOM, tuple(steps))
