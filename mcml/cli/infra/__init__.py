"""`mcml infra`: the targets, made and watched by Terraform."""

from mcml.cli.infra import apply, cost, destroy, drift, init, kubeconfig, output, plan, status
from mcml.cli.infra.common import applied_targets
from mcml.cli.lazy import group

__all__ = ["app", "applied_targets"]

app = group(
    "infra",
    "The targets of mcml.toml, made and watched by Terraform: plan, cost, apply, drift, destroy.",
    examples=("mcml infra plan", "mcml infra cost", "mcml infra apply", "mcml infra drift --detailed-exitcode", "mcml infra destroy"),
)
for verb in (plan, cost, apply, status, output, kubeconfig, drift, destroy, init):
    verb.register(app)
