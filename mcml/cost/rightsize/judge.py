"""What size a machine should have: a pure function of what it did, what its type has, and what types there are.

Needed is, of CPU, GPU and network, the percentile of the averages of all steps, and of memory and GPU memory the highest sample; with the
headroom on top. The peak guard: the highest sample of every measure must fit too, without headroom. A measure that is unknown is not made
smaller. Of the types that fit, the cheapest by the price list is proposed; ties go by name. So with `saving` = 0 the price of what a
machine should have never falls when it does more.

A file system is no part of a type: a full one is told, and no type is proposed for it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from mcml.core.schema_cost import Rightsizing
from mcml.core.when import duration, span
from mcml.cost.rightsize import reasons
from mcml.cost.rightsize.fit import architecture, barred, candidates, capacity, fits
from mcml.cost.rightsize.reasons import PEAKS
from mcml.cost.rightsize.saving import LIST, Rate, monthly
from mcml.cost.rightsize.values import Action, Fit, Need, Reason, Recommendation, Risk, Step, Subject, Usage
from mcml.providers.api.instances import MachinePrice
from mcml.providers.api.metrics import MachineMetric
from mcml.store.ledger.exact import product

LIMITED: tuple[MachineMetric, ...] = ("machine.cpu", "machine.gpu")
"""What can be asked for without end and hits a ceiling."""
PINNED = 0.99
"""Above this share it has hit the ceiling: what would have been used without one is not known. No type is proposed that would be there."""
REJECTED = 5
RISKS: tuple[tuple[float, Risk], ...] = ((0.5, "very low"), (0.75, "low"), (0.95, "medium"))
"""Up to which share of what the proposed type has, needed by its tightest measure, the risk is no more than this; above: high."""


def needs(usage: Usage, settings: Rightsizing) -> dict[MachineMetric, Need]:
    """Return what each measure asks of a type; one without enough steps (`coverage`) is unknown, and not in it."""
    enough = settings.coverage / 100 * usage.steps
    return {measure: _need(measure, steps, settings) for measure, steps in usage.measured.items() if steps and len(steps) >= enough}


def _need(measure: MachineMetric, steps: Sequence[Step], settings: Rightsizing) -> Need:
    highest = max(step.highest for step in steps)
    used = highest if measure in PEAKS else percentile([step.average for step in steps], settings.percentile)
    limited = measure in LIMITED
    needed = used * max(1 + settings.headroom / 100, 1 / PINNED if limited else 1)
    return Need(measure, used, needed, highest, len(steps), limited and used > PINNED)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of all values do not exceed (nearest rank): a value that was measured."""
    return sorted(values)[max(math.ceil(percent / 100 * len(values)) - 1, 0)]


def recommend(
    subject: Subject, usage: Usage | None, catalogue: Sequence[MachinePrice], settings: Rightsizing, rate: Rate = LIST
) -> Recommendation:
    """Return what should become of a machine, from its usage (None: its provider measures nothing) and the types of its region."""
    left = left_alone(subject, settings) or _too_little(subject, usage, settings)
    if left or usage is None:
        return left or Recommendation(subject, "unknown")
    known = needs(usage, settings)
    found = _search(subject, known, candidates(subject.type, catalogue, settings), settings)
    notes = (*found.notes(), *reasons.disk(known), *reasons.idle_gpu(subject, known))
    if found.best is None or not found.worth_it(settings):
        return _kept(subject, known, found, notes, settings)
    return _changed(subject, found.best, known, found, notes, settings, rate, usage)


MANAGED: Mapping[str, str] = {
    "karpenter.sh/nodepool": "it is a node of a cluster: its node pool decides its type",
    "karpenter.sh_nodepool": "it is a node of a cluster: its node pool decides its type",
    "mcml-spot-job": "it runs a spot job, which asks for its machines itself (mcml cost spot status)",
}
"""Who looks after machines with such a tag, whatever its value: Karpenter (https://karpenter.sh/docs/concepts/nodepools/, on Azure with an
underscore), our own spot jobs."""


