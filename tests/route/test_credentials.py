"""Keeping the credentials of backends: asked for in time, written for their owner only, kept while a provider is away."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mcml.core.backend import Backend
from mcml.core.clock import utc_now
from mcml.core.credential import Credential, SigningKeys
from mcml.core.errors import Unavailable
from mcml.core.fact import Fact
from mcml.core.secret import Secret
from mcml.route.credentials import Credentials, system_authorities
from tests.route.rig import Told, until

VERTEX = Backend("gcp", "fraud", "example.com", 443, "gcp", "eu", tls=True, auth="bearer")
AWS = replace(VERTEX, target="aws", auth="sigv4", service="sagemaker", signing_region="eu-west-1")
PLAIN = replace(VERTEX, target="k8s", auth="none")


class Provider:
    """Gives what it is told to give, or raises it."""

    def __init__(self) -> None:
        self.gives: dict[str, Credential | Exception] = {}
        self.asked: list[str] = []
        self.slow = threading.Event()
        self.slow.set()

    def __call__(self, backend: Backend) -> Credential:
        self.asked.append(backend.target)
        assert self.slow.wait(20)
        given = self.gives[backend.target]
        if isinstance(given, Exception):
            raise given
        return given


def bearer(text: str, seconds: float | None = None) -> Credential:
    return Credential(Secret(text), None if seconds is None else utc_now() + timedelta(seconds=seconds))


class Kept:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "credentials"
        self.provider, self.told, self.facts = Provider(), Told(), list[Fact]()
        self.anew()

    def anew(self) -> None:
        self.keeper = Credentials(self.folder, self.provider, self.facts.append, self.told, utc_now)

    def settled(self, *backends: Backend) -> set[str]:
        self.keeper.refresh(backends)
        self.keeper.settle(10)
        return set(self.keeper.refresh(backends))

    def token(self) -> str:
        found = json.loads((self.folder / "fraud@gcp" / "bearer.json").read_text())
        return str(found["resources"][0]["generic_secret"]["secret"]["inline_string"])


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """A keeper over nothing yet."""
    made = Kept(tmp_path)
    yield made
    made.keeper.clear()
    assert not made.folder.exists()


def test_each_kind_has_its_file_and_a_plain_backend_none(kept: Kept) -> None:
    kept.provider.gives = {"gcp": bearer("ya29.x"), "aws": Credential(SigningKeys(Secret("AKIA1"), Secret("s/e+c"), Secret("tok==")))}
    assert kept.settled(VERTEX, AWS, PLAIN) == {"fraud@gcp", "fraud@aws"}
    assert kept.token() == "Bearer ya29.x"
    said = (kept.folder / "fraud@aws" / "keys").read_text()
    assert said == "[default]\naws_access_key_id=AKIA1\naws_secret_access_key=s/e+c\naws_session_token=tok==\n"
    assert {oct(path.stat().st_mode & 0o777) for path in kept.folder.rglob("*") if path.is_file()} == {"0o600"}
    assert kept.facts == []


def test_it_is_asked_again_before_the_end_and_only_then(kept: Kept) -> None:
    keys = SigningKeys(Secret("A"), Secret("B"))
    kept.provider.gives = {"gcp": bearer("one", 3), "aws": Credential(keys, utc_now() + timedelta(hours=1))}
    kept.settled(VERTEX, AWS)
    kept.provider.gives["gcp"] = bearer("two", 3600)
    until(lambda: kept.settled(VERTEX, AWS) and kept.token() == "Bearer two", 10, "the new one is not taken")
    assert kept.provider.asked.count("aws") == 1
    assert [fact.kind for fact in kept.facts] == ["route.credential_renewed"]
    assert kept.facts[0].target == "gcp"
    assert "two" not in repr(kept.facts)


def test_a_provider_that_is_away_is_said_once_and_the_last_one_stays(kept: Kept) -> None:
    kept.provider.gives["gcp"] = bearer("one", 1)
    kept.settled(VERTEX)
    kept.provider.gives["gcp"] = Unavailable("cannot log in", why="the network is down")
    until(lambda: kept.settled(VERTEX) and len(kept.provider.asked) >= 3, 15, "it is not asked again")
    held = kept.keeper.refresh([VERTEX])["fraud@gcp"]
    assert (kept.token(), held.failing) == ("Bearer one", "cannot log in: the network is down")
    assert [fact.kind for fact in kept.facts] == ["route.credential_failed"]
    assert kept.facts[0].facts["reason"] == "cannot log in: the network is down"
    assert len(kept.told.lines) == 1
    kept.provider.gives["gcp"] = bearer("one", 3600)
    until(lambda: kept.settled(VERTEX) and len(kept.facts) == 2, 15, "recovery is not said")
    assert kept.facts[1].kind == "route.credential_renewed"
    assert kept.keeper.refresh([VERTEX])["fraud@gcp"].failing == ""


@pytest.mark.parametrize("wrong", [bearer("two words"), bearer("a\nb"), bearer(""), Credential(SigningKeys(Secret("A"), Secret("B")))])
def test_what_is_no_credential_is_not_written(kept: Kept, wrong: Credential) -> None:
    kept.provider.gives["gcp"] = wrong
    assert kept.settled(VERTEX) == set()
    assert not kept.folder.exists() or not list(kept.folder.rglob("*.json"))
    assert "two words" not in repr(kept.told.lines) + repr(kept.facts)


def test_a_slow_provider_holds_up_no_other(kept: Kept) -> None:
    kept.provider.gives = {"gcp": bearer("one")}
    kept.provider.slow.clear()
    began = time.monotonic()
    kept.keeper.refresh([VERTEX, AWS])
    kept.keeper.refresh([VERTEX, AWS])
    assert time.monotonic() - began < 15  # it hangs for 20
    assert sorted(kept.provider.asked) == ["aws", "gcp"]
    kept.provider.slow.set()
    until(lambda: "fraud@gcp" in kept.keeper.refresh([VERTEX]), 10, "it is never there")


def test_a_router_that_takes_over_goes_on_with_what_is_there(kept: Kept) -> None:
    kept.provider.gives["gcp"] = bearer("one")
    kept.settled(VERTEX)
    kept.provider.gives["gcp"] = Unavailable("away")
    kept.anew()
    assert kept.settled(VERTEX) == {"fraud@gcp"}
    assert kept.token() == "Bearer one"


def test_a_file_that_somebody_removed_is_written_again(kept: Kept) -> None:
    kept.provider.gives["gcp"] = bearer("one")
    kept.settled(VERTEX)
    (kept.folder / "fraud@gcp" / "bearer.json").unlink()
    kept.keeper.refresh([VERTEX])
    assert kept.token() == "Bearer one"


def test_a_backend_that_is_gone_leaves_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcml.route.credentials.FORGET_SECONDS", 0.0)
    kept.provider.gives["gcp"] = bearer("one")
    kept.settled(VERTEX)
    time.sleep(0.01)
    assert kept.keeper.refresh([]) == {}
    assert not (kept.folder / "fraud@gcp").exists()


def test_the_authorities_of_the_system_are_a_file() -> None:
    assert "BEGIN CERTIFICATE" in Path(system_authorities()).read_text()
