"""`mcml data`: objects and files, wherever they are, and tables."""

from mcml.cli.data import cat, cp, load, ls, query, rm, stat
from mcml.cli.lazy import group

app = group(
    "data",
    "Objects and files, wherever they are (scheme://bucket/key of any provider, or a path), and tables of a warehouse.",
    examples=(
        "mcml data ls local://models/",
        "mcml data cp -r data local://models/fraud",
        "mcml data load clicks.csv web.clicks",
        "mcml data query 'select count(*) as clicks from web.clicks'",
    ),
)
for verb in (ls, cp, cat, stat, rm, load, query):
    verb.register(app)
