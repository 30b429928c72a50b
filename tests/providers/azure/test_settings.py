"""`[providers.azure]`: what may be set, and that no credential may."""

import pytest
from pydantic import ValidationError

from mcml.core.errors import Usage
from mcml.providers.azure.names import is_container_name
from mcml.providers.azure.settings import Settings
from tests.providers.azure.conftest import MakeSession


def test_every_setting_is_described() -> None:
    addresses = {"endpoint", "management", "prices"}
    assert all(field.description for field in Settings.model_fields.values())
    assert all(value in ("", {}) for name, value in Settings().model_dump().items() if name not in addresses)


@pytest.mark.parametrize(
    "given",
    [
        {"key": "c2VjcmV0"},
        {"connection": "AccountName=a;AccountKey=b"},
        {"connection_string": "AccountName=a;AccountKey=b"},
        {"storage_account": "Not-An-Account"},
        {"storage_account": "ab"},
        {"accounts": {"models": "x"}},
        {"endpoint": "https://account.blob.core.windows.net/?sv=2025&sig=secret"},
        {"endpoint": "https://user:secret@account.blob.core.windows.net"},
        {"endpoint": "DefaultEndpointsProtocol=https;AccountKey=secret"},
        {"endpoint": "ftp://account"},
    ],
)
def test_what_cannot_be_set(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(given)


def test_the_storage_account_comes_from_the_settings_or_the_environment(
    make_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = "https://{account}.blob.core.windows.net"
    nameless = make_session(endpoint, storage_account="", accounts={"far-away": "othereurope"})
    with pytest.raises(Usage, match="no storage account is named for the container 'models'") as caught:
        nameless.container("models")
    assert "storage_account in [providers.azure]" in caught.value.next_step
    assert nameless.endpoint(nameless.account("far-away")) == "https://othereurope.blob.core.windows.net"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "fromenvironment")
    assert nameless.account("models") == "fromenvironment"
    assert make_session(endpoint, storage_account="fromsettings").account("models") == "fromsettings"


def test_a_connection_string_may_name_another_cloud(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "DefaultEndpointsProtocol=https;AccountName=mooncake;AccountKey=c2VjcmV0;EndpointSuffix=core.chinacloudapi.cn"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    session = make_session("https://{account}.blob.core.windows.net", storage_account="")
    assert session.account() == "mooncake"
    assert session.endpoint("mooncake") == "https://mooncake.blob.core.chinacloudapi.cn"


def test_the_key_of_another_account_is_not_used(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", "c2VjcmV0")
    session = make_session("https://{account}.blob.core.windows.net", storage_account="ours", accounts={"far-away": "theirs"})
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "ours")
    assert session.key_of("ours") is not None
    assert session.key_of("theirs") is None


def test_container_names() -> None:
    assert all(map(is_container_name, ["abc", "a-b-c", "a" * 63, "123", "1-2"]))
    assert not any(map(is_container_name, ["ab", "a" * 64, "-ab", "ab-", "a--b", "a.b", "A-b", "a_b", "abc\n", "", "$root"]))