def left_alone(subject: Subject, settings: Rightsizing) -> Recommendation | None:
    """Return what is said of a machine that is not judged whatever it does; None for one that is."""
    instance = subject.instance
    kept = [f"{key}={value}" for key, value in settings.leave.items() if instance.tags.get(key) == value]
    if kept:
        return _left(subject, "keep", "LeftAlone", f"it carries {' and '.join(kept)}: see [cost.rightsizing] leave")
    if instance.group:
        return _left(subject, "keep", "GroupMember", f"the template of its group {instance.group} decides its type")
    for tag, who in MANAGED.items():
        if tag in instance.tags:
            return _left(subject, "keep", "Managed", who)
    if instance.spot:
        return _left(subject, "keep", "SpotMachine", "it is a spot machine: ask for another one instead (mcml cost spot)")
    if instance.attached:
        what = " and ".join(instance.attached)
        return _left(subject, "keep", "Attached", f"it has {what}, which another type may not take or a stop empties")
    if instance.state != "running":
        return _left(subject, "unknown", "NotRunning", f"it is {instance.state}")
    if subject.type.vcpus <= 0:
        return _left(subject, "unknown", "TypeUnknown", f"the price list of {subject.provider} does not know {instance.machine}")
    return None


def _left(subject: Subject, action: Action, code: str, said: str) -> Recommendation:
    return Recommendation(subject, action, reasons=(Reason(code, said),), currency=subject.type.currency)


def _too_little(subject: Subject, usage: Usage | None, settings: Rightsizing) -> Recommendation | None:
    """Return unknown for a machine that was not measured for long enough, or not often enough; None for one that was."""
    if usage is None:
        return _left(subject, "unknown", "NotMeasured", f"{subject.provider} measures nothing of machines")
    length = usage.end - usage.start
    if length + 2 * usage.step < duration(settings.minimum):  # a window begins and ends at whole steps
        since = "" if subject.resized is None else ", since its last resize or start"
        said = f"it has run as it is for {_span(length)} only{since}; {settings.minimum} are wanted"
        return _left(subject, "unknown", "RecentlyResized" if since else "TooFewSamples", said)
    if not subject.type.gpus and ("machine.gpu" in usage.measured or "machine.gpu_memory" in usage.measured):
        return _left(subject, "unknown", "GPUUnknown", f"it has a GPU that is no part of {subject.instance.machine}")
    if not usage.measured:
        return _left(subject, "unknown", "NotMeasured", "nothing of it is measured")
    count = len(usage.measured.get("machine.cpu", ()))
    if not count or count < settings.coverage / 100 * usage.steps:
        share = count / max(usage.steps, 1)
        said = f"its CPU is known in {share:.0%} of the time of {_span(length)}; {settings.coverage:g} % are wanted"
        return _left(subject, "unknown", "TooFewSamples", said)
    return None


def _span(length: timedelta) -> str:
    return span(max(length.total_seconds(), 0))


@dataclass(frozen=True)
class _Found:
    """What a search found: the certificate of the present type, the cheapest type that fits (None: none), those cheaper than it that do
    not, nearest last, and by why the cheapest of those that fit and are not proposed."""

    present: MachinePrice
    own: tuple[Fit, ...]
    best: MachinePrice | None = None
    certificate: tuple[Fit, ...] = ()
    misfits: Sequence[tuple[MachinePrice, Fit]] = ()
    bars: Mapping[str, tuple[MachinePrice, Reason]] = field(default_factory=dict)

    @property
    def enough(self) -> bool:
        """Whether the present type has what is needed."""
        return all(fit.fits for fit in self.own)

    def worth_it(self, settings: Rightsizing) -> bool:
        """Tell whether the best type is to be proposed: the present one is too small, or enough is saved."""
        if self.best is None or not self.enough:
            return self.best is not None
        before, after = self.present.on_demand or Decimal(0), self.best.on_demand or Decimal(0)
        return product(after, 100) <= product(before, 100 - Decimal(str(settings.saving)))

    def notes(self) -> list[Reason]:
        """Say which cheaper types fit and are not proposed."""
        return [
            Reason(code, f"{type.machine} would fit at {type.on_demand} {type.currency} an hour, but {bar.said}")
            for code, (type, bar) in self.bars.items()
        ]

    def rejected(self) -> dict[str, str]:
        """Say of the types just cheaper than the best (or than the present one) why they do not fit."""
        return {type.machine: reasons.misfit(fit) for type, fit in reversed(self.misfits[-REJECTED:])}


