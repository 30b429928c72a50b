"""Identity on Google Cloud: the contract, every way to log in, and each check when it fails."""

from datetime import timedelta
from typing import Any

import pytest

from mcml.core.errors import NotAuthenticated, Unavailable
from mcml.providers.api.identity import Check, Identity
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp import credentials
from mcml.providers.gcp.error_table import LOGIN, SET_CLOCK
from mcml.providers.gcp.identity import GcpIdentity, open_identity
from mcml.testing.contracts.identity import IdentityContract
from mcml.testing.stubs.faults import Answer, FaultProxy
from tests.providers.gcp.conftest import PROJECT, Login, MakeContext, MakeSession
from tests.providers.gcp.google_stub import ACCOUNT, ACTING, PERSON, GoogleStub


class TestWithAServiceAccountKey(IdentityContract):
    @pytest.fixture
    def identity(self, make_context: MakeContext) -> Identity:
        return open_identity(make_context())


class TestAsAPerson(IdentityContract):
    @pytest.fixture
    def identity(self, make_context: MakeContext, login: Login) -> Identity:
        login(user=True)
        return open_identity(make_context(project=PROJECT))


class TestOnAnEmulator(IdentityContract):
    @pytest.fixture
    def identity(self, fake_gcs: ProviderContext) -> Identity:
        return open_identity(fake_gcs)


def by_name(identity: Identity) -> dict[str, Check]:
    return {check.name: check for check in identity.check()}


def test_a_service_account(make_context: MakeContext) -> None:
    who = open_identity(make_context()).whoami()
    assert (who.account, who.principal, who.method) == (PROJECT, ACCOUNT, "service account key")
    assert all(check.ok for check in open_identity(make_context()).check())


def test_the_project_of_the_settings_comes_first(make_context: MakeContext) -> None:
    assert open_identity(make_context(project="other-project")).whoami().account == "other-project"


def test_a_person_is_asked_for_at_google(make_context: MakeContext, login: Login) -> None:
    login(user=True)
    who = open_identity(make_context(project=PROJECT)).whoami()
    assert (who.account, who.principal, who.method) == (PROJECT, PERSON, "user login")


def test_a_person_whose_name_google_does_not_tell(make_context: MakeContext, login: Login, google: GoogleStub) -> None:
    google.known_users = False
    login(user=True)
    assert open_identity(make_context(project=PROJECT)).whoami().principal == credentials.UNKNOWN_USER


def test_an_account_to_act_as(make_context: MakeContext, google: GoogleStub) -> None:
    who = open_identity(make_context(impersonate_service_account=ACTING)).whoami()
    assert (who.principal, who.method) == (ACTING, "impersonation, from service account key")
    assert list(google.tokens.values()) == [ACCOUNT, ACTING]


def test_nothing_happens_before_it_is_asked(make_context: MakeContext, google: GoogleStub) -> None:
    open_identity(make_context())
    assert google.given == []


def test_nobody(make_context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_context()
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    found = by_name(open_identity(context))
    assert (found["credentials"].ok, found["credentials"].fix) == (False, LOGIN)
    assert "storage" not in found


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"type": "service_account"}', '{"type": "authorized_user"}', '{"type": "unheard_of"}']
)
def test_a_broken_credentials_file(make_context: MakeContext, login: Login, content: str) -> None:
    context = make_context()
    path = login()
    path.write_text(content)
    with pytest.raises(NotAuthenticated) as broken:
        open_identity(context).whoami()
    assert broken.value.next_step == LOGIN
    assert broken.value.why


def test_a_credentials_file_that_is_not_there(make_context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_context()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file.json")
    with pytest.raises(NotAuthenticated) as missing:
        open_identity(context).whoami()
    assert missing.value.why == "File /no/such/file.json was not found."


def test_no_project(make_context: MakeContext, login: Login) -> None:
    login(user=True)
    with pytest.raises(NotAuthenticated) as none:
        open_identity(make_context()).whoami()
    assert none.value.next_step == "gcloud config set project PROJECT"


def test_a_project_without_cloud_storage(make_session: MakeSession, proxy: FaultProxy) -> None:
    identity = GcpIdentity(make_session(endpoint=proxy.url))
    disabled = b'{"error": {"message": "Cloud Storage JSON API has not been used", "errors": [{"reason": "accessNotConfigured"}]}}'
    proxy.script(Answer(403, body=disabled))
    failed = by_name(identity)["storage"]
    assert (failed.ok, failed.fix) == (False, "gcloud services enable storage.googleapis.com")
    assert failed.detail == f"cannot list the buckets of project '{PROJECT}': Google answered 403: Cloud Storage JSON API has not been used"


def test_a_clock_that_is_off_is_found_before_it_hurts(make_context: MakeContext, google: GoogleStub) -> None:
    google.ahead = timedelta(minutes=4)
    assert by_name(open_identity(make_context()))["clock"].ok
    google.ahead = timedelta(minutes=30)
    found = by_name(open_identity(make_context()))
    assert not found["credentials"].ok
    assert (found["clock"].ok, found["clock"].fix) == (False, SET_CLOCK)
    assert found["clock"].detail == "this machine's clock is 30 minutes behind Google's"


def test_google_away(make_session: MakeSession, login: Any) -> None:
    session = make_session(attempts=2)
    login(token_url="http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        GcpIdentity(session).whoami()
    assert not by_name(GcpIdentity(session))["credentials"].ok
