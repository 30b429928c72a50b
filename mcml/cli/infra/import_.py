"""`mcml infra import`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_unit
from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.errors import unknown
from mcml.core.view import Document

EXAMPLES = (
    "mcml infra import aws-data 'module.data.aws_s3_bucket.this[\"models\"]' acme-dev-models --dry-run",
    "mcml infra import extra aws_s3_bucket.logs acme-logs",
)
UnitName = Annotated[str, typer.Argument(metavar="UNIT", help="The unit whose state it goes into.", autocompletion=complete_unit)]
Address = Annotated[str, typer.Argument(help="Its address in the unit's configuration: TYPE.NAME, below its modules.")]
Identifier = Annotated[str, typer.Argument(metavar="ID", help="What Terraform imports the type by: an id, a name, an ARN (see drift).")]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "import", examples=EXAMPLES, changes=True, own_timeout=True)(adopt)


def adopt(session: Session, unit: UnitName, address: Address, identifier: Identifier, accept: common.Accept = None) -> Document:
    """Adopt what is there into the state of a unit: plan, show, ask, and apply that plan. The configuration must have the address."""
    from mcml.infra.fleet import combined
    from mcml.infra.views import overview as views

    names = [one.name for one in common.whole(session)[0].units]
    if unit not in names:
        raise unknown("unit", unit, names, next_step="mcml infra graph")
    with common.fleet(session, [unit], writes=True) as fleet:
        plans = fleet.plan_import(address, identifier)
        if session.dry_run:
            plans.raise_failures(fleet.tools.command("plan"))
            return views.plan_document(plans)
        plans = common.gated(session, fleet, plans, accept)
        others = sum(step.name != address for one in plans.planned for step in one.plan.changes)
        session.confirm(f"Adopt {identifier} into {unit} as {address}{f', and apply {others} other changes' if others else ''}?")
        results = fleet.adopt(plans, address, identifier)
        failed = combined(results, "applied", fleet.tools.command("apply"))
        return common.ended(session, views.applied_document(plans, results), failed, done=bool(results.done))
