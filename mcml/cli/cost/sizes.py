"""What right-sizing says of a model's machines, and which machine types the other providers have, for `mcml cost compare`."""

from functools import partial
from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import said
from mcml.core.fanout import ask_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcml.cost.compare.sizes import Judged
    from mcml.cost.meter.live import Held
    from mcml.cost.rightsize.look import Seen
    from mcml.providers.api.instances import Instance, MachinePrice


def judged(session: Session, model: str, mine: "Sequence[Held]") -> "Judged":
    """Judge the machines of a model on the targets that list them, all at once; why one did not answer is in what it returns."""
    from mcml.cli.cost.rightsize.models import ask
    from mcml.cost.compare.sizes import Judged
    from mcml.store.catalogue import price_book

    machines = {_target(session, each) for each in mine if each.kind == "machine"}
    serving = {each.place.target for each in mine if each.kind == "endpoint" and each.machine} & set(_targets_of(session, model))
    asked = ask_all({target: partial(_inspect, session, model, target) for target in sorted(machines)})
    price_of = price_book(session.store)
    served = ask_all({target: partial(ask, session, model, target, price_of) for target in sorted(serving)})
    found = {}
    for seen in (seen for several in asked.given.values() for seen in several):
        subject = seen.recommendation.subject
        found[subject.provider, subject.region, subject.instance.id] = seen
    failed = {target: said(error) for target, error in (*asked.failed.items(), *served.failed.items())}
    return Judged(found, failed, served.given)


def catalogues(session: Session, mine: "Sequence[Held]", *, named: bool) -> "Mapping[str, Sequence[MachinePrice]]":
    """Return the machine types of the providers in the settings, by the first target of each.

    Asked are those where the model holds a machine of another provider, or all, for a type that is `named`. One that does not answer is
    said, and hides no other.
    """
    from mcml.providers import discovery
    from mcml.providers.api.capability import INSTANCES

    holders = {each.place.provider for each in mine if each.kind == "machine"}
    first: dict[str, str] = {}
    for name, target in session.settings.targets.items():
        if (named or holders - {target.provider}) and discovery.spec(target.provider).offer(INSTANCES).support.usable:
            first.setdefault(target.provider, name)
    asked = ask_all({provider: partial(_prices, session, target) for provider, target in first.items()})
    for provider, error in asked.failed.items():
        session.note(f"no machine types of {provider}: {said(error)}")
    return asked.given


def _targets_of(session: Session, model: str) -> "Sequence[str]":
    """Return the targets of a model in the settings; one that is not there has none."""
    return session.settings.models[model].targets if model in session.settings.models else ()


def _prices(session: Session, target: str) -> "Sequence[MachinePrice]":
    from mcml.providers.api.capability import INSTANCES

    return session.open(INSTANCES, target).prices()


def _target(session: Session, held: "Held") -> str:
    """Return a target that lists a machine: several may."""
    place = held.place
    alike = (name for name, one in session.settings.targets.items() if (one.provider, one.region) == (place.provider, place.region))
    return place.target or next(alike)


def _inspect(session: Session, model: str, target: str) -> "list[Seen]":
    from mcml.cli.cost import common
    from mcml.cli.cost.rightsize import sites
    from mcml.cost.meter.live import tagged
    from mcml.cost.rightsize import look

    def mine(one: "Instance") -> bool:
        return tagged(one.tags, "x_Model") == model

    rules = session.settings.cost.rightsizing
    return look.inspect(sites.site(session, target), rules, common.ledger(session), session.clock(), mine=mine)
