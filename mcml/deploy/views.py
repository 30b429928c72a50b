"""Documents of the deploy room."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from mcml.core.plan import Plan, Step
from mcml.core.view import Block, Column, Document, Level, State, Table, Text, listing
from mcml.deploy.price import Price
from mcml.providers.api.endpoint import Endpoint, EndpointState

STEP = ("name", "target", "action", "kind", "reason", "values")
COSTS = [
    Column("target", "Target"),
    Column("size", "Size"),
    Column("hourly_price", "An hour", "money"),
    Column("monthly_price", "730 hours", "money"),
    Column("currency", "In"),
    Column("price_note", "Note"),
]
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


def plan_document(plan: Plan, prices: Mapping[str, Price] = MappingProxyType({})) -> Document:
    """Show a deploy plan: one line a step, and what each new version costs by the hour and the month where it is started."""
    items = [{**{name: getattr(step, name) for name in STEP}, **_cost(step, prices)} for step in plan.steps]
    columns = [
        Column("target", "Target"),
        Column("action", "Action"),
        Column("kind", "What"),
        Column("name", "Model"),
        Column("reason", "Why"),
    ]
    verdict = f"{len(plan.changes)} to change" if plan.changes else "nothing to change"
    costs = Table(COSTS, [item for item in items if "size" in item], title="by list price, as long as it runs")
    blocks: list[Block] = [Table(columns, items), *([costs] if costs.rows else []), Text(f"{verdict}; plan {plan.digest[:12]}")]
    return Document("DeployPlan", items, tuple(blocks))


def _cost(step: Step, prices: Mapping[str, Price]) -> dict[str, object]:
    price = prices.get(step.target) if (step.kind, step.action) == ("version", "create") else None
    if price is None:
        return {}
    return {
        "size": price.size,
        "hourly_price": price.hourly,
        "monthly_price": price.monthly,
        "currency": price.currency,
        "price_note": "; ".join(filter(None, ("at most, by what is used" if price.by_use else "", price.why))),
        "price_source": price.source,
        "price_as_of": price.as_of,
    }
