"""`mcml doctor`: what is missing, and the command that mends it."""

from mcml.cli.lazy import single
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.view import Document

app = single("doctor", "What is missing, and the command that mends it.")


@command(app, "doctor", examples=("mcml doctor", "mcml doctor -o json"))
def examine(session: Session) -> Document:
    """Look at tools, configuration, credentials, stores and ports; every failure comes with its fix (exit 1 when there is one)."""
    from mcml.cli import checks
    from mcml.cli.about import check_list

    looked_at = checks.everything(session)
    if not all(check.ok for check in looked_at):
        session.exit_code = exits.FAILED  # not 7, also when only one of several clouds fails: all was looked at, a re-run continues nothing
    return check_list(looked_at)
