"""Asking the providers of all targets where models run: none holds up another, each is asked as often as it bears."""

import threading
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcml.cli.route.places import Places
from mcml.cli.session import Session
from mcml.core.errors import NotAuthenticated, Unavailable
from mcml.core.schema import Target
from mcml.core.secret import Secret
from mcml.providers.api.endpoint import Endpoint, EndpointRequest, InvokeTarget, Variant
from tests.route.rig import until

TARGET = Target(provider="p", region="r")


class Provider:
    """The endpoints of one target: what they say, how long that takes, or what they raise."""

    def __init__(self, name: str, url: str, auth: Any = "none") -> None:
        self.name, self.url, self.auth, self.version = name, url, auth, "1"
        self.failing: Exception | None = None
        self.described = self.invoked = 0
        self.go = threading.Event()
        self.go.set()

    def describe(self, name: str = "") -> list[Endpoint]:
        self.described += 1
        assert self.go.wait(30)
        if self.failing:
            raise self.failing
        return [Endpoint("fraud", self.name, (Variant(self.version, "", "ready", 100, self.url),))]

    def invoke_target(self, name: str, version: str = "") -> InvokeTarget:
        self.invoked += 1
        token = Secret(f"token-{self.invoked}") if self.auth == "bearer" else None
        return InvokeTarget(self.url, f"/v1/{name}:rawPredict" if token else f"/v2/models/{name}/infer", "", self.auth, token)

    def create(self, request: EndpointRequest) -> Endpoint:
        raise NotImplementedError

    def shift_traffic(self, name: str, weights: Mapping[str, int]) -> Endpoint:
        raise NotImplementedError

    def delete(self, name: str, version: str = "") -> bool:
        raise NotImplementedError


class World:
    def __init__(self) -> None:
        self.providers = {"near": Provider("near", "http://a:1"), "far": Provider("far", "https://b", "bearer")}
        self.said: list[str] = []
        targets = dict.fromkeys(self.providers, TARGET)
        settings = SimpleNamespace(targets=targets)
        session = SimpleNamespace(open=lambda _, target: self.providers[target], settings=settings, note=self.said.append)
        self.places = Places(cast(Session, session))

    def ask(self) -> list[str]:
        return [f"{one.name} {one.version}" for one in self.places(["near", "far"])]


def test_both_are_there_at_first_and_how_they_are_reached_is_asked_once() -> None:
    world = World()
    assert world.ask() == ["fraud@near 1", "fraud@far 1"]
    for _ in range(5):
        world.ask()
    assert (world.providers["near"].invoked, world.providers["far"].invoked) == (1, 1)
    world.providers["near"].version = "2"
    until(lambda: "fraud@near 2" in world.ask(), 5, "the new version is not seen")
    assert world.providers["near"].invoked == 2


def test_one_that_hangs_holds_up_no_other_and_keeps_what_it_said() -> None:
    world = World()
    world.ask()
    world.providers["far"].go.clear()
    world.providers["near"].version = "2"
    time.sleep(0.1)
    until(lambda: world.ask() == ["fraud@near 2", "fraud@far 1"], 5, "the near one is held up")
    began = time.monotonic()
    for _ in range(3):
        world.ask()
    assert time.monotonic() - began < 20  # it hangs for 30
    world.providers["far"].version = "2"
    world.providers["far"].go.set()
    until(lambda: world.ask() == ["fraud@near 2", "fraud@far 2"], 10, "the far one is never heard again")


def test_one_that_takes_long_is_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcml.cli.route.places.LONGEST", 3600.0)
    monkeypatch.setattr("mcml.cli.route.places.SHARE", 10_000)
    world = World()
    world.ask()
    far = world.providers["far"]
    asked = far.described
    for _ in range(5):
        world.ask()
    assert far.described == asked


def test_one_that_fails_is_said_once_and_keeps_what_it_said() -> None:
    world = World()
    world.ask()
    world.providers["far"].failing = Unavailable("cannot describe", why="no network")
    until(lambda: world.ask() and world.said, 5, "the failure is not said")
    assert world.ask() == ["fraud@near 1", "fraud@far 1"]
    assert world.said == ["far: cannot describe (no network)"]


def test_a_credential_is_always_fresh_and_a_plain_backend_has_none() -> None:
    world = World()
    near, far = world.places(["near", "far"])
    assert (far.auth, far.infer_path, far.tls) == ("bearer", "/v1/fraud:rawPredict", True)
    assert world.places.credential(far).secret == Secret("token-2")
    assert world.places.credential(far).secret == Secret("token-3")
    with pytest.raises(NotAuthenticated):
        world.places.credential(near)
    world.places.forget()  # mcml.toml has changed, and no target was asked since
    assert world.places.credential(far).secret == Secret("token-4")


class Showing(Provider):
    """A provider that shows without being asked whether there is news."""

    shown = 1
    broken = False

    def stamp(self) -> int:
        if self.broken:
            raise PermissionError("not yours")
        return self.shown


def test_one_that_shows_its_news_is_asked_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcml.cli.route.places.SHARE", 0)
    world = World()
    near = world.providers["near"] = Showing("near", "http://a:1")
    for _ in range(5):
        world.ask()
    assert near.described == 1
    near.version = "2"
    assert world.ask()[0] == "fraud@near 1"  # a state that it does not show is not asked for
    near.shown = 2
    until(lambda: world.ask()[0] == "fraud@near 2", 5, "the news is not taken up")
    assert near.described == 2
    near.failing = Unavailable("cannot describe")
    near.shown = 3
    until(lambda: world.ask() and world.said, 5, "the failure is not said")
    near.failing, near.version = None, "3"
    until(lambda: world.ask()[0] == "fraud@near 3", 5, "one that failed is not asked again")
    before = near.described
    near.broken = True
    world.ask()
    assert near.described == before + 1  # it cannot show anything: ask


def test_one_that_shows_nothing_new_is_asked_after_a_while_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcml.cli.route.places.LONGEST", 0.0)
    world = World()
    near = world.providers["near"] = Showing("near", "http://a:1")
    for _ in range(5):
        world.ask()
    assert near.described == 5
