"""`mcml cost spot run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcml.cost.spot.order import Order

EXAMPLES = (
    "mcml cost spot run train --on eu-1/g5.xlarge --fallback eu-1/g5.xlarge --work 48h --deadline 52h \\",
    "    --progress s3://runs/train/progress --detach -- python train.py --resume s3://runs/train",
    "mcml cost spot run train              # goes on with a job that was left, at once",
)


TIMES = ("--work", "--deadline", "--restart", "--checkpoint", "--tick")
RESTART, CHECKPOINT = "3m", "20m"


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "run", examples=EXAMPLES, changes=True)(run)


def run(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the job.")],
    argv: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND", help="What to run; it goes on from its checkpoint.")] = None,
    on: Annotated[list[str] | None, typer.Option("--on", help="TARGET/MACHINE where spot may be had (repeatable).")] = None,
    fallback: Annotated[str, typer.Option("--fallback", help="TARGET/MACHINE on demand, or a stopped machine or empty group.")] = "",
    progress: Annotated[str, typer.Option("--progress", help="File or URL where the job says its saved share, 0 to 1.")] = "",
    work: Annotated[str, typer.Option("--work", help="How long it takes without a stop.")] = "",
    deadline: Annotated[str, typer.Option("--deadline", help="How long it may take.")] = "",
    restart: Annotated[str, typer.Option("--restart", help="What every start of a machine costs.")] = RESTART,
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="How often it saves.")] = CHECKPOINT,
    tick: Annotated[str, typer.Option("--tick", help="How often we look.  [default: a 500th of the deadline]")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Leave a process behind that looks after it.")] = False,
) -> Document:
    """Run a job on spot machines, and on demand where the deadline asks for it. Whoever looks after it may be killed: run it again.

    The command runs on each new machine, goes on from its checkpoint, and writes the saved share of its work to --progress after each one.
    For a moment two machines may run it: checkpoints must be replaced in one step. SIGTERM is all the notice that it gets.
    """
    from mcml.cli.cost.spot import supervisor
    from mcml.cost.spot import views

    times = (work, deadline, restart, checkpoint, tick)
    if not argv:
        without_command({"--on": bool(on), "--fallback": fallback, "--progress": progress, **dict(zip(TIMES, times, strict=True))})
    fresh = order(session, argv, on or (), fallback, progress, times) if argv else None
    asked = fresh or supervisor.known(session, name).order
    checked = supervisor.checked_name(name)
    at_work = supervisor.of(session, asked)
    if session.dry_run:
        return views.plan(name, at_work.planned(asked))
    if detach:
        return supervisor.detached(session, at_work, checked, fresh)
    return supervisor.foreground(session, at_work, checked, fresh)


def without_command(given: "Mapping[str, object]") -> None:
    """Raise Usage for what is said of a job that goes on as it was ordered."""
    from mcml.core.errors import Usage

    usual = {"--restart": RESTART, "--checkpoint": CHECKPOINT}
    said = [option for option, text in given.items() if text and text != usual.get(option)]
    if said:
        why = "without a command it goes on with the job as it was ordered"
        raise Usage(f"{', '.join(said)} of a spot job needs its command", why=why, next_step="mcml cost spot run --help")


def order(session: Session, argv: "Sequence[str]", on: "Sequence[str]", fallback: str, progress: str, times: "Sequence[str]") -> "Order":
    """Read what is ordered. Raises Usage for what is missing."""
    from mcml.cli.cost.spot import supervisor
    from mcml.cli.cost.spot.words import seconds
    from mcml.core.errors import Usage
    from mcml.cost.spot.order import Order

    given = dict(zip(TIMES, times, strict=True)) | {"--on": "".join(on), "--fallback": fallback, "--progress": progress}
    missing = [option for option, text in given.items() if not text and option != "--tick"]
    if missing:
        raise Usage(f"a spot job needs {', '.join(missing)}", next_step="mcml cost spot run --help")
    length = {option: seconds(text, option) for option, text in zip(TIMES, times, strict=True) if text}
    where = progress if "://" in progress else str(Path(progress).absolute())
    return Order(
        tuple(argv),
        tuple(supervisor.candidate(text) for text in dict.fromkeys(on)),
        supervisor.fallback(session, fallback),
        length["--work"],
        length["--deadline"],
        length["--restart"],
        length["--checkpoint"],
        length.get("--tick", max(1, -(-length["--deadline"] // 500))),
        where,
    )
