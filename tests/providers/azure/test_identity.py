"""Identity on Azure: from a token's claims, from the account's key, and through azure-identity's own chain to real HTTP servers."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mcml.core.errors import NotAuthenticated, Usage
from mcml.providers.api.identity import Identity
from mcml.providers.azure.credentials import claims_of
from mcml.providers.azure.identity import AzureIdentity
from mcml.providers.azure.object_store import AzureObjectStore
from mcml.providers.azure.session import Session
from mcml.testing.contracts.identity import IdentityContract
from mcml.testing.stubs.azure_arm import ArmStub
from mcml.testing.stubs.faults import Answer, FaultProxy
from tests import secrets_found
from tests.providers.azure.azurite_server import ACCOUNT, WELL_KNOWN_KEY, Server
from tests.providers.azure.conftest import PRINCIPAL, SUBSCRIPTION, TENANT, GivenToken, MakeSession, Waits, token
from tests.providers.azure.subscriptions_world import SubscriptionsWorld


@pytest.fixture
def world(arm: ArmStub) -> SubscriptionsWorld:
    return SubscriptionsWorld(arm)


@pytest.fixture
def token_session(azurite_tls: Server, make_session: MakeSession, arm: ArmStub, world: SubscriptionsWorld) -> Session:
    """A session with a token at both services, whose login sees the subscription."""
    world.add()
    return make_session(azurite_tls.endpoint, credential=GivenToken(), management=arm.url)


class TestWithToken(IdentityContract):
    @pytest.fixture
    def identity(self, token_session: Session, monkeypatch: pytest.MonkeyPatch) -> Identity:
        monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
        return AzureIdentity(token_session)


class TestWithoutSubscription(IdentityContract):
    @pytest.fixture
    def identity(self, token_session: Session) -> Identity:
        return AzureIdentity(token_session)


class TestWithKey(IdentityContract):
    @pytest.fixture
    def identity(self, key_session: Session) -> Identity:
        return AzureIdentity(key_session)


class TestWithoutAnything(IdentityContract):
    """The checks fail, and say how to mend it."""

    @pytest.fixture
    def identity(self, make_session: MakeSession) -> Identity:
        return AzureIdentity(make_session("https://127.0.0.1:9/{account}", storage_account=""))

    def test_says_who_we_are(self, identity: Identity) -> None:
        with pytest.raises(NotAuthenticated):
            identity.whoami()


@pytest.mark.parametrize(
    ("claims", "principal", "kind"),
    [
        ({}, PRINCIPAL, "user"),
        ({"upn": None, "unique_name": "live.com#eve@example.org"}, "live.com#eve@example.org", "user"),
        ({"upn": None, "idtyp": "app", "appid": "f00d"}, "f00d", "service principal"),
        ({"upn": None, "appid": "f00d", "xms_mirid": "/subscriptions/x"}, "f00d", "managed identity"),
    ],
)
def test_the_principal_is_that_of_the_token(make_session: MakeSession, claims: dict[str, Any], principal: str, kind: str) -> None:
    who = AzureIdentity(make_session("https://127.0.0.1:9/{account}", credential=GivenToken(token(**claims)))).whoami()
    assert (who.account, who.principal, who.method) == (f"tenant {TENANT}", principal, f"Microsoft Entra token of a {kind}")


def test_without_a_subscription_the_account_is_the_tenant(token_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert AzureIdentity(token_session).whoami().account == f"tenant {TENANT}"
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    assert AzureIdentity(token_session).whoami().account == f"{SUBSCRIPTION} (ML)"


def test_a_login_for_another_tenant_is_refused(make_session: MakeSession) -> None:
    wanted = "11111111-0000-4000-8000-000000000000"
    session = make_session("https://127.0.0.1:9/{account}", credential=GivenToken(), tenant=wanted)
    with pytest.raises(NotAuthenticated) as caught:
        AzureIdentity(session).whoami()
    assert TENANT in caught.value.why
    assert caught.value.next_step == f"az login --tenant {wanted}"


@pytest.mark.parametrize("text", ["", "opaque", "a.b.c", "a.!!!.c", "..", "e30.WzFd.e30"])
def test_an_opaque_token_has_no_claims(text: str) -> None:
    assert claims_of(text) == {}


def test_the_key_is_tried_before_it_is_believed(azurite: Server, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    who = AzureIdentity(make_session(azurite.endpoint)).whoami()
    assert (who.account, who.principal) == (ACCOUNT, f"storage account {ACCOUNT}")
    assert who.method == "account key in AZURE_STORAGE_KEY"
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY.replace("Eby8", "Abc8"))
    with pytest.raises(NotAuthenticated, match="cannot log in to storage account") as caught:
        AzureIdentity(make_session(azurite.endpoint)).whoami()
    assert caught.value.next_step.startswith("az ")


def test_a_key_in_a_connection_string(azurite: Server, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={WELL_KNOWN_KEY};BlobEndpoint={azurite.origin}/{ACCOUNT};"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    session = make_session("https://{account}.blob.core.windows.net", storage_account="")
    assert session.endpoint(ACCOUNT) == f"{azurite.origin}/{ACCOUNT}"
    who = AzureIdentity(session).whoami()
    assert (who.principal, who.method) == (f"storage account {ACCOUNT}", "account key in AZURE_STORAGE_CONNECTION_STRING")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("AZURE_STORAGE_KEY", "c2VjcmV0-cut", "not base64"),
        ("AZURE_STORAGE_CONNECTION_STRING", f"AccountName={ACCOUNT};AccountKey=!!!secret", "not base64"),
        ("AZURE_STORAGE_CONNECTION_STRING", f"AccountName={ACCOUNT};SharedAccessSignature=sv=1&sig=secret", "no AccountKey"),
        ("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true", "no AccountKey"),
    ],
)
def test_keys_that_cannot_be_used(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(NotAuthenticated, match=name) as caught:
        AzureIdentity(make_session("https://127.0.0.1:9/{account}")).whoami()
    assert why in caught.value.why
    assert "secret" not in f"{caught.value} {caught.value.why} {caught.value.next_step}"
    assert "az " in caught.value.next_step


def test_no_credentials_at_all(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    session = make_session("https://127.0.0.1:9/{account}", tenant="contoso.example")
    with pytest.raises(NotAuthenticated, match="cannot log in to Azure") as caught:
        AzureIdentity(session).whoami()
    assert caught.value.next_step == "az login --tenant contoso.example"
    assert caught.value.why.startswith("no way to log in is set up")
    checks = {check.name: check for check in AzureIdentity(session).check()}
    assert (checks["credentials"].ok, checks["credentials"].fix) == (False, "az login --tenant contoso.example")
    assert checks["subscription"].ok is False


def test_a_login_that_fails_is_told_from_those_that_are_not_there(
    make_session: MakeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    az = tmp_path / "az"
    az.write_text("#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n")
    az.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "dev")
    with pytest.raises(NotAuthenticated) as caught:
        AzureIdentity(make_session("https://127.0.0.1:9/{account}")).whoami()
    assert caught.value.why.startswith("AzureCliCredential: Please run 'az login'")
    assert "PowerShell" not in caught.value.why


def test_the_sdk_prints_nothing(tmp_path: Path) -> None:
    """Where nobody has set up logging, Python would print the SDK's warnings on stderr."""
    code = (
        "from pathlib import Path; from mcml.providers.api.spec import ProviderContext; from mcml.providers.azure.settings import Settings;"
        "from mcml.providers.azure.identity import open_identity; open_identity(ProviderContext(Settings(), Path())).check()"
    )
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_check_passes_with_a_role(token_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    checks = AzureIdentity(token_session).check()
    names = ["credentials", "subscription", "clock", "storage account"]
    assert [(check.name, check.ok) for check in checks] == [(name, True) for name in names]
    assert checks[1].detail == f"{SUBSCRIPTION} (ML) is enabled"


def test_a_missing_role_is_a_failed_check(azurite: Server, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    with FaultProxy(azurite.origin) as proxy:
        session = make_session(f"{proxy.url}/{{account}}")
        proxy.script(Answer(403, {"x-ms-error-code": "AuthorizationPermissionMismatch"}), only=lambda request: "comp=list" in request.path)
        check = AzureIdentity(session).check()[-1]
    assert (check.name, check.ok) == ("storage account", False)
    assert "lack the role" in check.detail
    assert check.fix.startswith("az role assignment create --role 'Storage Blob Data Contributor'")


def test_an_expired_token(azurite_tls: Server, make_session: MakeSession, trusted: None) -> None:
    session = make_session(azurite_tls.endpoint, credential=GivenToken(token(lifetime=-600)), tenant=TENANT)
    with pytest.raises(NotAuthenticated, match="cannot look at az://models/k") as caught:
        AzureObjectStore(session).stat("models", "k")
    assert caught.value.next_step == f"az login --tenant {TENANT}"


def test_a_token_for_something_else(azurite_tls: Server, make_session: MakeSession, arm: ArmStub, world: SubscriptionsWorld) -> None:
    session = make_session(azurite_tls.endpoint, credential=GivenToken(token(audience="https://vault.azure.net")), management=arm.url)
    check = AzureIdentity(session).check()[-1]
    assert (check.name, check.ok) == ("storage account", False)
    assert check.fix


def test_a_certificate_that_nobody_trusts(azurite_tls: Server, make_session: MakeSession) -> None:
    session = make_session(azurite_tls.endpoint, credential=GivenToken(), policy=Waits().policy(), management=azurite_tls.origin)
    check = AzureIdentity(session).check()[-1]
    assert "certificate is not trusted" in check.detail
    assert "REQUESTS_CA_BUNDLE" in check.fix


def test_a_token_does_not_travel_over_http(azurite: Server, make_session: MakeSession) -> None:
    given = GivenToken()
    session = make_session(azurite.endpoint, credential=given)
    with pytest.raises(Usage, match="cannot log in to http://"):
        session.container("models")
    assert given.asked == []


class MetadataService:
    """The managed identity endpoint of App Service and Container Apps, as azure-identity asks it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.secret = "the-header-of-the-machine"
        secrets_found.register("the secret of a machine's identity endpoint", self.secret)
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                service.asked.append(query)
                assert self.headers["X-IDENTITY-HEADER"] == service.secret
                made = token(upn=None, xms_mirid="/subscriptions/x/resourceGroups/g", appid=query.get("client_id", "system"))
                body = json.dumps({"access_token": made, "expires_on": str(int(time.time()) + 3600), "resource": query["resource"]})
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetadataService]:
    service = MetadataService()
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{service.server.server_address[1]}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", service.secret)
    yield service
    service.close()


def test_the_sdks_own_chain_to_the_service(
    azurite_tls: Server,
    make_session: MakeSession,
    arm: ArmStub,
    world: SubscriptionsWorld,
    metadata: MetadataService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing injected: DefaultAzureCredential asks the machine's identity endpoint, and the token opens the storage account."""
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    world.add()
    identity = AzureIdentity(make_session(azurite_tls.endpoint, client_id="c1ient", tenant=TENANT, management=arm.url))
    assert identity.whoami().principal == "c1ient"
    assert identity.whoami().method == "Microsoft Entra token of a managed identity"
    assert all(check.ok for check in identity.check())
    assert [one["resource"] for one in metadata.asked] == ["https://storage.azure.com", "https://management.azure.com"]
