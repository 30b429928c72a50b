"""Where the models of the targets run, and what their endpoints want to see; each target is asked in a thread of its own."""

import threading
import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from mcml.cli.session import Session
from mcml.core.backend import Backend
from mcml.core.credential import Credential
from mcml.core.errors import McmlError, NotAuthenticated
from mcml.deploy.backends import backends_of
from mcml.providers.api.capability import MODEL_ENDPOINT
from mcml.providers.api.endpoint import Endpoint, InvokeTarget, ModelEndpoint, Stamped, Variant

PATIENCE = 20.0
"""Seconds that the first question to a target may take before the others go on without it."""

GLANCE = 0.3
"""Seconds that later questions are waited for; a target that takes longer is heard the next time."""

SHARE = 20
"""A target is asked again after so many times what it took to answer: one on this machine at once, a cloud every few seconds."""

LONGEST = 30.0
"""Seconds after which any target is asked again."""


@dataclass
class _Place:
    """What is known of one target."""

    endpoint: ModelEndpoint | None = None
    backends: list[Backend] = field(default_factory=list)
    ways: dict[tuple[str, str, str, int], InvokeTarget] = field(default_factory=dict)
    asking: threading.Thread | None = None
    heard: bool = False
    failing: bool = False
    due: float = 0.0
    shows: Stamped | None = None
    stamp: Hashable = None
    latest: float = 0.0


class Places:
    """The targets of a project. One whose provider cannot be asked keeps what it said last, and that is said once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}

    def __call__(self, targets: Iterable[str]) -> list[Backend]:
        """Return the backends of these targets, as their providers said last."""
        with self._lock:
            asked = [self._places.setdefault(target, _Place()) for target in targets]
            for target, place in zip(targets, asked, strict=True):
                self._ask(target, place)
        end = time.monotonic() + (GLANCE if all(place.heard for place in asked) else PATIENCE)
        for place in asked:
            if place.asking is not None:
                place.asking.join(max(0.0, end - time.monotonic()))
        for place in asked:
            place.heard = True
        return [backend for place in asked for backend in place.backends]

    def forget(self) -> None:
        """Open every target anew when it is next asked: the settings have changed."""
        with self._lock:
            self._places.clear()

    def credential(self, backend: Backend) -> Credential:
        """Return what authenticates requests to a backend, fresh from its provider. Raises NotAuthenticated, and as the provider does."""
        with self._lock:
            place = self._places.get(backend.target)
        endpoint = place.endpoint if place is not None and place.endpoint else self._session.open(MODEL_ENDPOINT, backend.target)
        found = endpoint.invoke_target(backend.model, backend.version).credential
        if found is None:
            raise NotAuthenticated(f"the provider of {backend.target} has no credential for {backend.model}")
        return found

    def _ask(self, target: str, place: _Place) -> None:
        if (place.asking is None or not place.asking.is_alive()) and time.monotonic() >= place.due and _has_news(place):
            place.asking = threading.Thread(target=self._look, args=(target, place), name=f"places-{target}", daemon=True)
            place.asking.start()

    def _look(self, target: str, place: _Place) -> None:
        began = time.monotonic()
        try:
            endpoint = place.endpoint = place.endpoint or self._session.open(MODEL_ENDPOINT, target)
            place.shows = endpoint if isinstance(endpoint, Stamped) else None
            place.stamp = _shown(place)

            def way(found: Endpoint, variant: Variant) -> InvokeTarget:
                key = found.name, variant.version, variant.address, variant.grpc_port
                if key not in place.ways:
                    place.ways[key] = endpoint.invoke_target(found.name, variant.version)
                return place.ways[key]

            place.backends = backends_of(endpoint.describe(), self._session.settings.targets[target], way)
            place.failing = False
        except Exception as failed:  # noqa: BLE001 - one target must not take the others down with it
            if not place.failing:
                why = (failed.message + (f" ({failed.why})" if failed.why else "")) if isinstance(failed, McmlError) else repr(failed)
                self._session.note(f"{target}: {why}")
            place.failing = True
        now = time.monotonic()
        place.due, place.latest = now + min(LONGEST, SHARE * (now - began)), now + LONGEST


def _has_news(place: _Place) -> bool:
    """Tell whether asking a target may bring something new; most can only be asked, one on this machine shows it."""
    if place.failing or place.stamp is None or time.monotonic() >= place.latest:
        return True
    return _shown(place) != place.stamp


def _shown(place: _Place) -> Hashable:
    """Return what a target shows without being asked; None when it shows nothing."""
    try:
        return place.shows.stamp() if place.shows else None
    except OSError:
        return None  # asking will say what is wrong
