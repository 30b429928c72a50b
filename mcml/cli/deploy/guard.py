"""Whether a deploy is refused for now: what another room wrote down (a budget that is spent), asked before anything is started."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import InvalidRequest, NotFound, ProviderCannot, QuotaExceeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcml.core.plan import Plan, Step
    from mcml.providers.api.endpoint import ModelEndpoint
    from mcml.store.ledger.dimensions import Filter
    from mcml.store.refusals import Refusal

GPU_WORDS = ("gpu", "gpus", "accelerator")
"""Resources that mean a GPU, also behind the name of who makes it: nvidia.com/gpu."""


def require_allowed(session: Session, plan: "Plan", endpoints: "Mapping[str, ModelEndpoint]") -> None:
    """Raise QuotaExceeded when a plan starts a new version on a GPU, and that is refused for its model.

    What runs is left alone: traffic is shifted, versions are stopped, and one that died is started again.
    """
    starts = [step for step in plan.changes if step.kind == "version" and step.action == "create"]
    refused = _refused(session) if starts else []
    for step in starts:
        mine = [refusal for refusal in refused if _concerns(refusal, _values(session, step))]
        if mine and _on_gpu(session, step, endpoints[step.target]):
            raise _refusal(step, mine[0])


def _refused(session: Session) -> "list[Refusal]":
    from mcml.store.refusals import GPU_DEPLOYS, in_force

    with session.store.reading() as connection:
        return in_force(connection, GPU_DEPLOYS, session.clock())


def _refusal(step: "Step", refusal: "Refusal") -> QuotaExceeded:
    why = f"{refusal.by.replace(':', ' ')}: {refusal.why}, so GPU deploys are refused until {refusal.until:%Y-%m-%d %H:%M} UTC; "
    why += "whoever answers for the budget may lift that, and the journal keeps who"
    return QuotaExceeded(f"{step.name} is not started on {step.target}: it asks for a GPU", why=why, next_step=refusal.lift)


def _values(session: Session, step: "Step") -> "Mapping[str, Sequence[str]]":
    """Return what is known of the costs that a version will have, by dimension: the names that a bill may write."""
    from mcml.providers import discovery

    model = session.settings.models[step.name]
    about = {"model": step.name, "team": model.team, "project": model.project, "target": step.target}
    about |= {"region": session.settings.targets[step.target].region, "environment": session.settings.infra.environment}
    known = {name: (said,) for name, said in about.items() if name != "region" or said}
    named = discovery.spec(session.settings.targets[step.target].provider).bills_as
    return {**known, **({"provider": named} if named else {})}


def _concerns(refusal: "Refusal", values: "Mapping[str, Sequence[str]]") -> bool:
    """Tell whether a model is meant: all conditions hold of which its settings say something; the others may hold."""
    from mcml.store.ledger.dimensions import parse

    conditions = [parse(text) for text in refusal.where]
    return all(_holds(each, values[each.dimension]) for each in conditions if each.dimension in values)


def _holds(condition: "Filter", values: "Sequence[str]") -> bool:
    """Tell whether a condition holds of something that may have any of these names."""
    found = [condition.holds(value or None) for value in values]
    return all(found) if condition.operator.startswith("!") else any(found)


def _on_gpu(session: Session, step: "Step", endpoint: "ModelEndpoint") -> bool:
    """Tell whether a version asks for a GPU, by its resources or by what its machine type has; says so when nobody knows the type."""
    resources = session.settings.models[step.name].resources.get(step.target, {})
    if asks_for_gpu(resources):
        return True
    machine = _machine(endpoint, resources)
    if not machine:
        return False
    found = _has_gpus(session, step.target, machine)
    if found is None:
        session.note(f"{step.target}: nobody tells whether {machine} has a GPU, so {step.name} is not refused")
    return bool(found)


def asks_for_gpu(resources: Mapping[str, str]) -> bool:
    """Tell whether resources name a GPU."""
    named = ((key.rpartition("/")[2].lower(), value.strip()) for key, value in resources.items())
    return any((word in GPU_WORDS or word.startswith("mig-")) and value not in ("", "0") for word, value in named)


def _machine(endpoint: "ModelEndpoint", resources: Mapping[str, str]) -> str:
    """Return the machine type of a version as Instances.prices knows it; empty where it has no machine of its own, or is refused anyhow."""
    from mcml.providers.api.endpoint_size import Sized

    if not isinstance(endpoint, Sized):
        return resources.get("machine", "")
    with suppress(InvalidRequest):
        return endpoint.size(resources).type
    return ""


def _has_gpus(session: Session, target: str, machine: str) -> bool | None:
    """Tell whether a machine type has GPUs; None where it has no price."""
    from mcml.providers.api.capability import INSTANCES

    with suppress(ProviderCannot, InvalidRequest, NotFound):
        for price in session.open(INSTANCES, target).prices([machine]):
            return price.gpus > 0
    return None