def _search(
    subject: Subject, known: Mapping[MachineMetric, Need], ordered: Sequence[MachinePrice], settings: Rightsizing
) -> _Found:
    """Go through the types from the cheapest up to the first that fits; one that is enough is only left for a cheaper one."""
    present = subject.type
    found = _Found(present, fits(present, known, present))
    misfits: list[tuple[MachinePrice, Fit]] = []
    bars: dict[str, tuple[MachinePrice, Reason]] = {}
    for type in ordered:
        if found.enough and (present.on_demand is None or type.on_demand is None or type.on_demand >= present.on_demand):
            break
        certificate, bar = fits(present, known, type), barred(subject, type, settings)
        bad = next((fit for fit in certificate if not fit.fits), None)
        if bad is None and bar is None:
            return replace(found, best=type, certificate=certificate, misfits=misfits, bars=bars)
        if bad is not None and bar is None:
            misfits.append((type, bad))
        elif bad is None and bar is not None:
            bars.setdefault(bar.code, (type, bar))
    return replace(found, misfits=misfits, bars=bars)


def _kept(
    subject: Subject, known: Mapping[MachineMetric, Need], found: _Found, notes: Sequence[Reason], settings: Rightsizing
) -> Recommendation:
    present = subject.type
    if not found.enough:
        small = reasons.too_small([fit for fit in found.own if not fit.fits], known, settings)
        why = [Reason("NoTypeFits", f"{present.machine} is too small, and no type that may be proposed is large enough"), *small]
    elif found.best is not None:
        why = [Reason("SavingTooSmall", f"{found.best.machine} would do and saves less than {settings.saving:g} %")]
    elif present.on_demand is None:
        why = [Reason("PriceUnknown", f"{present.machine} has no price on demand, so nothing can be called cheaper")]
    else:
        why = [Reason("Optimized", f"no cheaper type has what is needed of {subject.instance.machine}")]
    said = (*why, *reasons.unmeasured(found.own, known), *notes)
    keep = Recommendation(subject, "keep", reasons=said, fits=found.own, rejected=found.rejected())
    return replace(keep, currency=present.currency, architecture=architecture(subject))


def _changed(
    subject: Subject,
    best: MachinePrice,
    known: Mapping[MachineMetric, Need],
    found: _Found,
    notes: Sequence[Reason],
    settings: Rightsizing,
    rate: Rate,
    usage: Usage,
) -> Recommendation:
    small = [fit for fit in found.own if not fit.fits]
    why = reasons.too_small(small, known, settings) if small else reasons.changed(subject, known, best, settings)
    saved = monthly(subject.type, best, rate, usage.end)
    return Recommendation(
        subject,
        _action(subject.type, best, grows=bool(small)),
        best,
        reasons=(*why, *reasons.unmeasured(found.certificate, known), *reasons.burstable(subject), *saved.reasons, *notes),
        fits=found.certificate,
        rejected=found.rejected(),
        risk=_risk(subject, best, known, found.certificate),
        saving=saved.effective,
        list_saving=saved.listed,
        currency=best.currency,
        architecture=best.architecture,
    )


def _action(present: MachinePrice, best: MachinePrice, *, grows: bool) -> Action:
    """Name a change: it grows where the present type is too small, shrinks where the new one is smaller in some way and larger in none."""
    if grows:
        return "grow"
    measures: tuple[MachineMetric, ...] = ("machine.cpu", "machine.memory", "machine.gpu")
    pairs = [(capacity(measure, best) or 0.0, capacity(measure, present) or 0.0) for measure in measures]
    return "shrink" if all(new <= old for new, old in pairs) and any(new < old for new, old in pairs) else "change"


def _risk(subject: Subject, best: MachinePrice, known: Mapping[MachineMetric, Need], certificate: Sequence[Fit]) -> Risk:
    """Rate the tightest measured fit (see RISKS), one higher each for another architecture, whose vCPUs differ, for a network whose
    bandwidth was not compared, and for a burstable type now, whose CPU may have been held back."""
    loads = [max(fit.needed, fit.highest) / fit.has for fit in certificate if fit.measured and fit.has]
    level = next((place for place, (limit, _) in enumerate(RISKS) if max(loads, default=0.0) <= limit), len(RISKS))
    level += (best.architecture != architecture(subject)) + subject.type.burstable
    level += "machine.network" in known and all(fit.measure != "machine.network" for fit in certificate)
    return RISKS[level][1] if level < len(RISKS) else "high"
