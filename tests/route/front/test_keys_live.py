"""API keys and rates on a real Envoy: who is let in, what a backend sees, and that a change costs nobody a request."""

import http.client
import json
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import NotAuthenticated, Unavailable
from mcml.core.schema_routes import Limit, Route, Router
from mcml.route.config.values import Rate
from mcml.route.drill.plan import Drill
from mcml.route.drill.request import load_for
from mcml.route.front.keys import KeyDesk, Wanted, remembered
from mcml.store import route_keys
from mcml.store.db import Store
from mcml.store.route_keys import RouteKey
from tests.route.rig import TARGETS, Answer, Rig, Upstream, ask, until

ROUTES = {"fraud": Route(), "public": Route(model="fraud"), "slow": Route(model="fraud", limit=Limit(requests=3, per=60.0))}


class Keyed:
    """A running router that asks for keys, and the desk that makes them."""

    def __init__(self, rig: Rig, store: Store) -> None:
        self.rig = rig
        self.store = store

    def desk(self) -> KeyDesk:
        return KeyDesk(self.store, self.rig.folder, ROUTES, actor="tester", now=utc_now())

    def add(self, name: str, *routes: str, rate: Rate | None = None) -> str:
        text = self.desk().add(Wanted(name, routes, rate)).text.reveal()
        self.wait(lambda: self.infer(text, routes[0] if routes else "public").status == 200)
        return text

    def infer(self, key: str, route: str = "fraud") -> Answer:
        return self.rig.infer(route, x_api_key=key)

    def wait(self, look: Callable[[], bool]) -> None:
        until(look, 15, "a change of the keys is not in force")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keyed")
    with Store(f"sqlite:///{folder / 'store.db'}") as store:

        def read() -> list[RouteKey]:
            with store.reading() as connection:
                return route_keys.every(connection)

        rig = Rig(folder / "route", [Upstream(target) for target in TARGETS], routes=ROUTES, router=Router(port=0, keys=True))
        rig.setup = replace(rig.setup, keys=read)
        with rig:
            yield Keyed(rig, store)


def test_without_a_key_the_answer_says_how(keyed: Keyed) -> None:
    for answer in (keyed.rig.infer(), keyed.infer("mcml_guess"), ask(keyed.rig.running.port, "/v2"), keyed.rig.infer("unknown")):
        assert answer.status == 401
        assert "x-api-key or authorization: Bearer" in answer.json["error"]
        assert "mcml route keys add NAME" in answer.json["error"]
        assert answer.json["request_id"] == answer.headers["x-request-id"]
        assert answer.headers["www-authenticate"] == 'Bearer realm="mcml"'


