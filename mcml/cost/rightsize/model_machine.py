"""Which machine the replicas of a model should have where each has one of its own: as for any machine, by what they use. Pure.

The types are compared by what they cost as plain machines, for no place tells what all of them cost under an endpoint at once; what is
saved is said at the prices of the endpoint, and only where these are known. An endpoint takes some types only: no other is proposed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from mcml.core.schema_cost import Rightsizing
from mcml.cost.rightsize.judge import recommend
from mcml.cost.rightsize.model import GIB, Advice, ReplicaUse, Running, monthly
from mcml.cost.rightsize.values import Recommendation, Step, Subject, Usage
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.instances import Instance, MachinePrice
from mcml.providers.api.metrics import MachineMetric

PLAIN_PRICE = frozenset({"ListPrice", "PricesStale", "CommitmentCovered"})
"""What is said of the price of a plain machine is not said of one under an endpoint."""


def advise_machine(
    running: Running,
    use: ReplicaUse,
    catalogue: Iterable[MachinePrice],
    names: Mapping[str, str],
    rules: Rightsizing,
    price_of: Callable[[str], UnitPrice | None],
    now: datetime,
) -> Advice:
    """Return which machine of `names` (what the resources call a type) each replica should have. `running.size` says what it has."""
    types = [type for type in catalogue if type.machine in names]
    found = _judged(running, use, types, rules)
    reasons = tuple(reason for reason in found.reasons if reason.code not in PLAIN_PRICE)
    if found.proposed is None:
        return Advice(running, found.action, reasons, use)
    machine = names[found.proposed.machine]
    prices = [price_of(running.size.machine), price_of(machine)]
    why = f"no price of {running.size.machine} and {machine} is known there"
    saving, currency, unsaid = monthly((Decimal(1), Decimal(-1)), prices, running.size.replicas, now, why)
    advice = Advice(running, found.action, reasons, use, found.proposed.vcpus, found.proposed.memory_gib, machine)
    return replace(advice, saving=saving, currency=currency, unsaid=unsaid, price=prices[1])


def _judged(running: Running, use: ReplicaUse, types: Sequence[MachinePrice], rules: Rightsizing) -> Recommendation:
    size = running.size
    present = next((type for type in types if type.machine == size.type), None)
    vcpus, memory = size.vcpus or Decimal(0), size.memory_gib or Decimal(0)
    type = present or MachinePrice(size.type, running.region, vcpus, memory, None, None, "", use.end)
    instance = Instance(running.key, size.machine, "", "running", use.start)
    measured: Mapping[MachineMetric, tuple[Step, ...]] = {
        "machine.cpu": _shares(use.cpu, vcpus),
        "machine.memory": _shares(use.memory, memory * GIB),
    }
    usage = Usage(use.start, use.end, use.step, {measure: steps for measure, steps in measured.items() if steps})
    return recommend(Subject(running.target, running.provider, running.region, instance, type), usage, types, rules)


def _shares(steps: Iterable[Step], whole: Decimal) -> tuple[Step, ...]:
    if not whole:
        return ()
    return tuple(replace(step, average=step.average / float(whole), highest=step.highest / float(whole)) for step in steps)
