"""`mcml help`: topics that belong to no command."""

from collections.abc import Callable
from typing import Annotated

import typer

from mcml.cli.lazy import single
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

app = single("help", "Topics: exit codes, environment, output.")

ENVIRONMENT = (
    ("MCML_PROFILE", "the profile of mcml.toml, as --profile"),
    ("MCML_ACTOR", "who acts, in the journal; default user@host"),
    ("MCML_DEBUG", "not empty: as --debug"),
    ("MCML_<SETTING>", "any setting, two underscores between its parts: MCML_STORE__URL, MCML_ROUTER__PORT"),
    ("NO_COLOR", "not empty: no colour"),
    ("CI", "not empty: never ask, no moving progress"),
)
OUTPUT = (
    ("table", "for a person; into a pipe: tab-separated, no heading, nothing shortened, times as RFC 3339"),
    ("json", 'one object: {"kind", "version", "items"}; fields are added, never renamed'),
    ("yaml", "the same as YAML"),
    ("csv", 'where rows have columns of their own (`mcml data query`): a heading, NULL is empty and an empty text is ""'),
    ("name", "one name a line"),
    ("stdout, stderr", "stdout is data, stderr is talk"),
)


def _topics() -> dict[str, Callable[[], Document]]:
    from mcml.cli.about import exit_codes, topic

    return {
        "exit-codes": exit_codes,
        "environment": lambda: topic("Environment variables", ENVIRONMENT),
        "output": lambda: topic("Output", OUTPUT),
    }


@command(app, "help", examples=("mcml help exit-codes", "mcml help environment", "mcml help output"))
def show_topic(_: Session, topic: Annotated[str, typer.Argument(help="exit-codes, environment or output.")] = "exit-codes") -> Document:
    """Explain a topic."""
    from mcml.core.errors import unknown

    topics = _topics()
    if topic not in topics:
        raise unknown("help topic", topic, topics, next_step="mcml --help")
    return topics[topic]()