def test_a_websocket_needs_a_key_too(keyed: Keyed) -> None:
    text = keyed.add("socket", "public")
    port, asked = keyed.rig.running.port, {"connection": "upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}
    paths = {"/v2/models/public/stream": 200, "/v2/models/fraud/stream": 403}  # 200: this backend knows no websockets and answers a GET
    assert {path: ask(port, path, None, "GET", x_api_key=text, **asked).status for path in paths} == paths
    assert {ask(port, f"{path}?x-api-key={text}", None, "GET", **asked).status for path in paths} == {401}


def test_a_drill_without_a_key_is_told_how_to_get_one(keyed: Keyed) -> None:
    only_public = keyed.add("elsewhere", "public")
    for headers in ({}, {"x-api-key": only_public}):
        with pytest.raises(NotAuthenticated, match="is not let in to fraud") as refused:
            load_for(Drill("fraud", "", 1, 1, headers=headers), keyed.rig.running)
        assert refused.value.next_step == "mcml route keys add drill --model fraud, then: export MCML_ROUTE_KEY=TEXT"
    load_for(Drill("public", "", 1, 1, headers={"x-api-key": only_public}), keyed.rig.running)


def test_a_load_balancer_needs_no_key(keyed: Keyed) -> None:
    assert ask(keyed.rig.running.port, "/v2/health/live").status == 200
    keyed.wait(lambda: ask(keyed.rig.running.port, "/v2/health/ready").status == 200)


def test_a_key_opens_in_either_header_and_never_reaches_a_backend(keyed: Keyed) -> None:
    text = keyed.add("both")
    for answer in (
        keyed.rig.infer(x_api_key=text),
        keyed.rig.infer(authorization=f"Bearer {text}"),
        keyed.rig.infer(x_api_key=text, authorization=f"Bearer {text}"),
        keyed.rig.infer(x_api_key=text, authorization="Bearer of-somebody-else", x_mcml_client="root"),
    ):
        assert answer.status == 200
        head = answer.json["head"].lower()
        assert text.lower() not in head
        assert "authorization" not in head
        assert "x-api-key" not in head
        assert "x-mcml-client" not in head


def test_a_key_never_reaches_a_backend_on_a_retry_either(keyed: Keyed) -> None:
    text = keyed.add("retries")
    for target in ("eu-1", "eu-2"):
        keyed.rig.upstreams[target].mode(status=503)
    try:
        answers = [keyed.infer(text) for _ in range(30)]
    finally:
        for target in ("eu-1", "eu-2"):
            keyed.rig.upstreams[target].mode(status=200)
    again = [answer for answer in answers if answer.headers["x-mcml-attempts"] != "1"]
    assert {answer.status for answer in answers} == {200}
    assert again, "no request was tried again"
    assert not [answer for answer in again if text in answer.json["head"]]


def test_a_key_for_one_model_is_refused_on_another(keyed: Keyed) -> None:
    text = keyed.add("scoped", "public")
    refused = keyed.infer(text, "fraud")
    assert refused.status == 403
    assert refused.json["error"].startswith("this API key is not for this model")
    assert refused.json["request_id"]
    assert keyed.infer(text, "public").status == 200


def test_a_client_does_not_choose_its_own_name(keyed: Keyed) -> None:
    text = keyed.add("modest", "public")
    keyed.add("boss")
    assert keyed.rig.infer("fraud", x_api_key=text, x_mcml_client="boss").status == 403
    assert keyed.rig.infer("fraud", x_mcml_client="boss").status == 401


def test_a_revoked_key_is_refused_on_connections_that_are_open(keyed: Keyed) -> None:
    text = keyed.add("leaver")
    connection = http.client.HTTPConnection("127.0.0.1", keyed.rig.running.port)

    def status() -> int:
        connection.request("POST", "/v2/models/fraud/infer", b"{}", {"x-api-key": text})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    assert status() == 200
    opened = connection.sock
    keyed.desk().revoke("leaver")
    end = time.monotonic() + 15
    while status() == 200:
        assert connection.sock is opened
        assert time.monotonic() < end
        time.sleep(0.02)
    connection.close()


def test_a_rotation_lets_both_in_for_a_while_and_then_one(keyed: Keyed) -> None:
    old = keyed.add("turning")
    new = keyed.desk().rotate("turning", timedelta(seconds=10)).text.reveal()
    keyed.wait(lambda: keyed.infer(new).status == 200)
    assert keyed.infer(old).status == 200
    keyed.wait(lambda: keyed.infer(old).status == 401)
    assert keyed.infer(new).status == 200


def test_a_key_that_ends_is_refused_by_itself(keyed: Keyed) -> None:
    other = keyed.add("lasting")
    began = time.monotonic()
    text = keyed.desk().add(Wanted("short", expires=utc_now() + timedelta(seconds=8))).text.reveal()
    keyed.wait(lambda: keyed.infer(text).status == 200)
    keyed.wait(lambda: keyed.infer(text).status == 401)
    assert time.monotonic() - began > 7.9  # not before its end, and nobody took it back
    assert "API key" in keyed.infer(text).json["error"]
    assert keyed.infer(other).status == 200


def test_a_key_of_another_machine_is_refused_until_its_text_is_here(keyed: Keyed, tmp_path: Path) -> None:
    elsewhere = KeyDesk(keyed.store, tmp_path, ROUTES, actor="other@host", now=utc_now())
    text = elsewhere.add(Wanted("far")).text.reveal()
    until(lambda: [line for line in keyed.rig.told.lines if "API key far" in line and "other@host" in line], 15, "it is not said")
    assert keyed.infer(text).status == 401
    keyed.desk().take_in([text + "\n"])
    keyed.wait(lambda: keyed.infer(text).status == 200)


def test_clear_text_is_in_files_of_the_owner_only(keyed: Keyed) -> None:
    text = keyed.add("hidden")
    holding = [path for path in keyed.rig.folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    assert {path.parent.name for path in holding} == {"route", "xds"}
    assert {path.name for path in holding} == {"keys.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}
    database = b"".join(path.read_bytes() for path in keyed.rig.folder.parent.glob("store.db*"))
    assert text.encode() not in database
    assert text not in "\n".join(keyed.rig.told.lines)


def test_a_rate_of_a_key_counts_over_all_routes(keyed: Keyed) -> None:
    text = keyed.desk().add(Wanted("brisk", rate=Rate(4, 60.0))).text.reveal()
    keyed.wait(lambda: "x-ratelimit-limit" in keyed.infer(text).headers)
    answers = [keyed.infer(text, route) for route in ("fraud", "public") * 3]
    assert {200, 429} == {answer.status for answer in answers}
    refused = answers[-1]
    assert refused.json["error"].startswith("too many requests")
    assert refused.headers["x-ratelimit-limit"] == "4"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert int(refused.headers["x-ratelimit-reset"]) >= 0
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_the_limit_of_a_route_counts_each_client_alone(keyed: Keyed) -> None:
    one, other = keyed.add("one"), keyed.add("other")
    assert [keyed.infer(one, "slow").status for _ in range(5)] == [200, 200, 200, 429, 429]
    passed = [keyed.infer(other, "slow") for _ in range(3)]
    assert [answer.status for answer in passed] == [200, 200, 200]
    assert [answer.headers["x-ratelimit-remaining"] for answer in passed] == ["2", "1", "0"]
    assert "retry-after" not in passed[0].headers
    assert keyed.infer(one).status == 200  # the limit is of the route, not of the key
    assert "x-ratelimit-limit" not in keyed.infer(one).headers


def test_a_flood_of_one_client_costs_the_others_nothing(keyed: Keyed) -> None:
    flooder, quiet = keyed.desk().add(Wanted("flooder", rate=Rate(10, 1.0))).text.reveal(), keyed.add("quiet")
    keyed.wait(lambda: "x-ratelimit-limit" in keyed.infer(flooder).headers)
    stop = threading.Event()
    seen: list[list[int]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=_pester, args=(keyed, flooder, stop, statuses)) for statuses in seen]
    for thread in threads:
        thread.start()
    answers = [keyed.infer(quiet).status for _ in range(200)]
    stop.set()
    for thread in threads:
        thread.join()
    flood = [status for statuses in seen for status in statuses]
    assert set(answers) == {200}
    assert set(flood) == {200, 429}
    assert flood.count(429) > flood.count(200)


def _pester(keyed: Keyed, key: str, stop: threading.Event, statuses: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", keyed.rig.running.port)
    while not stop.is_set():
        connection.request("POST", "/v2/models/fraud/infer", b"{}", {"x-api-key": key})
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()


def test_changes_of_keys_under_load_lose_no_request(keyed: Keyed) -> None:
    text = keyed.add("steady")
    stop = threading.Event()
    seen: list[list[int]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=_pester, args=(keyed, text, stop, statuses)) for statuses in seen]
    for thread in threads:
        thread.start()
    for number in range(6):
        keyed.add(f"passing-{number}", rate=Rate(1000, 1.0))
        keyed.desk().revoke(f"passing-{number}")
    stop.set()
    for thread in threads:
        thread.join()
    statuses = [status for one in seen for status in one]
    assert set(statuses) == {200}
    assert len(statuses) > 100


def test_the_access_log_names_the_key_and_holds_no_secret(keyed: Keyed) -> None:
    text = keyed.add("logged")
    keyed.rig.infer(f"fraud/infer?token={text}&x=", x_api_key=text)
    keyed.rig.infer(x_api_key=text, x_request_id="key-in-log")

    def line() -> dict[str, object] | None:
        lines = map(json.loads, (keyed.rig.folder / "access.log").read_text().splitlines())
        return next((entry for entry in lines if entry["request_id"] == "key-in-log"), None)

    entry = until(line, 15, "the request is not in the access log")
    assert (entry["key"], entry["route"], entry["status"]) == ("logged", "fraud", 200)
    assert text not in (keyed.rig.folder / "access.log").read_text()


def test_the_metrics_count_each_key(keyed: Keyed) -> None:
    text = keyed.add("counted", "fraud")
    for _ in range(3):
        assert keyed.infer(text).status == 200
    assert keyed.infer(text, "public").status == 403
    until(lambda: _counted(keyed, "counted", "fraud", "2xx") >= 4, 10, "the requests were not counted")
    assert _counted(keyed, "counted", "public", "4xx") == 0, "who is not let in is nobody"
    assert text not in ask(keyed.rig.running.control_port, "/metrics").body.decode()


def _counted(keyed: Keyed, key: str, route: str, code: str) -> float:
    lines = ask(keyed.rig.running.control_port, "/metrics").body.decode().splitlines()
    name = f'mcml_route_key_requests_total{{key="{key}",route="{route}",code="{code}"}} '
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)


def test_a_router_starts_with_the_keys_it_knew_while_the_store_is_away(keyed: Keyed, tmp_path: Path) -> None:
    text = keyed.add("patient")
    until(lambda: any(key.name == "patient" for key in remembered(keyed.rig.folder)), 15, "the keys are not remembered")
    folder = tmp_path / "route"
    folder.mkdir()
    for name in ("keys.json", "keys-known.json"):
        shutil.copy(keyed.rig.folder / name, folder / name)
    rig = Rig(folder, [Upstream("eu-1")], router=Router(port=0, keys=True))

    def away() -> list[RouteKey]:
        raise Unavailable("the store is down")

    rig.setup = replace(rig.setup, keys=away)
    with rig:
        assert rig.infer(x_api_key=text).status == 200
        assert rig.infer().status == 401
        assert [line for line in rig.told.lines if "that were known last" in line]
