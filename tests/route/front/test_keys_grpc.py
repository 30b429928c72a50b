"""API keys over gRPC: the model that the message names decides, not the route that a call was first taken for."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.core.schema_routes import Route, Router
from mcml.route.front.keys import KeyDesk, Wanted
from mcml.store import route_keys
from mcml.store.db import Store
from mcml.store.route_keys import RouteKey
from tests.route.grpc_rig import Client, GrpcUpstream
from tests.route.rig import Rig, until

ROUTES = {"fraud": Route(protocol="both"), "spam": Route(protocol="both")}


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[tuple[Rig, dict[str, str]]]:
    """A router that asks for keys, with one key for everything and one for fraud alone."""
    with Store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        desk = KeyDesk(store, tmp_path / "route", ROUTES, actor="tester", now=utc_now())
        texts = {name: desk.add(Wanted(name, routes)).text.reveal() for name, routes in (("all", ()), ("scoped", ("fraud",)))}

        def read() -> list[RouteKey]:
            with store.reading() as connection:
                return route_keys.every(connection)

        upstreams = [GrpcUpstream("eu-1"), GrpcUpstream("eu-2", model="spam")]
        rig = Rig(tmp_path / "route", upstreams, routes=ROUTES, router=Router(port=0, keys=True))
        rig.setup = replace(rig.setup, keys=read)
        with rig:
            yield rig, texts


@pytest.mark.slow
def test_a_scope_holds_over_grpc(keyed: tuple[Rig, dict[str, str]]) -> None:
    rig, texts = keyed
    with Client(rig.running.port) as client:

        def code(model: str, key: str = "", **hints: str) -> str:
            metadata = [(name.replace("_", "-"), hint) for name, hint in hints.items()] + ([("x-api-key", key)] if key else [])
            return client.infer(model, metadata=metadata).code

        for model in ROUTES:
            until(lambda model=model: code(model, texts["all"]) == "OK", 20, f"no call to {model} is answered")  # type: ignore[misc]
        assert code("fraud") == "UNAUTHENTICATED"
        assert code("fraud", "mcml_guess") == "UNAUTHENTICATED"
        assert code("fraud", texts["scoped"]) == "OK"
        assert code("spam", texts["scoped"]) == "PERMISSION_DENIED"
        assert code("spam", texts["scoped"], x_mcml_route="spam") == "PERMISSION_DENIED"
        # the metadata decides: the call goes to fraud's backends, whatever its message says
        answer = client.infer("spam", metadata=[("x-api-key", texts["scoped"]), ("x-mcml-route", "fraud")])
        assert answer.code != "OK" or answer.message.id.split("@")[0] == "fraud"
