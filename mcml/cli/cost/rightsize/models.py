"""`mcml cost rightsize models`."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mcml.cli.completion import complete_model
from mcml.cli.options import command
from mcml.cli.session import Session

if TYPE_CHECKING:
    from mcml.cost.meter.live import PriceOf
    from mcml.cost.rightsize.model import Advice
    from mcml.providers.api.capability import Capability

T = TypeVar("T")
EXAMPLES = ("mcml cost rightsize models", "mcml cost rightsize models fraud", "mcml cost rightsize models fraud -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "models", examples=EXAMPLES)(models)


def models(
    session: Session,
    model: Annotated[
        str, typer.Argument(help="One model; all of mcml.toml without.", autocompletion=complete_model, show_default=False)
    ] = "",
) -> None:
    """Say what each model should be given on each target, by what its replicas use: the CPU, the memory, and the lines for mcml.toml.

    Known where the target tells what a replica has and uses: local (threads) and SageMaker (its machine; what its scaling policies do is
    not looked at). Nothing is said of Vertex AI, whose measure of CPU is not clear on machines of several CPUs, and of Azure ML, which
    does not tell which machines an endpoint may have. GPUs and the number of replicas are left alone.
    """
    from mcml.core.fanout import ask_all
    from mcml.cost.rightsize import model_views
    from mcml.store.catalogue import price_book

    price_of = price_book(session.store)
    asks = {f"{name}@{target}": partial(ask, session, name, target, price_of) for name, target in _places(session, model)}
    asked = ask_all(asks)
    if asked.given or not asked.failed:
        session.show(model_views.models(list(asked.given.values()), session.settings.cost.rightsizing))
    asked.raise_failures("asking for the use of", next_step="mcml cost rightsize models")


def _places(session: Session, model: str) -> list[tuple[str, str]]:
    """Return each model with each of its targets. Raises NotFound for a model that is not in mcml.toml."""
    from mcml.core.errors import unknown

    known = session.settings.models
    if model and model not in known:
        raise unknown("model", model, known, next_step="mcml config show")
    return [(name, target) for name, one in known.items() if model in ("", name) for target in one.targets]


def ask(session: Session, model: str, target: str, price_of: "PriceOf") -> "Advice":
    """Ask a target what a model has there and uses, and say what it should be given."""
    from mcml.cost.meter.live import Doors
    from mcml.cost.rightsize.model import Running, unknown
    from mcml.cost.rightsize.model_look import look
    from mcml.providers import discovery
    from mcml.providers.api import capability
    from mcml.store.replica_prices import price_of_replica

    place, resources = session.settings.targets[target], session.settings.models[model].resources.get(target, {})
    running = Running(model, target, place.provider, place.region, resources=resources)
    offered = discovery.spec(place.provider).offer

    def door(wanted: "Capability[T]") -> "T | None":
        return session.open(wanted, target) if offered(wanted).support.usable else None

    if not offered(capability.MODEL_ENDPOINT).support.usable:
        return unknown(running, "NotRunning", f"{place.provider} runs no models")
    endpoints = door(capability.MODEL_ENDPOINT)
    hosted = price_of_replica(session.store, endpoints, place.provider, place.region, session.clock)
    doors = Doors(door(capability.INSTANCES), endpoints=endpoints, metrics=door(capability.METRICS), price_of_replica=hosted)
    return look(running, doors, price_of, session.settings.cost.rightsizing, session.clock())
