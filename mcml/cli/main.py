"""The only place that exits: the root command, and the table from what happened to an exit code."""

import gc
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError, UsageError
from typer.main import get_command

from mcml.cli.lazy import HELP, LazyGroup
from mcml.core import exits
from mcml.core.errors import Interrupted, McmlError, Usage
from mcml.ui import failure, streams

EXAMPLES = (
    "mcml demo                      # everything below, for real, on this machine",
    "mcml infra apply               # make the targets of mcml.toml",
    "mcml deploy model fraud        # start a model on them",
    "mcml route serve --detach      # one endpoint over all of them",
    "mcml incident                  # what is on fire",
)

COMPLETE = "_MCML_COMPLETE"
"""Set by the scripts in `completions/` when the shell asks what may come next."""

app = typer.Typer(
    name="mcml",
    cls=type("Root", (LazyGroup,), {"examples": EXAMPLES}),
    help="Machine-learning models on more than one cloud: infra, deploy, route, cost, incident, postmortem - one closed loop.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"mcml {version('mcml')}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    """Only --version and the words below."""


def run() -> NoReturn:
    """Entry point of the `mcml` script."""
    gc.set_threshold(30_000)  # what is imported stays: to look through it time and again makes every start slower
    code = main(sys.argv[1:])
    if "_duckdb" not in sys.modules:  # it counts what is left of it when the interpreter ends, and complains on stderr
        gc.freeze()  # the interpreter would look for rubbish in all that was imported before it ends: up to a tenth of a second
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    if COMPLETE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()
    try:
        result = get_command(app).main(args=list(argv), prog_name="mcml", complete_var=COMPLETE, standalone_mode=False)
        return result if isinstance(result, int) else exits.DONE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone: nothing more to say, and no noise at exit
        return exits.DONE
    except BaseException as error:  # noqa: BLE001 - every end of the program goes through the one table
        return _failed(error, debug="--debug" in argv or bool(os.environ.get("MCML_DEBUG")))


def _failed(error: BaseException, *, debug: bool) -> int:
    match error:
        case NoArgsIsHelpError():
            sys.stdout.write(error.ctx.get_help() + "\n")
            return exits.USAGE
        case ClickException():
            told: McmlError = _usage(error)
        case McmlError():
            told = error
        case KeyboardInterrupt() | typer.Abort():
            told = Interrupted("interrupted")
        case SystemExit():
            return error.code if isinstance(error.code, int) else exits.FAILED
        case _:
            told = _bug(error)
    failure.show(told, streams.standard(), debug=debug)
    return told.exit_code


def _usage(error: ClickException) -> Usage:
    path = error.ctx.command_path if isinstance(error, UsageError) and error.ctx else "mcml"
    return Usage(error.format_message().removesuffix("."), next_step=f"{path} --help")


def _bug(error: BaseException) -> McmlError:
    handle, name = tempfile.mkstemp(prefix="mcml-bug-", suffix=".log")
    with os.fdopen(handle, "w") as log:
        log.write("".join(traceback.format_exception(error)))
    bug = McmlError(f"a bug in mcml: {type(error).__name__}: {error}", why=f"the traceback is in {Path(name)}", next_step="mcml doctor")
    bug.exit_code = exits.BUG
    return bug


if __name__ == "__main__":
    run()
