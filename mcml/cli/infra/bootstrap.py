"""`mcml infra bootstrap`."""

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.infra import common, state_common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.core.fact import Fact
    from mcml.infra.states.bootstrap import Store
    from mcml.infra.units.schedule import Results

EXAMPLES = ("mcml infra bootstrap --dry-run", "mcml infra bootstrap", "mcml infra bootstrap aws --yes")
AGAIN = "mcml infra bootstrap"
Clouds = Annotated[list[str] | None, typer.Argument(metavar="[CLOUD]...", help="Only these of [infra.clouds].", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "bootstrap", examples=EXAMPLES, changes=True)(bootstrap)


def bootstrap(session: Session, cloud: Clouds = None) -> Document:
    """Make the stores of the clouds' states (versioned, encrypted, locked), and write backends/CLOUD.tfbackend.

    A second run changes nothing.
    """
    from mcml.infra.fleet import combined
    from mcml.infra.states import bootstrap as room
    from mcml.infra.views import state_views
    from mcml.providers.api.capability import BUCKETS

    stores = _designed(session, cloud or ())
    if session.dry_run:
        return common.ended(session, state_views.stores_document(stores), combined(stores, "designed", AGAIN), done=bool(stores.done))
    if stores.done:
        common.before_change(session, state_views.stores_document(stores))
        session.confirm("Make these stores?")
    made = room.make_all(stores, partial(state_common.open_in, session, BUCKETS), session.reporter, partial(_record, session))
    return common.ended(session, state_views.bootstrap_document(made), combined(made, "made", AGAIN), done=bool(made.done))


def _designed(session: Session, wanted: Sequence[str]) -> "Results[Store]":
    from mcml.infra.states import bootstrap as room
    from mcml.infra.units.units import units_of
    from mcml.providers.api.capability import IDENTITY

    settings, project = session.settings, session.config.project
    units = units_of(settings, project, session.config.state)
    who = partial(state_common.open_in, session, IDENTITY)
    return room.design_all(wanted, settings, project, units, lambda cloud, region: who(cloud, region).whoami(), os.environ)


def _record(session: Session, fact: "Fact") -> None:
    from mcml.incident.desk import record

    record(session.store, fact)
