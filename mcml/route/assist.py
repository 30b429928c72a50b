"""All that stands beside the path of a request, put together: signatures, checks, the shadow, and the pages that Envoy answers itself."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from mcml.core.backend import Backend
from mcml.core.clock import Clock
from mcml.core.fact import Fact
from mcml.core.process import free_port
from mcml.core.report import Reporter
from mcml.core.schema_routes import Route
from mcml.core.secret import Secret
from mcml.route.aside.asking import Asker
from mcml.route.aside.helper import Heard, Helper
from mcml.route.aside.shadow import Comparer, wanted
from mcml.route.aside.tally import Tally
from mcml.route.aside.validate import Signatures, SignatureSource, check
from mcml.route.config.values import Aside, Front, StaticPage
from mcml.route.feeds import Feed
from mcml.route.show import openapi
from mcml.route.show.board import Board
from mcml.route.show.page import docs
from mcml.route.weights.decide import ROOM, models_of

SIGNATURES_SECONDS = 1.0


class Assistant:
    """The helper of one router. `backends`: where models run; `post` takes facts; `fixed` returns the routes of mcml.toml."""

    def __init__(
        self,
        folder: Path,
        backends: Callable[[], Sequence[Backend]],
        fixed: Callable[[], Mapping[str, Route]],
        post: Callable[[Fact], object],
        *,
        reporter: Reporter,
        clock: Clock,
    ) -> None:
        self.board = Board()
        self._fixed = fixed
        self._post = post
        self._clock = clock
        self._reporter = reporter
        self._software = metadata.version("mcml")
        asker = Asker(free_port(), Secret(secrets.token_urlsafe(24)))
        self._asker = asker
        self._helper = Helper(free_port(), self._check, self._take)
        self._source = SignatureSource(asker.ask, backends)
        self._signatures: Feed[Signatures] = Feed("signatures", self._learn, {}, seconds=SIGNATURES_SECONDS, reporter=reporter)
        self._comparer = Comparer(asker.ask, backends, self._up, folder, clock, reporter)
        self._models: Mapping[str, Sequence[str]] = {}
        self._paged: tuple[Mapping[str, Route], Signatures, bool] | None = None
        self._pages: tuple[StaticPage, ...] = ()

    def start(self) -> None:
        """Begin to check and to compare. Raises McmlError when a port cannot be had."""
        self._helper.start()
        self._signatures.start()
        self._comparer.start()

    def close(self) -> None:
        """Stop; requests go on unchecked and copies are lost."""
        self._helper.close()
        self._signatures.close()
        self._comparer.close()
        self._asker.close()

    @property
    def changes(self) -> int:
        """How often the models' signatures have changed."""
        return self._signatures.changes

    def around(self, front: Callable[[Mapping[str, Route]], Front]) -> Callable[[Mapping[str, Route]], Front]:
        """Return a source of the listener that also has what stands beside the path of a request."""

        def both(routes: Mapping[str, Route]) -> Front:
            found = front(routes)
            return replace(found, aside=self.aside(routes, keys=found.clients is not None))

        return both

    def aside(self, routes: Mapping[str, Route], *, keys: bool) -> Aside:
        """Return what Envoy is to be told, for the routes as they are now; called in every turn of the control loop."""
        shadows = wanted(routes)
        begun, ended = self._comparer.want(shadows)
        for tally in {tally.route: tally for tally in reversed(begun)}.values():  # once for a split route, too
            self._tell(tally, began=True)
        for tally in ended:
            self._tell(tally, began=False)
        self._models = {name: models_of(name, route) for name, route in routes.items()}
        self.board.copies = self._comparer.counts()
        return Aside(
            self._helper.port,
            self._asker.port,
            self._asker.token,
            tuple(sorted(name for name, route in routes.items() if route.validate_requests)),
            {name: float(one.shadow.percent) for name, one in shadows.items()},
            self._all_pages(routes, keys=keys),
        )

    def _all_pages(self, routes: Mapping[str, Route], *, keys: bool) -> tuple[StaticPage, ...]:
        made_from = routes, self._signatures.value, keys
        if self._paged != made_from:
            self._paged = made_from
            try:
                document = openapi.document(routes, self._models, self._signatures.value, software=self._software, keys=keys)
                self._pages = _pages(document)
            except Exception as bug:  # noqa: BLE001 - a page must not hold up the weights
                self._reporter.note(f"the pages of the API are those of before: {type(bug).__name__}: {bug}")
        return self._pages

    def _learn(self) -> Signatures:
        return self._source() if self.board.told else {}  # before the first turn Envoy knows nobody

    def _check(self, heard: Heard) -> str:
        return check(heard.path, heard.headers, heard.body, self._models, self._signatures.value)

    def _take(self, heard: Heard) -> None:
        self._comparer.take(heard)

    def _up(self) -> frozenset[str]:
        routes = self.board.told.get("routes", ())
        return frozenset(one["backend"] for route in routes for one in route["backends"] if one["state"] == "up")

    def _tell(self, tally: Tally, *, began: bool) -> None:
        """Journal a shadow that mcml.toml started (one that a person switched was journaled by the command), and what one has shown."""
        route = self._fixed().get(tally.route)
        of_settings = route is not None and route.shadow is not None and route.shadow.model == tally.theirs
        facts: dict[str, object] = {"route": tally.route, "model": tally.ours, "shadow": tally.theirs, "percent": tally.percent}
        if began and of_settings:
            self._post(Fact("route.shadow_started", ROOM, "", facts, self._clock()))
        elif not began:
            report = tally.report()
            counted = {name: report[name] for name in ("compared", "same", "different", "error", "dropped")}
            self._post(Fact("route.shadow_compared", ROOM, "", {**facts, **counted}, self._clock()))


def _pages(document: Mapping[str, object]) -> tuple[StaticPage, ...]:
    nosniff = ("x-content-type-options", "nosniff")
    return (
        StaticPage("/v2/openapi.json", "application/json", json.dumps(document), (nosniff,)),
        StaticPage("/v2/docs", "text/html; charset=utf-8", docs.page(document), (nosniff, *docs.headers())),
    )
