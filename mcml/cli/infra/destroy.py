"""`mcml infra destroy`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.infra import accounts, common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.infra.teardown import Teardown, Wrecker

EXAMPLES = (
    "mcml infra destroy", "mcml infra destroy aws --dry-run", "mcml infra destroy --unprotect --empty-buckets",
    "mcml infra destroy --unmanaged old-target",
)  # fmt: skip
Unmanaged = Annotated[str, typer.Option("--unmanaged", help="Only this, which is in no state, by its id (see drift).", show_default=False)]
Empty = Annotated[bool, typer.Option("--empty-buckets", help="Delete all that is in their buckets, with old versions.")]
Unprotect = Annotated[bool, typer.Option("--unprotect", help="Switch deletion protection off first, by an apply.")]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "destroy", examples=EXAMPLES, changes=True, own_timeout=True)(destroy)


def destroy(
    session: Session,
    unit: common.Filters = None,
    unmanaged: Unmanaged = "",
    empty_buckets: Empty = False,
    unprotect: Unprotect = False,
    accept: common.Accept = None,
) -> Document:
    """Remove all targets and units of the environment, and what their clusters made; asks for its name, and shows what is left.

    A target on which a model runs is refused, and so are, before anything is touched, what is protected and buckets that are not empty.
    """
    from mcml.infra.plans.guarded import refuse
    from mcml.infra.teardown import Wrecker
    from mcml.infra.views import residue_views

    with accounts.fleet(session, unit, writes=True) as fleet:
        wrecker = Wrecker(fleet, accounts.scope(session), accounts.opener(session))
        if unmanaged:
            return _destroy_unmanaged(session, wrecker, unmanaged)
        found, typed = wrecker.plan(lock=not session.dry_run), fleet.tools.command("destroy")
        if session.dry_run or found.not_seen:
            return common.ended(session, residue_views.teardown_document(found), found.unseen(typed), done=True)
        refuse(found.guarded, found.full, wrecker.switchable(), unprotect=unprotect, empty=empty_buckets, command=typed)
        return _destroyed(session, wrecker, _agreed(session, wrecker, found, accept or ()))


def _agreed(session: Session, wrecker: "Wrecker", found: "Teardown", accept: Sequence[str]) -> "Teardown":
    """Show what will be destroyed, ask, and lift the protection; return what is to be done with what was accepted."""
    from mcml.infra.views.residue_views import teardown_document

    if not found.changes:
        return found
    common.before_change(session, teardown_document(found))
    found = wrecker.gate(found, accept)
    environment, graph = session.settings.infra.environment, wrecker.fleet.graph
    what = "all" if len(graph.units) == len(wrecker.fleet.whole.units) else ", ".join(one.name for one in graph.units)
    session.confirm_by_name(f"Destroy {what} of {environment}?", environment)
    if not found.guarded:
        return found
    wrecker.lift(found, accept)
    return wrecker.gate(wrecker.plan_again(found), accept)


def _destroyed(session: Session, wrecker: "Wrecker", found: "Teardown") -> Document:
    from mcml.infra.fleet import combined
    from mcml.infra.views import overview as views
    from mcml.infra.views.residue_views import destroyed_document

    results = wrecker.destroy(found)
    if failed := combined(results, "destroyed", wrecker.fleet.tools.command("destroy")):
        return common.ended(session, views.applied_document(found.plans, results), failed, done=bool(results.done))
    swept = wrecker.sweep(found)
    if swept.failed or any(one.left for one in swept.done.values()):
        session.exit_code = exits.PARTLY_DONE
    return destroyed_document(found, results, swept)


def _destroy_unmanaged(session: Session, wrecker: "Wrecker", name: str) -> Document:
    from mcml.infra.views.residue_views import removed_document

    account, resource = wrecker.stray(name)
    if not session.dry_run:
        session.confirm_by_name(f"Destroy the unmanaged {resource.kind} {resource.id}?", name)
        wrecker.remove(account, resource)
    return removed_document(resource, removed=not session.dry_run)
