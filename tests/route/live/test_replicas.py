"""Two routers over the same backends that share a store and nothing else: what a person changes holds for both, and one is enough."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.core.fact import Fact
from mcml.core.override import Override
from mcml.core.schema_routes import Route, Router
from mcml.incident import desk
from mcml.route.drill.load import Request, run_load
from mcml.route.front.keys import KeyDesk, Wanted
from mcml.store import overrides, route_keys
from mcml.store.db import Store
from mcml.store.journal import Entry
from mcml.store.route_keys import RouteKey
from tests.route.rig import Rig, Upstream, until

ROUTES = {"fraud": Route()}


class Replicas:
    """Two routers, each in a folder of its own, and their store."""

    def __init__(self, folder: Path, store: Store, stack: ExitStack) -> None:
        self.store = store
        self.upstreams = {target: Upstream(target) for target in ("eu-1", "us-1")}
        for upstream in self.upstreams.values():
            stack.callback(upstream.close)
        self.routers = []
        for name in ("a", "b"):
            rig = Rig(folder / name, [], routes=ROUTES, router=Router(port=0, keys=True))
            rig.backends = [one.backend for one in self.upstreams.values()]
            rig.setup = replace(rig.setup, overrides=self._overrides, keys=self._keys, emit=self._emit)
            self.routers.append(stack.enter_context(rig))

    def _overrides(self) -> list[Override]:
        with self.store.reading() as connection:
            return overrides.every(connection)

    def _keys(self) -> list[RouteKey]:
        with self.store.reading() as connection:
            return route_keys.every(connection)

    def _emit(self, fact: Fact) -> None:
        desk.record(self.store, fact)

    def key(self, name: str) -> str:
        """Make a key in the store; its clear text goes to each router's machine, as `mcml route keys import` brings it."""
        text = KeyDesk(self.store, self.routers[0].folder, ROUTES, actor="ann", now=utc_now()).add(Wanted(name)).text
        KeyDesk(self.store, self.routers[1].folder, ROUTES, actor="ann", now=utc_now()).take_in([text.reveal()])
        return text.reveal()

    def served(self, key: str) -> list[set[str]]:
        """Return for each router which targets answer."""
        return [{rig.infer(x_api_key=key).json.get("served_by", "") for _ in range(30)} for rig in self.routers]


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    with Store(f"sqlite:///{tmp_path}/store.db") as store, ExitStack() as stack:
        yield Replicas(tmp_path, store, stack)


@pytest.mark.slow
def test_what_one_is_told_both_obey_and_what_both_see_is_one_incident(replicas: Replicas) -> None:
    key = replicas.key("web")
    until(lambda: replicas.served(key) == [{"eu-1", "us-1"}] * 2, 20, "the key is not taken by both")
    with replicas.store.writing() as connection:
        overrides.put(connection, drain := Override("drain", "fraud", "eu-1", "ann", utc_now(), {}, "a test", None))
    until(lambda: replicas.served(key) == [{"us-1"}] * 2, 10, "a drain does not hold for both")
    with replicas.store.writing() as connection:
        overrides.remove(connection, drain)
    until(lambda: replicas.served(key) == [{"eu-1", "us-1"}] * 2, 10, "its end does not hold for both")

    replicas.upstreams["us-1"].kill()
    (incident,) = until(lambda: desk.list_incidents(replicas.store), 5, "nobody typed a command, and no incident was opened")
    assert (incident.target, incident.state) == ("us-1", "open")
    downs = until(lambda: _of(replicas, "route.backend_down", 2), 5, "not both routers saw it")
    assert {fact.target for fact in downs} == {"us-1"}
    assert [entry.kind for entry in replicas.store.entries()].count("incident.opened") == 1, "one outage is one incident"
    assert replicas.served(key) == [{"eu-1"}] * 2
    replicas.upstreams["us-1"].start()
    until(lambda: not desk.list_incidents(replicas.store), 20, "the recovery does not resolve it")
    assert desk.get(replicas.store, incident.id).state == "resolved"
    until(lambda: replicas.served(key) == [{"eu-1", "us-1"}] * 2, 20, "it gets no traffic again")


@pytest.mark.slow
def test_one_ends_in_order_and_the_other_serves_on(replicas: Replicas) -> None:
    """A router that is stopped ends what it has begun; the other one needs nothing of it."""
    key = replicas.key("web")
    until(lambda: replicas.served(key) == [{"eu-1", "us-1"}] * 2, 20, "the key is not taken by both")
    first, second = replicas.routers

    def load(rig: Rig, requests: int) -> list[int]:
        request = Request("127.0.0.1", rig.running.port, "/v2/models/fraud/infer", b'{"inputs": []}', {"x-api-key": key})
        return [one.status for one in run_load(request, requests=requests, concurrency=4)]

    for upstream in replicas.upstreams.values():
        upstream.mode(delay=0.2)
    begun: list[int] = []
    client = threading.Thread(target=lambda: begun.extend(load(first, 4)))
    client.start()
    time.sleep(0.1)
    first.stop.set()
    assert set(load(second, 40)) == {200}
    client.join()
    assert begun == [200] * 4
    first.thread.join(20)
    assert not first.thread.is_alive()
    assert set(load(second, 40)) == {200}
    assert second.told_of("route.backend_down") == []


def _of(replicas: Replicas, kind: str, count: int) -> list[Entry] | None:
    found = [entry for entry in replicas.store.entries() if entry.kind == kind]
    return found if len(found) >= count else None
