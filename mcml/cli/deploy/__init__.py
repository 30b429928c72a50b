"""`mcml deploy`: a model onto its targets."""

from mcml.cli.deploy import delete, list_, model
from mcml.cli.lazy import group

app = group(
    "deploy",
    "A model onto its targets: start, verify, shift traffic, stop the old version.",
    examples=("mcml deploy model fraud", "mcml deploy model fraud --dry-run", "mcml deploy list", "mcml deploy delete fraud"),
)
for verb in (model, list_, delete):
    verb.register(app)
