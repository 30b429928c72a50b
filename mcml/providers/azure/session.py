"""The clients of Azure's SDK, with time-outs and without retries of their own, and one guard for every call."""

import os
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient

from mcml.core.clock import Clock
from mcml.core.errors import McmlError, NotFound, Usage
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.credentials import AccountKey, TenantCredential, TokenCredential, account_key, connection_account
from mcml.providers.azure.error_table import list_containers, translate
from mcml.providers.azure.names import check_key, is_container_name
from mcml.providers.azure.settings import PUBLIC_ENDPOINT, Settings
from mcml.providers.resilience import CONNECT_SECONDS, READ_SECONDS, Policy, guarded

T = TypeVar("T")
MANAGEMENT_SCOPE = "https://management.azure.com/.default"
BLOCK_BYTES = 8 << 20
READ_BYTES = 4 << 20  # the most of which the service gives the checksum of a range


class Session:
    """Clients by storage account, made on first use; safe to use from many threads.

    `credential` (tests, or a caller that has one) takes the place of what the environment gives; `policy` and `read_seconds` are the
    patience of every call.
    """

    def __init__(
        self,
        ctx: ProviderContext,
        *,
        credential: TokenCredential | None = None,
        policy: Policy | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.settings: Settings = ctx.settings
        self.clock: Clock = ctx.clock
        self.policy = policy or Policy()
        self._read_seconds = read_seconds
        self._given = credential
        self._services: dict[str, BlobServiceClient] = {}
        self._managers: dict[type, Any] = {}
        self._lock = Lock()
        self.credential: TokenCredential = credential or TenantCredential(self.settings)

    @property
    def read_seconds(self) -> float:
        """How long an answer may take."""
        return self._read_seconds

    @property
    def subscription(self) -> str:
        """The subscription's id, or "" when none is set."""
        return self.settings.subscription or os.environ.get("AZURE_SUBSCRIPTION_ID", "")

    @property
    def names_account(self) -> bool:
        """Tell whether the settings or the environment name a storage account."""
        return bool(self._account())

    def account(self, bucket: str = "") -> str:
        """Return the storage account that a container is in. Raises Usage when none is named."""
        named = self._account(bucket)
        if not named:
            raise Usage(
                f"no storage account is named for the container {bucket!r}" if bucket else "no storage account is named",
                why="a container lives in a storage account",
                next_step="set storage_account in [providers.azure] of mcml.toml, or AZURE_STORAGE_ACCOUNT",
            )
        return named

    def key_of(self, account: str) -> AccountKey | None:
        """Return the key of a storage account when the environment holds one. Raises NotAuthenticated for a broken one."""
        return None if self._given is not None else account_key(os.environ, account)

    def endpoint(self, account: str) -> str:
        """Return the address of a storage account."""
        key = self.key_of(account)
        if key is not None and key.endpoint and self.settings.endpoint == PUBLIC_ENDPOINT:
            return key.endpoint
        return self.settings.endpoint.replace("{account}", account)

    def service(self, account: str) -> BlobServiceClient:
        """Return the client of a storage account. Raises NotAuthenticated, Usage when a token would travel over http."""
        with self._lock:
            if account not in self._services:
                self._services[account] = self._connect(account)
            return self._services[account]

    def management(self, kind: type, *, of_subscription: bool = True) -> Any:
        """Return the SDK's client of a management service (`azure.mgmt.compute.ComputeManagementClient`), made once.

        Its own retries are off, long-running operations are polled with our time-outs; a client of the whole tenant (Cost Management)
        is made with `of_subscription=False`. Raises Usage when no subscription is named.
        """
        from mcml.providers.azure.registration import NoRegistration

        with self._lock:
            if kind not in self._managers:
                named = (self.named_subscription(),) if of_subscription else ()
                self._managers[kind] = kind(
                    self.credential,
                    *named,
                    base_url=self.settings.management,
                    credential_scopes=[MANAGEMENT_SCOPE],
                    custom_hook_policy=NoRegistration(),
                    retry_total=0,
                    connection_timeout=CONNECT_SECONDS,
                    read_timeout=self._read_seconds,
                )
            return self._managers[kind]

    def named_subscription(self) -> str:
        """Return the subscription's id. Raises Usage when none is named."""
        if not self.subscription:
            raise Usage(
                "no Azure subscription is named",
                why="neither mcml.toml nor the environment names one",
                next_step="set subscription in [providers.azure] of mcml.toml, or AZURE_SUBSCRIPTION_ID (az account list)",
            )
        return self.subscription

    def container(self, bucket: str) -> ContainerClient:
        """Return the client of a container. Raises NotFound for a name that none can have, Usage, NotAuthenticated."""
        if not is_container_name(bucket):
            why, step = "no container can have this name", list_containers(self._account(bucket))
            raise NotFound(f"no container {bucket!r} in Azure", why=why, next_step=step)
        return self.service(self.account(bucket)).get_container_client(bucket)

    def blob(self, bucket: str, key: str, version: str = "") -> BlobClient:
        """Return the client of a blob, or of one of its versions. Raises as `container`, and InvalidRequest for a key that cannot be."""
        return self.container(bucket).get_blob_client(check_key(key), version_id=version or None)

    def call(self, what: str, call: Callable[[], T], *, bucket: str = "", repeatable: bool = True) -> T:
        """Make a call, again after a passing fault; `what` is "read az://bucket/key". Raises what `translate` says."""
        return guarded(call, lambda failed: self.told(failed, what, bucket), self.policy, repeatable=repeatable)

    def told(self, failed: Exception, what: str, bucket: str = "") -> McmlError | None:
        """Return an SDK's exception in our words, None for a bug that must stay one."""
        return translate(failed, what, clock=self.clock, tenant=self.settings.tenant, account=self.account(bucket) if bucket else "")

    def _account(self, bucket: str = "") -> str:
        return self.settings.accounts.get(bucket) or self.settings.storage_account or connection_account(os.environ)

    def _connect(self, account: str) -> BlobServiceClient:
        key, url = self.key_of(account), self.endpoint(account)
        if key is None and not url.startswith("https://"):
            raise Usage(
                f"cannot log in to {url}",
                why="a token may not travel over http, and the environment holds no key of this storage account",
                next_step="set endpoint in [providers.azure] to an https address",
            )
        secret = {"account_name": account, "account_key": key.secret.reveal()} if key else self.credential
        return BlobServiceClient(
            url,
            credential=secret,
            retry_total=0,
            connection_timeout=CONNECT_SECONDS,
            read_timeout=self._read_seconds,
            max_single_put_size=BLOCK_BYTES,
            max_single_get_size=READ_BYTES,
            max_chunk_get_size=READ_BYTES,
        )
