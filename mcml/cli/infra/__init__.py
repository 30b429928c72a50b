"""`mcml infra`: the targets, made and watched by Terraform."""

from mcml.cli.infra import (
    apply,
    bootstrap,
    cost,
    destroy,
    drift,
    graph,
    import_,
    init,
    kubeconfig,
    output,
    plan,
    state_word,
    status,
    unlock,
)
from mcml.cli.infra.common import applied_targets
from mcml.cli.lazy import group

__all__ = ["app", "applied_targets"]

app = group(
    "infra",
    "The targets of mcml.toml, made and watched by Terraform: plan, cost, apply, drift, destroy.",
    examples=("mcml infra plan", "mcml infra cost", "mcml infra apply", "mcml infra drift --detailed-exitcode", "mcml infra destroy"),
)
for verb in (plan, cost, apply, status, graph, output, kubeconfig, drift, import_, destroy, init, bootstrap, unlock, state_word):
    verb.register(app)
