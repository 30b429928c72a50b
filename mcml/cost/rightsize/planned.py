"""What a change of a machine's type would do, and which ones are refused. Pure: what was seen in, the change and its plan out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from mcml.core.errors import Conflict, InvalidRequest, unknown
from mcml.core.plan import Plan, Step
from mcml.core.schema_cost import Rightsizing
from mcml.core.when import span
from mcml.cost.rightsize.change import Change, identified
from mcml.cost.rightsize.fit import barred, fits, newly_required
from mcml.cost.rightsize.judge import needs
from mcml.cost.rightsize.look import Seen
from mcml.cost.rightsize.reasons import misfit
from mcml.cost.rightsize.saving import monthly
from mcml.cost.rightsize.values import Fit, Reason, Subject
from mcml.providers.api.instances import Instance, MachinePrice

STOPS = "a stop empties temporary disks (instance store, local SSD), and its public address may change"
OTHERS = frozenset({"GroupMember", "SpotMachine"})
"""Why a machine is never changed from here, in the codes of a recommendation."""


@dataclass(frozen=True)
class Wish:
    """How a person wants it: the type (empty: what is recommended), whether also against what was measured, whether disks are copied, and
    for how long it is watched."""

    to: str = ""
    force: bool = False
    copy: bool = True
    watch: timedelta = timedelta(minutes=30)


@dataclass(frozen=True)
class Planned:
    """A change that would be made: the certificate of its type, and what else there is to say."""

    change: Change
    fits: tuple[Fit, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def plan(self) -> Plan:
        """Its steps."""
        change = self.change
        steps = [Step("create", "snapshot", disk, change.target, "taken before the change, and kept") for disk in change.disks]
        sizes = {"from": change.before, "to": change.after}
        steps.append(Step("update", "instance", change.instance, change.target, _how(change), sizes))
        if change.ran:
            back = f"back to {change.before} when it is not well within {span(change.watch)}"
            steps.append(Step("keep", "watch", change.instance, change.target, back))
        return Plan("cost", tuple(steps))


def _how(change: Change) -> str:
    return "stop, resize, start: it is down meanwhile, for some minutes" if change.ran else "resize; it is stopped, and stays so"


def planned(seen: Seen, types: Sequence[MachinePrice], wish: Wish, settings: Rightsizing, now: datetime) -> Planned:
    """Return the change of a machine to the type that is wished for, or recommended.

    Raises InvalidRequest for a spot machine, a member of a group, one that is left alone, a type that does not fit (but with `force`), and
    when nothing is recommended; NotFound for an unknown type, Conflict while it starts.
    """
    subject = seen.recommendation.subject
    _check(seen, wish)
    if wish.to:
        type, certificate, reasons = _wished(seen, types, wish, settings)
        saved = monthly(subject.type, type, seen.rate, now)
        saving, listed, reasons = saved.effective, saved.listed, (*reasons, *saved.reasons)
        risk = "high" if any(not fit.fits for fit in certificate) else ""
    else:
        recommended = seen.recommendation
        if recommended.proposed is None:
            why = recommended.reasons[0].said if recommended.reasons else ""
            raise InvalidRequest(f"nothing is recommended for {subject.key}", why=why, next_step=f"{_again(subject)} --to TYPE")
        type, certificate, reasons = recommended.proposed, recommended.fits, recommended.reasons
        saving, listed, risk = recommended.saving, recommended.list_saving, recommended.risk or ""
    disks = _disks(subject.key, subject.instance, copy=wish.copy)
    change = Change(
        identified(subject.key, now),
        subject.key,
        subject.target,
        subject.instance.id,
        subject.instance.machine,
        type.machine,
        subject.instance.machine,
        now,
        ran=subject.instance.state == "running",
        disks=disks,
        watch=wish.watch.total_seconds(),
        cpu=less_cpu(subject.type, type),
        saving=saving,
        list_saving=listed,
        currency=type.currency,
        risk=risk,
        account=subject.instance.account,
    )
    notes = [STOPS] if change.ran else []
    if drivers := newly_required(subject, type):
        notes.append(f"{type.machine} needs the drivers {' and '.join(drivers)} in its image, which {change.before} does not")
    return Planned(change, certificate, (*(reason.said for reason in reasons), *notes))


def _check(seen: Seen, wish: Wish) -> None:
    """Raise for a machine that is not to be changed."""
    subject = seen.recommendation.subject
    first = seen.recommendation.reasons[0] if seen.recommendation.reasons else Reason("", "")
    if first.code in OTHERS or (first.code in ("LeftAlone", "Attached") and not wish.force):
        step = f"mcml cost rightsize explain {subject.key}"
        raise InvalidRequest(f"{subject.key} is not resized from here", why=first.said, next_step=step)
    local = subject.type.local_disk_gb
    if local and subject.instance.state == "running" and not wish.force:
        why = f"a stop empties the {local:.0f} GB of disks in the machine itself, and no snapshot holds them"
        step = f"{_again(subject)} --force, when what is on them may go"
        raise InvalidRequest(f"{subject.key} is not stopped", why=why, next_step=step)
    if subject.instance.state not in ("running", "stopped"):
        raise Conflict(f"{subject.key} is {subject.instance.state}", why="it must run or be stopped", next_step=_again(subject))


def _wished(
    seen: Seen, types: Sequence[MachinePrice], wish: Wish, settings: Rightsizing
) -> tuple[MachinePrice, tuple[Fit, ...], tuple[Reason, ...]]:
    """Return the type that a person names, how it fits what was measured, and what is to be said of that."""
    subject = seen.recommendation.subject
    type = next((one for one in types if one.machine == wish.to), None)
    if type is None:
        step = f"mcml cost rightsize explain {subject.key}"
        raise unknown("machine type", wish.to, [one.machine for one in types], next_step=step)
    if type.machine == subject.instance.machine:
        raise InvalidRequest(f"{subject.key} is {type.machine} already", next_step=f"mcml cost rightsize explain {subject.key}")
    known = needs(seen.usage, settings) if seen.usage and seen.recommendation.action != "unknown" else {}
    certificate = fits(subject.type, known, type)
    against = [Reason("DoesNotFit", misfit(fit)) for fit in certificate if not fit.fits]
    other = barred(subject, type, settings)
    if other is not None and other.code == "DriverMissing":
        step = f"install it, have the provider know of it (EC2: modify-instance-attribute --ena-support), then {_again(subject)}"
        raise InvalidRequest(f"{subject.key} would not start as {type.machine}", why=other.said, next_step=step)
    if other is not None and other.code == "ArchitectureNotAllowed":
        against.append(other)
    if against and not wish.force:
        why = "; ".join(reason.said for reason in against)
        step = f"{_again(subject)} --to {type.machine} --force, if you know better"
        raise InvalidRequest(f"{type.machine} does not fit what {subject.key} needs", why=why, next_step=step)
    return type, certificate, tuple(against)


def undone(change: Change, machine: Instance, types: Sequence[MachinePrice], wish: Wish, now: datetime) -> Planned:
    """Return the change that takes one back that is done. Raises Conflict when its machine has another type by now, and as `planned`."""
    if machine.machine != change.after:
        why = f"it was made {change.after}, and is {machine.machine} now"
        raise Conflict(f"{change.key} has another type", why=why, next_step=f"mcml cost rightsize status {change.key}")
    priced = {one.machine: one for one in types}
    here, there = priced.get(change.after), priced.get(change.before)
    back = Change(
        identified(change.key, now),
        change.key,
        change.target,
        change.instance,
        change.after,
        change.before,
        change.after,
        now,
        ran=machine.state == "running",
        disks=_disks(change.key, machine, copy=wish.copy),
        watch=wish.watch.total_seconds(),
        cpu=here is None or there is None or less_cpu(here, there),
        saving=_minus(change.saving),
        list_saving=_minus(change.list_saving),
        currency=change.currency,
        undoes=change.id,
        account=machine.account,
    )
    local = here.local_disk_gb if here else None
    lost = f"a stop empties the {local:.0f} GB of disks in the machine itself, and no snapshot holds them" if local else STOPS
    return Planned(back, (), (lost,) if back.ran else ())


def less_cpu(here: MachinePrice, there: MachinePrice) -> bool:
    """Tell whether a type may have less CPU than another: fewer vCPUs, of another architecture, or such that do not last."""
    return there.vcpus < here.vcpus or there.architecture != here.architecture or (there.burstable and not here.burstable)


def _disks(key: str, machine: Instance, *, copy: bool) -> tuple[str, ...]:
    if not copy:
        return ()
    if not machine.disks:
        why, step = "its provider does not name them", "add --no-snapshot, or take one by hand first"
        raise InvalidRequest(f"the disks of {key} cannot be copied", why=why, next_step=step)
    return machine.disks


def _again(subject: Subject) -> str:
    return f"mcml cost rightsize apply {subject.key}"


def _minus(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount.copy_negate()
