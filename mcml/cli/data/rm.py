"""`mcml data rm`."""

import typer

from mcml.cli.data import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml data rm local://models/fraud/old.onnx", "mcml data rm -r local://models/old --dry-run")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "rm", examples=EXAMPLES, changes=True)(remove_data)


def remove_data(session: Session, address: common.Where, recursive: common.Recursive = False, jobs: common.Jobs = 8) -> Document | None:
    """Delete one object, or everything below with --recursive, after asking; old versions of a versioned bucket stay."""
    from mcml.core.sizes import counted, size_text
    from mcml.data import ends, remove, views, work
    from mcml.data.address import parse
    from mcml.data.plan import total_size

    stores = common.open_store(session)
    end = (ends.several if recursive else ends.one)(parse(address), stores)
    plan = remove.look(end)
    if session.dry_run or not plan.changes:
        return views.plan_document(plan)
    session.confirm(f"Delete {counted(len(plan.changes), 'item')} ({size_text(total_size(plan))}) at {address}?")
    again = common.again("rm", address, recursive=recursive)
    record = common.recorder(session, end.place)
    outcomes = remove.run(end, work.Run(plan, "deleted", session.reporter, jobs, again, record, {"address": end.address}))
    session.show(views.outcome_list(outcomes, "deleted"))
    work.raise_failures(outcomes, "deleted", again)
    return None
