"""What the verbs of `mcml cost` share: where the ledger lies, and spans of time."""

from typing import TYPE_CHECKING

from mcml.cli.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from mcml.store.ledger.book import Ledger, Scope


def folder(session: Session) -> "Path":
    """Return the folder of the project's ledger."""
    return session.config.state / "cost"


def ledger(session: Session) -> "Ledger":
    """Open the project's ledger for reading."""
    from mcml.store.ledger.book import Ledger

    return Ledger(folder(session))


def scope(session: Session, since: str, until: str) -> "Scope":
    """Read --since and --until. Raises Usage for what is no time."""
    from mcml.core.when import moment
    from mcml.store.ledger.book import Scope

    begin, end = (moment(text, session.clock()) if text else None for text in (since, until))
    return Scope(begin, end)


def complete_dimension(incomplete: str) -> list[str]:
    """Complete what costs can be grouped by."""
    from mcml.store.ledger.dimensions import DIMENSIONS

    return [name for name in DIMENSIONS if name.startswith(incomplete)]
