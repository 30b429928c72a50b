"""What the verbs of `mcml route` share: the router's folder, and what it is made of."""

from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import McmlError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mcml.core.backend import Backend
    from mcml.core.fact import Fact
    from mcml.core.override import Override
    from mcml.core.price import PriceInfo
    from mcml.core.schema_routes import Router, Tls
    from mcml.cost.meter.prices import PriceBook
    from mcml.route.front.keys import KeyDesk
    from mcml.route.parts import Setup
    from mcml.route.records import Running
    from mcml.store.route_keys import RouteKey


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
    router = session.settings.router
    said = {"host": host, "port": port, "tls": router.tls and _beside(session, router.tls)}
    return router.model_copy(update={key: value for key, value in said.items() if value is not None})


def _beside(session: Session, tls: "Tls") -> "Tls":
    """Return the paths of a certificate from anywhere; in mcml.toml they are relative to it."""
    project = session.config.project
    return tls.model_copy(update={name: str(project / path) for name, path in tls.model_dump().items() if path})


def setup(session: Session, listen: "Callable[[Session], Router]") -> "Setup":
    """Put together what a router needs: backends from the providers, prices from the cost room, facts through the incident room.

    `listen` says where to listen, from the session's settings, which are replaced when mcml.toml changes.
    """
    from mcml.cli.route.newest import Newest
    from mcml.route.parts import Setup

    backends = Backends(session)
    prices = Prices(session, backends)
    keep = record(session)
    return Setup(
        folder(session), session.settings.routes, listen(session), backends, prices, keep, session.reporter, session.clock,
        wanted=Newest(session, listen, keep),
        credential=backends.places.credential,
        overrides=overrides(session),
        keys=keys(session),
    )


def keys(session: Session) -> "Callable[[], Sequence[RouteKey]]":
    """Return what reads the API keys of the store."""

    def read() -> "Sequence[RouteKey]":
        from mcml.store import route_keys

        with session.store.reading() as connection:
            return route_keys.every(connection)

    return read


def key_desk(session: Session) -> "KeyDesk":
    """Return what makes and takes back API keys."""
    from mcml.core.fact import current_actor
    from mcml.route.front.keys import KeyDesk

    return KeyDesk(session.store, folder(session), session.settings.routes, actor=current_actor(), now=session.clock())


def note_keys_off(session: Session) -> None:
    """Say that nobody is asked for a key, where that is so."""
    if not session.settings.router.keys:
        session.note("the router asks nobody for a key yet; to change that: keys = true under [router] in mcml.toml")


def overrides(session: Session) -> "Callable[[], Sequence[Override]]":
    """Return what reads the overrides in force from the store; those whose time is over are taken away, which one router journals."""

    def read() -> "Sequence[Override]":
        from mcml.route.overrides import ended
        from mcml.store import overrides as table

        now = session.clock()
        with session.store.reading() as connection:
            found = table.every(connection)
        if any(not one.holds(now) for one in found):
            with session.store.writing() as connection:
                over = table.remove_expired(connection, now)
            session.store.append(*(ended(one, now, "router", "its time is over") for one in over))
        return [one for one in found if one.holds(now)]

    return read


def record(session: Session) -> "Callable[[Fact], object]":
    """Return what takes a fact: the journal, and with it the incidents. The store is opened for the first one."""

    def keep(fact: "Fact") -> None:
        from mcml.incident import desk
        from mcml.route.weights.decide import FIRST_SIGHT

        if not fact.facts.get(FIRST_SIGHT) or desk.concerns(session.store, fact):
            desk.record(session.store, fact)

    return keep


class Backends:
    """Where the models of all routes run now."""

    def __init__(self, session: Session) -> None:
        from mcml.cli.route.places import Places

        self._session = session
        self.places = Places(session)
        self._read_for = session.settings

    def __call__(self) -> "list[Backend]":
        """Return the backends of every target that a route's model runs on."""
        settings = self._session.settings
        if settings is not self._read_for:  # mcml.toml has changed: a target of the same name may be another place
            self.places.forget()
            self._read_for = settings
        models = {model for name, route in settings.routes.items() for model in (route.model or name, *route.split)}
        models |= {route.shadow.model for route in settings.routes.values() if route.shadow} | self._split_now()
        targets = {target for model in models if model in settings.models for target in settings.models[model].targets}
        return self.places(sorted(targets))

    def _split_now(self) -> set[str]:
        """Return the models that somebody put beside a route's own at run time."""
        from mcml.route.overrides import read_cache

        found = [one for one in read_cache(folder(self._session)) if one.kind in ("split", "shadow")]
        return {model for one in found for model in (*one.value.get("split", ()), (one.value.get("shadow") or {}).get("model", ""))}


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
        from mcml.cost.meter.prices import PriceBook
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
