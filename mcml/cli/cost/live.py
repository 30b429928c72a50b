"""`mcml cost live`."""

from typing import Annotated

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost live                 # until Ctrl-C", "mcml cost live --once", "mcml cost live -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "live", examples=EXAMPLES, own_timeout=True)(live)


def live(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help="One look, without the live screen.")] = False,
    every: Annotated[float, typer.Option("--every", min=1.0, max=3600.0, help="Seconds between two looks at the clouds.")] = 30.0,
) -> None:
    """Watch what is spent an hour now: what runs on the project's targets, times its price.

    By provider, target and model; until Ctrl-C or --timeout. Into a pipe, or with -o json: once, and exit 7 when a target did not answer.
    """
    from mcml.cli.cost import held
    from mcml.cost.meter import live_views
    from mcml.cost.meter.live import merged
    from mcml.cost.meter.pods import split
    from mcml.ui.screen import watch

    if once or session.common.output != "table" or not session.streams.out_is_terminal:
        asked = held.ask(session, pods=True)
        if asked.given or not asked.failed:
            session.show(live_views.live(split(merged(asked.given.values())), session.clock()))
        asked.raise_failures("asking the target", next_step="mcml cost live --once")
        return
    watch(lambda _: _document(session), session.streams, session.clock, every=every, seconds=session.timeout)


def _document(session: Session) -> Document:
    from mcml.cli.cost import held
    from mcml.cost.meter import live_views
    from mcml.cost.meter.live import merged
    from mcml.cost.meter.pods import split

    asked = held.ask(session, pods=True)
    return live_views.live(split(merged(asked.given.values())), session.clock(), asked.failed)
