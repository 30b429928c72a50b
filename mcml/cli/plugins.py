"""`mcml plugins`: the providers and what they can do."""

from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

app = group("plugins", "Providers and what they can do.", examples=("mcml plugins list", "mcml plugins list -o json"))


@command(app, "list", examples=("mcml plugins list", "mcml plugins list -o json"))
def list_plugins(_: Session) -> Document:
    """List every capability beside every installed provider: full, partial, not yet, or impossible (with the reason)."""
    from mcml.cli.about import capability_table
    from mcml.providers import discovery

    return capability_table(dict(discovery.specs()))
