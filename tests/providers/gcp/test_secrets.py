"""No credential that was used is in a message, a traceback, a repr or a log, whatever goes wrong."""

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import timedelta

import pytest

from mcml.core.errors import McmlError
from mcml.providers.gcp.identity import GcpIdentity
from mcml.providers.gcp.object_store import GcsObjectStore
from mcml.providers.gcp.session import Session
from mcml.testing.contracts.object_store import MIB
from mcml.testing.stubs.faults import Answer, Fault, FaultProxy, HalfBody, Pass, Reset
from tests.providers.gcp.conftest import CLIENT_SECRET, Login, MakeSession
from tests.providers.gcp.google_stub import REFRESH_TOKEN, GoogleStub

FAULTS: list[Fault] = [Reset(), HalfBody(), Answer(401), Answer(403)]


def blocks() -> Iterator[bytes]:
    yield from [b"x" * MIB] * 9


def attempts(session: Session, traces: bool) -> Iterator[object]:
    """Do everything that handles a secret; yield what is left of it, with `traces` the tracebacks too."""
    store, identity = GcsObjectStore(session), GcpIdentity(session)
    for do in (
        identity.whoami,
        identity.check,
        lambda: store.write("box", "k", [b"small"]),
        lambda: store.write("box", "k", blocks()),
        lambda: b"".join(store.read("box", "k"))[:1],
        lambda: store.sign("box", "k", "GET", timedelta(minutes=1)).partition("?")[0],
    ):
        try:
            yield do()
        except McmlError as failed:
            yield "".join(traceback.format_exception(failed)) if traces else ""
            yield (failed, failed.message, failed.why, failed.next_step)
    yield (session, session.clue, session.found, store, identity, session.http, session.plain_http, vars(session))


def echo(fault: Fault, token: str) -> Fault:
    """A server that repeats the token it got."""
    if isinstance(fault, Answer):
        return Answer(fault.status, body=json.dumps({"error": {"message": f"bad token {token}"}}).encode())
    return fault


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("echoes", [False, True])
def test_no_secret_is_told(
    google: GoogleStub,
    proxy: FaultProxy,
    make_session: MakeSession,
    login: Login,
    private_key: str,
    caplog: pytest.LogCaptureFixture,
    user: bool,
    echoes: bool,
) -> None:
    """A server that repeats the token in its error gets it into no message of ours; a traceback shows what the server said."""
    caplog.set_level(logging.DEBUG)
    google.storage.create_bucket("stub-project", {"name": "box"})
    told: list[str] = []
    faults = [fault for fault in FAULTS if isinstance(fault, Answer)] if echoes else FAULTS
    for fault in faults:
        session = make_session(endpoint=proxy.url, attempts=2, project="stub-project")
        login(user=user)
        session.call("log in", lambda session=session: session.http.get(f"{google.url}/storage/v1/b/box"))  # type: ignore[misc]
        bad = echo(fault, google.given[-1]) if echoes else fault
        for script in ([bad] * 2, [Pass()] * 2 + [bad] * 4, []):
            proxy.script(*script)
            told += [repr(one) + str(one) for one in attempts(session, not echoes)]
    text = "\n".join([*told, caplog.text])
    key_lines = [line for line in private_key.splitlines() if "PRIVATE KEY" not in line]
    secrets = [*google.given, REFRESH_TOKEN, CLIENT_SECRET, *key_lines]
    assert len(google.given) >= len(faults)
    assert ("bad token [hidden]" in text) == echoes
    assert [secret for secret in secrets if secret in text] == []


def test_the_key_to_an_upload_is_in_no_traceback(google: GoogleStub, proxy: FaultProxy, make_session: MakeSession) -> None:
    google.storage.create_bucket("stub-project", {"name": "box"})
    store = GcsObjectStore(make_session(endpoint=proxy.url, attempts=1))
    proxy.script(Reset(), only=lambda request: request.method == "PUT")
    with pytest.raises(McmlError) as broken:
        store.write("box", "k", blocks())
    (upload_id,) = [request.path.partition("upload_id=")[2] for request in proxy.requests if request.method == "PUT"]
    assert len(upload_id) == 32
    assert upload_id not in "".join(traceback.format_exception(broken.value))
