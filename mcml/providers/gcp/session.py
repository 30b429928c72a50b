"""The way to Google's APIs: one HTTP session with time-outs and without retries of its own, one error table, one guard for every call.

Nothing happens until the first call: opening a capability needs neither credentials nor network. The SDK's retries are off
(`retry=None` on every call, no retrying adapter); one stays, of up to three quick tries at a token endpoint, which cannot be switched off.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar

import requests
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import storage
from requests.adapters import HTTPAdapter

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, NotFound, Unavailable
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp import credentials as own
from mcml.providers.gcp.error_table import Clue, translate
from mcml.providers.gcp.names import check_bucket
from mcml.providers.gcp.settings import Settings
from mcml.providers.resilience import CONNECT_SECONDS, READ_SECONDS, Policy, guarded

T = TypeVar("T")
CONNECTIONS = 32
GRPC_ONLY = ("google.cloud.monitoring", "google.cloud.logging")
"""The client libraries that have no REST transport."""

NO_LOOKUPS = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""The SDK looks up every bucket in a thread of its own, for traces that nobody asked for, unless this says no."""


@dataclass
class Session:
    """What all capabilities of a context share. `timeout` is (connect, read) in seconds, of every single request."""

    ctx: ProviderContext
    timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS)
    policy: Policy = field(default_factory=Policy)
    clue: Clue = field(default_factory=Clue, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _services: dict[tuple[type, str], Any] = field(default_factory=dict, repr=False)

    @property
    def settings(self) -> Settings:
        """The provider's settings."""
        settings: Settings = self.ctx.settings
        return settings

    @property
    def found(self) -> own.Found:
        """The credentials in force. Inside `call` only: raises what google.auth raises."""
        with self._lock:
            return self._found

    @property
    def http(self) -> Any:
        """A `requests.Session` that adds the token. Inside `call` only."""
        with self._lock:
            return self._http

    @property
    def storage(self) -> Any:
        """The SDK's storage client. Inside `call` only."""
        with self._lock:
            return self._storage

    @property
    def bigquery(self) -> Any:
        """The SDK's BigQuery client. Inside `call` only."""
        with self._lock:
            return self._bigquery

    @property
    def bigquery_url(self) -> str:
        """Where BigQuery's REST API is, without a slash at the end. Inside `call` only."""
        own_url = self.settings.endpoint or own.emulator_url(own.BIGQUERY_EMULATOR)
        return own_url or f"https://bigquery.{self.found.credentials.universe_domain}"

    def service(self, kind: type, host: str = "") -> Any:
        """Return the SDK's client of a service (`container_v1.ClusterManagerClient`), made once. Inside `call` only.

        Over REST, like everything else here; the clients of Monitoring and Logging speak gRPC only. Every call takes `**rpc_options`.
        `host` is that of a region, for the services that have one in each (Vertex AI: `europe-west1-aiplatform.googleapis.com`).
        """
        with self._lock:
            if (kind, host) not in self._services:
                over = "grpc" if kind.__module__.startswith(GRPC_ONLY) else "rest"
                self._services[kind, host] = kind(transport=self._grpc(kind) if over == "grpc" else self._rest(kind, host))
            return self._services[kind, host]

    @property
    def rpc_options(self) -> dict[str, Any]:
        """The keywords of every call of a client that `service` made: our time-out, no retries of its own."""
        return {"timeout": self.timeout[1], "retry": None}

    def bucket(self, name: str) -> Any:
        """Return the SDK's bucket of a name, without asking for it. Inside `call` only. Raises NotFound for a name that none can have."""
        try:
            return self.storage.bucket(check_bucket(name))
        except InvalidRequest as impossible:
            raise NotFound(f"no bucket {name[:100]!r}", why=impossible.why) from impossible

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of every call of the SDK: our time-outs, no retries of its own."""
        return {"timeout": self.timeout, "retry": None}

    def call(self, doing: str, call: Callable[[], T], *, repeatable: bool = True) -> T:
        """Make a call, repeat it while it is worth it, and raise core errors only; `doing` is the beginning of their message."""
        return guarded(call, translate(doing, self.clue), self.policy, repeatable=repeatable)

    def explain(self, doing: str, failed: Exception) -> McmlError:
        """Return what an exception of the SDK means; for callers that must not let it through."""
        told = translate(doing, self.clue)(failed)
        return told or Unavailable(doing, why=type(failed).__name__)

    def ask_for_token(self, *args: Any, **keywords: Any) -> Any:
        """Do what google.auth asks its transport for, within our time-outs."""
        return Request(self.plain_http)(*args, **{**keywords, "timeout": self.timeout})

    def token(self, doing: str) -> tuple[str, datetime | None]:
        """Return a token that holds now, and until when (UTC); asked for where there is none. Raises NotAuthenticated, Unavailable."""

        def ask() -> tuple[str, datetime | None]:
            credentials = self.found.credentials
            if not credentials.valid:
                credentials.refresh(self.ask_for_token)
            return str(credentials.token), credentials.expiry.replace(tzinfo=UTC) if credentials.expiry else None

        return self.call(doing, ask)

    def project(self) -> str:
        """Return the project to work in. Raises NotAuthenticated when there is none."""
        found = self.call("cannot find Google Cloud credentials", lambda: self.found)
        if not found.project:
            raise NotAuthenticated(
                "no Google Cloud project is chosen",
                why="neither [providers.gcp] project, GOOGLE_CLOUD_PROJECT, the credentials nor gcloud name one",
                next_step="gcloud config set project PROJECT",
            )
        return found.project

    @cached_property
    def plain_http(self) -> Any:
        """A `requests.Session` without a token, for token endpoints."""
        return self._wired(requests.Session())

    @cached_property
    def _found(self) -> own.Found:
        found = own.find(self.settings, Request(self.plain_http))
        self.clue.credentials = found.credentials
        self.clue.names.update(PROJECT=found.project, ACCOUNT=self.settings.impersonate_service_account)
        return found

    @cached_property
    def _http(self) -> Any:
        return self._wired(AuthorizedSession(self._found.credentials, auth_request=Request(self.plain_http)))

    @cached_property
    def _storage(self) -> Any:
        found = self._found
        os.environ.setdefault(NO_LOOKUPS, "true")
        options = {"universe_domain": found.credentials.universe_domain}
        endpoint = self.settings.endpoint or own.emulator_url()
        if endpoint:
            options["api_endpoint"] = endpoint
        project = found.project or None
        return storage.Client(project=project, credentials=found.credentials, _http=self._http, client_options=options)

    @cached_property
    def _bigquery(self) -> Any:
        from google.cloud import bigquery

        found = self._found
        options = {"universe_domain": found.credentials.universe_domain, "api_endpoint": self.bigquery_url}
        return bigquery.Client(project=found.project or None, credentials=found.credentials, _http=self._http, client_options=options)

    def _rest(self, kind: Any, host: str) -> Any:
        where = {"host": host} if host else {}
        if self.settings.endpoint:
            scheme, _, host = self.settings.endpoint.partition("://")
            where = {"url_scheme": scheme, "host": host}
        transport = kind.get_transport_class("rest")(credentials=self.found.credentials, **where)
        transport._session._auth_request = Request(self.plain_http)  # the client's methods hold this session: it is wired in its place
        self._wired(transport._session)
        return transport

    def _grpc(self, kind: Any) -> Any:
        from mcml.providers.gcp.grpc_channel import open_channel

        here = self.settings.grpc_endpoint
        channel = open_channel(here or f"{kind.DEFAULT_ENDPOINT}:443", self.found.credentials, self.ask_for_token, encrypted=not here)
        return kind.get_transport_class("grpc")(channel=channel)

    def _wired(self, http: Any) -> Any:
        clue, clock = self.clue, self.ctx.clock  # no `self`: google.auth copies its transport, and the hook with it

        def note(response: Any, *_: object, **__: object) -> None:
            clue.note_date(response.headers.get("Date", ""), clock())

        for scheme in ("https://", "http://"):
            http.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0))
        http.hooks["response"].append(note)
        return http
