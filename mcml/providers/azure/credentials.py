"""Credentials as the environment gives them: a storage account's key, or azure-identity's default chain; none is stored or shown."""

import base64
import binascii
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcml.core.errors import NotAuthenticated
from mcml.core.secret import Secret
from mcml.providers.azure.settings import Settings
from mcml.providers.resilience import CONNECT_SECONDS, READ_SECONDS

logging.getLogger("azure").addHandler(logging.NullHandler())  # else Python prints the SDK's warnings on stderr, where nobody logs
STORAGE_SCOPE = "https://storage.azure.com/.default"
CONNECTION_STRING, KEY, ACCOUNT = "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT"


class Token(Protocol):
    """An access token and the second of the epoch at which it expires."""

    @property
    def token(self) -> str:
        """The token itself."""

    @property
    def expires_on(self) -> int:
        """Seconds since the epoch."""


class TokenCredential(Protocol):
    """What azure-identity's credentials are."""

    def get_token(self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **kwargs: Any) -> Token:
        """Return a token for a scope. Raises azure.core.exceptions.ClientAuthenticationError."""


@dataclass(frozen=True)
class AccountKey:
    """The key of a storage account, the variable that it came from, and the endpoint that came with it (or "")."""

    account: str
    secret: Secret
    source: str
    endpoint: str = ""


@dataclass
class TenantCredential:
    """azure-identity's default chain, made on first use, for one tenant. Its own retries stay on: the metadata service needs them."""

    settings: Settings
    _chain: TokenCredential | None = field(default=None, repr=False)

    def get_token(self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **kwargs: Any) -> Token:
        """Return a token of the tenant in the settings, if one is set. Raises ClientAuthenticationError."""
        if self._chain is None:
            self._chain = _default_chain(self.settings)
        return self._chain.get_token(*scopes, claims=claims, tenant_id=self.settings.tenant or tenant_id, **kwargs)


def _default_chain(settings: Settings) -> TokenCredential:
    from azure.identity import DefaultAzureCredential

    options: dict[str, Any] = {"connection_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    if settings.tenant:
        options["additionally_allowed_tenants"] = [settings.tenant]
        options["workload_identity_tenant_id"] = settings.tenant
    if settings.client_id:
        options["managed_identity_client_id"] = settings.client_id
    chain: TokenCredential = DefaultAzureCredential(**options)
    return chain


def account_key(environ: Mapping[str, str], account: str) -> AccountKey | None:
    """Return the key that the environment holds for a storage account; a key of another account is never used.

    Raises NotAuthenticated for a connection string without a key, and for a key that is not base64.
    """
    found = _from_connection_string(environ.get(CONNECTION_STRING, ""), account)
    if found is None and environ.get(KEY) and environ.get(ACCOUNT, account) == account:
        found = AccountKey(account, Secret(environ[KEY]), KEY)
    if found is not None:
        _check_base64(found)
    return found


def connection_account(environ: Mapping[str, str]) -> str:
    """Return the storage account that the environment names, or ""."""
    return environ.get(ACCOUNT, "") or _parts(environ.get(CONNECTION_STRING, "")).get("AccountName", "")


def _parts(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _from_connection_string(text: str, account: str) -> AccountKey | None:
    parts = _parts(text)
    if not text or parts.get("AccountName", account) != account:
        return None
    if not parts.get("AccountKey"):
        raise NotAuthenticated(
            f"{CONNECTION_STRING} cannot be used",
            why="it holds no AccountKey; signatures (SAS) and development shortcuts are not taken",
            next_step="az storage account show-connection-string, or unset it and: az login",
        )
    endpoint = parts.get("BlobEndpoint", "")
    if not endpoint and parts.get("EndpointSuffix"):
        endpoint = f"{parts.get('DefaultEndpointsProtocol', 'https')}://{account}.blob.{parts['EndpointSuffix']}"
    return AccountKey(account, Secret(parts["AccountKey"]), CONNECTION_STRING, endpoint.rstrip("/"))


def _check_base64(key: AccountKey) -> None:
    try:
        base64.b64decode(key.secret.reveal(), validate=True)
    except (binascii.Error, ValueError):
        raise NotAuthenticated(
            f"{key.source} cannot be used",
            why="the key in it is not base64: it is cut off or not a key",
            next_step=f"az storage account keys list --account-name {key.account}",
        ) from None


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token (RFC 7519), without checking its signature: the service does that. {} for an opaque token."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
