"""`mcml data`: objects and files, wherever they are."""

from mcml.cli.data import cat, cp, ls, rm, stat
from mcml.cli.lazy import group

app = group(
    "data",
    "Objects and files, wherever they are: scheme://bucket/key of any provider, or a path.",
    examples=("mcml data ls local://models/", "mcml data cp -r data local://models/fraud", "mcml data rm -r local://models/old"),
)
for verb in (ls, cp, cat, stat, rm):
    verb.register(app)
