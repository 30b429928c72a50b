"""What the verbs of `mcml infra` share: the unit of the environment, its desk, and what is applied."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.session import Session

if TYPE_CHECKING:
    from mcml.core.fact import Fact
    from mcml.core.view import Document
    from mcml.infra.binary import Binary
    from mcml.infra.desk import Desk
    from mcml.infra.policy import RuleFile
    from mcml.infra.pricing import PriceOf
    from mcml.infra.state import AppliedTarget
    from mcml.infra.units import Folders, Unit
    from mcml.providers.api.inventory import Inventory

Accept = Annotated[
    list[str] | None,
    typer.Option("--accept", metavar="RULE", help="Do it although this policy denies it; written into the journal. May be repeated."),
]
DetailedExitCode = Annotated[bool, typer.Option("--detailed-exitcode", help="Exit 3 when there are differences.")]


def unit_of(session: Session) -> tuple["Unit", "Folders"]:
    """Return the unit of the environment in force and where it lives."""
    from mcml.infra.units import Folders, units_of
    from mcml.infra.workcopy import python_name

    _, python = python_name()
    (unit,) = units_of(session.settings, session.config.project, session.config.state, python=python)
    return unit, Folders(session.config.state.absolute())


def applied_targets(session: Session) -> dict[str, "AppliedTarget"]:
    """Return the targets that are applied, by name, from the outputs of the last apply."""
    from mcml.infra.state import read_outputs

    return read_outputs(*unit_of(session))


def binary(session: Session) -> "Binary":
    """Return the Terraform to use. Raises NotFound, McmlError."""
    from mcml.infra.binary import find_binary

    return find_binary(session.settings.infra.binary, session.config.project, os.environ)


@contextmanager
def desk(session: Session) -> Iterator["Desk"]:
    """Yield the desk of the unit. Raises ProviderCannot for a target that mcml cannot make, NotFound without a Terraform."""
    from mcml.core.paths import shipped
    from mcml.infra.desk import Tools, open_unit
    from mcml.infra.units import require_built

    def record(fact: "Fact") -> None:
        from mcml.incident.desk import record as keep

        keep(session.store, fact)

    require_built(session.settings)
    unit, folders = unit_of(session)
    tools = Tools(
        binary(session), shipped("terraform"), os.environ, session.reporter, record, session.clock, lambda: session.timeout,
        price_of=prices(session), rules=rules(session), monthly_budget=session.settings.infra.monthly_budget,
    )  # fmt: skip
    with open_unit(unit, folders, tools) as opened:
        yield opened


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
    from mcml.infra.policy import read_rules

    own = session.settings.infra.policies
    return read_rules([shipped("policies"), *([session.config.project / Path(own).expanduser()] if own else [])])


def inventory(session: Session, unit: "Unit") -> "Inventory":
    """Open what tells which targets are really there."""
    from mcml.providers.api.capability import INVENTORY

    return session.open_provider(INVENTORY, unit.name)


def before_change(session: Session, plan: "Document") -> None:
    """Show the plan to a person (with -o json there is one document on stdout, the result), and check that the journal can be written.

    Raises Unavailable when it cannot: what cannot be written down is not done.
    """
    if session.common.output == "table":
        session.show(plan)
    with session.store.reading():
        pass
