"""No credential that was used appears in a message, a repr, a traceback or a log, at the most talkative level."""

import logging
import traceback
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from mcml.core.errors import McmlError
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.azure.buckets import AzureBuckets
from mcml.providers.azure.identity import AzureIdentity
from mcml.providers.azure.object_store import AzureObjectStore
from mcml.providers.azure.session import Session
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Fault, FaultProxy, Reset
from tests.providers.azure.azurite_server import ACCOUNT, WELL_KNOWN_KEY, Server
from tests.providers.azure.conftest import SUBSCRIPTION, GivenToken, MakeSession, Waits


def every_call(session: Session, bucket: str) -> list[str]:
    """Make every kind of call, good and bad; return what a person or a log could see of each, and the signatures that were made."""
    store, buckets, identity = AzureObjectStore(session), AzureBuckets(session), AzureIdentity(session)
    signed: list[str] = []
    calls: list[Callable[[], object]] = [
        identity.whoami, identity.check, lambda: buckets.create(bucket), lambda: buckets.configure(bucket, BucketConfig()),
        lambda: store.write(bucket, "k", [b"1"]), lambda: store.write(bucket, "k", [b"1"], if_match=""),
        lambda: store.write(bucket, "large", [bytes(9 << 20)]), lambda: b"".join(store.read(bucket, "k")),
        lambda: b"".join(store.read(bucket, "absent")), lambda: list(store.list(bucket)), lambda: list(store.list("no-such-bucket")),
        lambda: store.stat(bucket, "k", version="2026-01-01T00:00:00.0000000Z"), lambda: buckets.versions(bucket, "k"),
        lambda: signed.append(store.sign(bucket, "k", "GET", timedelta(minutes=1))), lambda: store.delete(bucket, "k"),
        lambda: buckets.delete(bucket), lambda: buckets.empty(bucket), lambda: buckets.delete(bucket),
    ]  # fmt: skip
    seen = [repr(thing) for thing in (session, store, buckets, identity, session.settings, vars(session))]
    for call in calls:
        try:
            seen.append(repr(call()))
        except McmlError as failed:
            seen += [repr(failed), failed.message, failed.why, failed.next_step, "".join(traceback.format_exception(failed))]
    seen += [f"made {dict(parse_qsl(urlsplit(url).query))['sig']}" for url in signed]
    return seen


def check(seen: list[str], logged: str, *secrets: str) -> None:
    assert len(seen) > 20
    made = [text.removeprefix("made ") for text in seen if text.startswith("made ")]
    text = "\n".join(line for line in seen if not line.startswith("made ")) + logged
    for secret in (*secrets, *made):
        assert secret not in text
        assert quote(secret, safe="") not in text


def test_the_account_key_is_not_shown(
    azurite: Server, make_session: MakeSession, new_bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName={ACCOUNT};AccountKey={WELL_KNOWN_KEY}")
    with FaultProxy(azurite.origin) as proxy:
        session = make_session(f"{proxy.url}/{{account}}", policy=Waits().policy(attempts=2))
        seen = every_call(session, new_bucket)
        faults: list[Fault] = [Reset(), Answer(403, {"x-ms-error-code": "AuthenticationFailed"}), Answer(500), Answer(400)]
        proxy.script(*faults * 3)
        seen += every_call(session, f"{new_bucket}-2")
    assert "devstoreaccount1" in caplog.text
    check(seen, caplog.text, WELL_KNOWN_KEY)


def test_a_wrong_key_is_not_shown(
    azurite: Server, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = WELL_KNOWN_KEY.replace("Eby8", "Abc8")
    monkeypatch.setenv("AZURE_STORAGE_KEY", wrong)
    check(every_call(make_session(azurite.endpoint), "models"), caplog.text, wrong)


def test_a_token_is_not_shown(
    azurite_tls: Server, make_session: MakeSession, arm: ArmStub, new_bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = GivenToken()
    arm.fail(*[ArmError(403, "AuthorizationFailed", "no")] * 9)
    seen = every_call(make_session(azurite_tls.endpoint, credential=given, subscription=SUBSCRIPTION, management=arm.url), new_bucket)
    assert given.asked
    assert arm.requests
    check(seen, caplog.text, given.text, given.text.rpartition(".")[2])
