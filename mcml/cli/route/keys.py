"""`mcml route keys`: who may ask the router for anything."""

import typer

from mcml.cli.lazy import group
from mcml.cli.route import keys_add, keys_import, keys_list, keys_revoke, keys_rotate

app = group(
    "keys",
    "API keys of the router: add, list, rotate, revoke, import.",
    examples=(
        "mcml route keys add web-shop                                  # shown once",
        "mcml route keys add batch --model fraud --limit 20/s --expires 90d",
        "mcml route keys rotate web-shop --overlap 1d                  # both are valid for a day",
        "mcml route keys revoke web-shop",
    ),
)
for verb in (keys_add, keys_list, keys_rotate, keys_revoke, keys_import):
    verb.register(app)


def register(above: typer.Typer) -> None:
    """Add the word to the one above it."""
    above.add_typer(app)
