"""`mcml cost estimate`."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_provider
from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.fanout import ask_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcml.core.view import Document
    from mcml.cost.meter.estimate import Estimated
    from mcml.cost.meter.live import Held

EXAMPLES = (
    "mcml cost estimate                      # what runs now, until the bill comes",
    "mcml cost estimate --provider aws --since 2d --dry-run",
    "mcml cost estimate --errors             # what the bills said of earlier estimates",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "estimate", examples=EXAMPLES, changes=True)(estimate)


def estimate(
    session: Session,
    provider: Annotated[
        str, typer.Option("--provider", help="Only the targets of this provider.", autocompletion=complete_provider, show_default=False)
    ] = "",
    since: Annotated[str, typer.Option("--since", help="How far back at most: 2d, 2026-11-01.")] = "7d",
    errors: Annotated[bool, typer.Option("--errors", help="How far off earlier estimates were, by service and day.")] = False,
) -> None:
    """Put what runs now, times its price, into the ledger for the hours that no bill covers yet.

    Run it by the hour. An estimate counts until a bill or a meter covers its hour, never beside it. What has no price is said, not zero.
    """
    from mcml.cli.cost import held
    from mcml.cost.meter import estimate_views

    if errors:
        session.show(_errors(session))
        return
    asked = held.ask(session, provider, pods=True)
    found = _by_provider(session, asked.given)
    written = ask_all({name: partial(_write, session, name, several, since) for name, several in found.items()})
    if written.given or not (asked.failed or written.failed):
        session.show(estimate_views.estimated(list(written.given.values()), dry_run=session.dry_run))
    asked.raise_failures("asking the target", next_step="mcml cost estimate")
    written.raise_failures("the estimates of", next_step="mcml cost estimate")


def _by_provider(session: Session, given: "Mapping[str, list[Held]]") -> "dict[str, list[list[Held]]]":
    found: dict[str, list[list[Held]]] = {}
    for target, several in given.items():
        found.setdefault(session.settings.targets[target].provider, []).append(several)
    return found


def _write(session: Session, provider: str, looks: "Sequence[list[Held]]", since: str) -> "Estimated":
    from mcml.core.when import moment
    from mcml.cost.meter import estimate as estimates
    from mcml.cost.meter.live import merged
    from mcml.cost.meter.pods import split
    from mcml.providers.api.capability import IDENTITY
    from mcml.store.ledger.intake import Intake

    now = session.clock()
    account = session.open_provider(IDENTITY, provider).whoami().account
    intake = Intake(common.folder(session), session.clock, dry_run=session.dry_run)
    return estimates.write(
        intake, common.ledger(session), provider, account, split(merged(looks)), now=now, since=moment(since, now)
    )


def _errors(session: Session) -> "Document":
    from mcml.cost.meter import estimate_views, truth
    from mcml.store.ledger.estimates import truths

    days = truth.day_errors(truths(common.ledger(session)))
    return estimate_views.errors(days, truth.usual_errors(days))
