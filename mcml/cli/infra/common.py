"""What the verbs of `mcml infra` share: the units of the environment, the fleet of those that were named, and what is applied."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_unit
from mcml.cli.session import Session

if TYPE_CHECKING:
    from mcml.core.errors import McmlError
    from mcml.core.fact import Fact
    from mcml.core.view import Document
    from mcml.infra.fleet import Fleet, Plans
    from mcml.infra.plans.policy import RuleFile
    from mcml.infra.plans.pricing import PriceOf
    from mcml.infra.states.state import AppliedTarget, State
    from mcml.infra.terraform.binary import Binary
    from mcml.infra.units.graph import Graph
    from mcml.infra.units.schedule import Results
    from mcml.infra.units.units import Folders
    from mcml.providers.api.inventory import Inventory

Accept = Annotated[
    list[str] | None,
    typer.Option("--accept", metavar="RULE", help="Do it although this policy denies it; written into the journal. May be repeated."),
]
DetailedExitCode = Annotated[bool, typer.Option("--detailed-exitcode", help="Exit 3 when there are differences.")]


Filters = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[UNIT]...",
        help="Only these: a cloud (aws), a layer (data), a unit (aws-data); data... with what depends on it, ...data with what it needs.",
        autocompletion=complete_unit,
        show_default=False,
    ),
]

LATER = ("mcml.store.db", "mcml.incident.desk")
"""Modules that are slow to load, and needed only once a plan is there that is to be applied."""


def whole(session: Session) -> tuple["Graph", "Folders"]:
    """Return the graph of all units of the environment in force, and where they live. Raises Usage, NotFound for a wrong mcml.toml."""
    from mcml.infra.states.backends import with_backends
    from mcml.infra.units.graph import Graph
    from mcml.infra.units.units import Folders, units_of
    from mcml.infra.workcopy import python_name

    _, python = python_name()
    folders = Folders(session.config.state.absolute())
    units = units_of(session.settings, session.config.project, session.config.state, python=python)
    units = with_backends(units, session.config.project)
    needed = [unit for unit in units if unit.name != "local" or unit.targets or folders.tfstate(unit).exists() or len(units) == 1]
    return Graph(tuple(needed)), folders


def applied_targets(session: Session) -> dict[str, "AppliedTarget"]:
    """Return the targets that are applied, by name, from the outputs of the last apply of those on this machine."""
    from mcml.infra.states.state import read_outputs

    graph, folders = whole(session)
    return {name: target for unit in graph.units if unit.healed_by for name, target in read_outputs(unit, folders).items()}


def binary(session: Session) -> "Binary":
    """Return the Terraform to use. Raises NotFound, McmlError."""
    from mcml.infra.terraform.binary import find_binary

    return find_binary(session.settings.infra.binary, session.config.project, os.environ, session.config.state / "terraform.json")


@contextmanager
def fleet(
    session: Session, filters: Sequence[str] | None = None, *, seeing: bool = False, writes: bool = False
) -> Iterator["Fleet"]:
    """Yield the units that the filters mean; all without one. Raises NotFound without a Terraform, or for a filter that means none.

    One that is `seeing` knows what the states of all others hold besides. Who plans and then `writes` into the journal finds it loaded:
    that is done while Terraform makes the plan.
    """
    from mcml.core.paths import shipped
    from mcml.infra.desk import Tools
    from mcml.infra.fleet import open_fleet

    def record(fact: "Fact") -> None:
        from mcml.incident.desk import record as keep

        keep(session.store, fact)

    def soon() -> None:
        from mcml.infra.plans.policy import prepare

        prepare(tools.rules)
        for module in LATER if writes else ():
            import_module(module)

    graph, folders = whole(session)
    selected = graph.select(filters or ())
    _say_what_is_not_made(session)
    tools = Tools(
        binary(session), shipped("terraform"), os.environ, session.events, record, session.clock, lambda: session.timeout,
        price_of=prices(session), rules=rules(session), monthly_budget=session.settings.infra.monthly_budget, filters=filters or (),
        soon=soon,
    )  # fmt: skip
    with open_fleet(graph, selected, folders, tools, at_once=session.settings.infra.at_once, seeing=seeing) as opened:
        yield opened


def _say_what_is_not_made(session: Session) -> None:
    """Name the targets that are taken as they are, so that nobody waits for them to be made."""
    clouds = session.settings.infra.clouds
    for provider in ("aws", "gcp", "azure"):
        targets = [name for name, target in session.settings.targets.items() if target.provider == provider]
        if targets and provider not in clouds:
            session.events.note(f"{', '.join(targets)} ({provider}): taken as it is; [infra.clouds.{provider}] in mcml.toml would make it")


def gated(session: Session, opened: "Fleet", plans: "Plans", accept: Sequence[str] | None) -> "Plans":
    """Show the plans to a person, check that the journal can be written, and pass the gate. Raises Conflict when a policy denies it."""
    from mcml.infra.views import overview as views

    plans.raise_failures(opened.tools.command("destroy" if plans.destroys else "apply"))
    if not plans.changing:
        return plans
    before_change(session, views.plan_document(plans))
    return opened.gate(plans, accept or ())


def ended(session: Session, document: "Document", error: "McmlError | None", *, done: bool) -> "Document":
    """Return what was done; where something failed, show what was `done` besides, and raise the error."""
    if error is None:
        return document
    if done:
        session.show(document)
    raise error


def states(session: Session, filters: Sequence[str] | None = None) -> tuple["Graph", "Results[State]"]:
    """Return the units that the filters mean and their states; Terraform is needed only for those that are not files of ours."""
    from mcml.core.errors import McmlError
    from mcml.infra.states.state import read_state
    from mcml.infra.units.schedule import Results

    graph, folders = whole(session)
    selected = graph.select(filters or ())
    if any(unit.backend or unit.own for unit in selected.units):
        with fleet(session, filters) as opened:
            return selected, opened.states()
    done: dict[str, State] = {}
    failed: dict[str, McmlError] = {}
    for unit in selected.units:
        try:
            done[unit.name] = read_state(unit, folders)
        except McmlError as broken:
            failed[unit.name] = broken
    return selected, Results(done, failed)


def prices(session: Session) -> "PriceOf":
    """Return what answers a price from the catalogue; the store is opened at the first question, not before."""

    @cache
    def book() -> "PriceOf":
        from mcml.store.catalogue import price_book

        return price_book(session.store)

    return lambda cloud, region, sku: book()(cloud, region, sku)


def rules(session: Session) -> tuple["RuleFile", ...]:
    """Read the policies: the shipped ones and those of `infra.policies`. Raises NotFound, Usage."""
    from mcml.core.paths import shipped
    from mcml.infra.plans.policy import read_rules

    own = session.settings.infra.policies
    return read_rules([shipped("policies"), *([session.config.project / Path(own).expanduser()] if own else [])])


def inventory(session: Session, provider: str) -> "Inventory":
    """Open what tells what is really there on a provider."""
    from mcml.providers.api.capability import INVENTORY

    return session.open_provider(INVENTORY, provider)


def before_change(session: Session, plan: "Document") -> None:
    """Show the plan to a person (with -o json there is one document on stdout, the result), and check that the journal can be written.

    Raises Unavailable when it cannot: what cannot be written down is not done.
    """
    if session.common.output == "table":
        session.show(plan)
    with session.store.reading():
        pass
