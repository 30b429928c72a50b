"""Documents of the deploy room."""

from collections.abc import Iterable, Mapping

from mcml.core.plan import Plan
from mcml.core.view import Column, Document, Level, State, Table, Text, listing
from mcml.providers.api.endpoint import Endpoint, EndpointState

LEVELS: Mapping[EndpointState, Level] = {"ready": "ok", "starting": "warn", "stopped": "bad", "failed": "bad"}


def endpoint_list(endpoints: Iterable[Endpoint]) -> Document:
    """List every version that runs, with its target, state, share of the traffic and address."""
    rows = [
        {
            "name": f"{endpoint.name}@{endpoint.target}",
            "model": endpoint.name,
            "target": endpoint.target,
            "version": variant.version,
            "state": State(variant.state, LEVELS[variant.state]),
            "weight": variant.weight,
            "address": variant.address,
            "digest": variant.digest,
            "detail": variant.detail,
        }
        for endpoint in endpoints
        for variant in endpoint.variants
    ]
    columns = [
        Column("model", "Model"),
        Column("target", "Target"),
        Column("version", "Version"),
        Column("state", "State", "state"),
        Column("weight", "Traffic", "percent"),
        Column("address", "Address"),
        Column("detail", "Detail"),
    ]
    return listing("DeploymentList", columns, rows, empty="nothing is deployed; next: mcml deploy model NAME")


def plan_document(plan: Plan) -> Document:
    """Show a deploy plan: one line a step."""
    items = [
        {name: getattr(step, name) for name in ("name", "target", "action", "kind", "reason", "values")}
        for step in plan.steps
    ]
    columns = [
        Column("target", "Target"),
        Column("action", "Action"),
        Column("kind", "What"),
        Column("name", "Model"),
        Column("reason", "Why"),
    ]
    verdict = f"{len(plan.changes)} to change" if plan.changes else "nothing to change"
    return Document("DeployPlan", items, (Table(columns, items), Text(f"{verdict}; plan {plan.digest[:12]}")))
