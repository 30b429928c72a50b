"""Signed URLs: used with plain HTTP against our stub, which checks the signature with the account's public key, and fake-gcs-server."""

import uuid
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from mcml.core.errors import InvalidRequest, ProviderCannot, Unavailable
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.buckets import open_buckets
from mcml.providers.gcp.object_store import GcsObjectStore, open_object_store
from mcml.providers.gcp.settings import Settings
from tests.providers.gcp.conftest import PROJECT, Login, MakeContext, MakeSession
from tests.providers.gcp.google_stub import ACTING, GoogleStub

KEY = "a b/ü+%2F?#&.bin"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def bucket(make_context: MakeContext) -> str:
    open_buckets(make_context()).create("signed")
    return "signed"


def test_a_url_reads_and_writes_without_credentials(make_context: MakeContext, bucket: str) -> None:
    store = open_object_store(make_context())
    put = requests.put(store.sign(bucket, KEY, "PUT", MINUTE), data=b"hello", timeout=5)
    assert put.status_code == 200
    assert b"".join(store.read(bucket, KEY)) == b"hello"
    assert requests.get(store.sign(bucket, KEY, "GET", MINUTE), timeout=5).content == b"hello"


def test_a_url_is_for_one_method_and_one_key_and_not_for_ever(make_context: MakeContext, bucket: str, google: GoogleStub) -> None:
    store = open_object_store(make_context())
    store.write(bucket, "k", [b"1"])
    store.write(bucket, "other", [b"2"])
    url = store.sign(bucket, "k", "GET", MINUTE)
    assert requests.get(url, timeout=5).status_code == 200
    assert requests.put(url, data=b"x", timeout=5).status_code == 403
    assert requests.get(url.replace("/signed/k?", "/signed/other?"), timeout=5).status_code == 403
    google.ahead = timedelta(minutes=2)
    assert requests.get(url, timeout=5).status_code == 400


def test_a_url_for_fake_gcs(
    fake_gcs_url: str, make_context: MakeContext, fake_gcs: ProviderContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server in another process takes the URL (it does not look at the signature)."""
    name = f"signed-{uuid.uuid4().hex}"
    open_buckets(fake_gcs).create(name)
    open_object_store(fake_gcs).write(name, KEY, [b"hello"])
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    signer = open_object_store(make_context(endpoint=fake_gcs_url))
    assert requests.get(signer.sign(name, KEY, "GET", MINUTE), timeout=5).content == b"hello"


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_a_time_that_cannot_be(make_context: MakeContext, bucket: str, ttl: timedelta) -> None:
    with pytest.raises(InvalidRequest):
        open_object_store(make_context()).sign(bucket, "k", "GET", ttl)


def test_a_person_cannot_sign(make_context: MakeContext, login: Login) -> None:
    context = make_context(project=PROJECT)
    login(user=True)
    with pytest.raises(ProviderCannot) as cannot:
        open_object_store(context).sign("signed", "k", "GET", MINUTE)
    assert cannot.value.why == "these credentials cannot sign (user login): a service account can"
    assert cannot.value.next_step.startswith("set impersonate_service_account = ")


def test_nobody_cannot_sign(fake_gcs: ProviderContext) -> None:
    with pytest.raises(ProviderCannot):
        open_object_store(fake_gcs).sign("signed", "k", "GET", MINUTE)


def test_an_impersonated_account_signs_at_google(make_session: MakeSession) -> None:
    """That service has no other address than Google's, and from here there is no way to it: our words, not the SDK's."""
    session = make_session(impersonate_service_account=ACTING, attempts=1)
    with pytest.raises(Unavailable) as away:
        GcsObjectStore(session).sign("signed", "k", "GET", MINUTE)
    assert away.value.message == "cannot sign a GET URL for gs://signed/k"


def test_settings_are_all_that_is_needed(tmp_path: Path) -> None:
    assert isinstance(open_object_store(ProviderContext(Settings(), tmp_path)), GcsObjectStore)
