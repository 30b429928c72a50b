"""`mcml infra drift`."""

import typer

from mcml.cli.infra import accounts, common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.view import Document

EXAMPLES = ("mcml infra drift", "mcml infra drift aws --detailed-exitcode", "mcml infra drift -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "drift", examples=EXAMPLES, own_timeout=True)(drift)


def drift(session: Session, unit: common.Filters = None, detailed_exitcode: common.DetailedExitCode = False) -> Document:
    """Compare the states with what is really there: missing, changed and unmanaged, each with the command that mends it."""
    from mcml.infra.accounts import looked_at, strays
    from mcml.infra.views.residue_views import drift_document

    with accounts.fleet(session, unit) as fleet:
        local = common.inventory(session, "local") if any(one.healed_by for one in fleet.graph.units) else None
        units, loose = fleet.drift(local), strays(fleet, accounts.opener(session), accounts.scope(session))
        document = drift_document(session.settings.infra.environment, units, loose)
        if detailed_exitcode and document.items:
            session.exit_code = exits.DIFFERENCES
        return common.ended(session, document, looked_at(units, loose, fleet.tools.command("drift")), done=True)
