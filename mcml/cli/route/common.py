"""What the verbs of `mcml route` share: the router's folder, and what it is made of."""

from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import McmlError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mcml.core.backend import Backend
    from mcml.core.fact import Fact
    from mcml.core.price import PriceInfo
    from mcml.core.schema_routes import Router
    from mcml.cost.prices import PriceBook
    from mcml.providers.api.endpoint import ModelEndpoint
    from mcml.route.records import Running
    from mcml.route.serve import Setup


def folder(session: Session) -> "Path":
    """Return the folder of the project's router."""
    return session.config.state / "route"


def running(session: Session) -> "Running":
    """Return the router that runs. Raises NotFound when none does."""
    from mcml.route.records import read_running

    found = read_running(folder(session))
    if found is None:
        raise NotFound("no router of this project runs", next_step="mcml route serve --detach")
    return found


def listen(session: Session, host: str | None, port: int | None) -> "Router":
    """Return where to listen: `router` of mcml.toml, with what the flags said."""
    said = {"host": host, "port": port}
    return session.settings.router.model_copy(update={key: value for key, value in said.items() if value is not None})


def setup(session: Session, listen: "Callable[[Session], Router]") -> "Setup":
    """Put together what a router needs: backends from the providers, prices from the cost room, facts through the incident room.

    `listen` says where to listen, from the session's settings, which are replaced when mcml.toml changes.
    """
    from mcml.cli.route.newest import Newest
    from mcml.route.serve import Setup

    backends = Backends(session)
    prices = Prices(session, backends)
    keep = record(session)
    return Setup(
        folder(session), session.settings.routes, listen(session), backends, prices, keep, session.reporter, session.clock,
        wanted=Newest(session, listen, keep),
    )


def record(session: Session) -> "Callable[[Fact], object]":
    """Return what takes a fact: the journal, and with it the incidents. The store is opened for the first one."""

    def keep(fact: "Fact") -> None:
        from mcml.incident import desk
        from mcml.route.decide import FIRST_SIGHT

        if not fact.facts.get(FIRST_SIGHT) or desk.concerns(session.store, fact):
            desk.record(session.store, fact)

    return keep


class Backends:
    """Where the models of all routes run now. A target whose provider cannot be asked keeps what it said last, and that is said once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._last: dict[str, list[Backend]] = {}
        self._endpoints: dict[str, ModelEndpoint] = {}
        self._failing: set[str] = set()
        self._read_for = session.settings

    def __call__(self) -> "list[Backend]":
        """Return the backends of every target that a route's model runs on."""
        settings = self._session.settings
        if settings is not self._read_for:  # mcml.toml has changed: a target of the same name may be another place
            self._endpoints.clear()
            self._read_for = settings
        models = {route.model or name for name, route in settings.routes.items()}
        targets = {target for model in models for target in settings.models[model].targets}
        return [backend for target in sorted(targets) for backend in self._of(target)]

    def _of(self, target: str) -> "list[Backend]":
        from mcml.deploy.backends import backends_of
        from mcml.providers.api.capability import MODEL_ENDPOINT

        try:
            if target not in self._endpoints:
                self._endpoints[target] = self._session.open(MODEL_ENDPOINT, target)
            self._last[target] = backends_of(self._endpoints[target].describe(), self._session.settings.targets[target])
            self._failing.discard(target)
        except McmlError as failed:
            if target not in self._failing:
                self._failing.add(target)
                self._session.note(f"{target}: {failed.message}" + (f" ({failed.why})" if failed.why else ""))
        return self._last.get(target, [])


class Prices:
    """What a backend costs, from the price book; made when it is first asked, after today's unit prices were put into the catalogue."""

    def __init__(self, session: Session, backends: Backends) -> None:
        self._session = session
        self._backends = backends
        self._book: PriceBook | None = None

    def __call__(self, backend: "Backend") -> "PriceInfo | None":
        """Return the price of a backend; None when it is not known."""
        if self._book is None:
            refresh_prices(self._session)
            self._book = self._open()
        return self._book(backend)

    def _open(self) -> "PriceBook":
        from mcml.cost.prices import PriceBook
        from mcml.store.ledger.book import Ledger

        session = self._session
        ledger = Ledger(session.config.state / "cost")
        return PriceBook(session.store, ledger, self._backends, session.clock, lambda failed: session.note(f"prices: {failed}"))


def refresh_prices(session: Session) -> None:
    """Write today's unit prices of every provider of a target into the catalogue; a provider that has none is no failure."""
    from mcml.providers.api.capability import BILLING
    from mcml.store import prices

    for provider in sorted({target.provider for target in session.settings.targets.values()}):
        try:
            found = session.open_provider(BILLING, provider).unit_prices()
            with session.store.writing() as connection:
                prices.record(connection, provider, found)
        except McmlError as failed:
            session.note(f"prices of {provider}: {failed.message}")
