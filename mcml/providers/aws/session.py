"""The way to AWS: clients with time-outs and without retries of their own, one error table, one guard for every call.

Nothing happens until the first call: opening a capability needs neither credentials nor network. Credentials are those of the SDK's own
chain for the profile, and with `role_arn` those that STS gives for them (renewed by themselves before they end).
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, NoCredentialsError
from botocore.loaders import create_loader

from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.error_table import SERVICE, Clue, translate
from mcml.providers.aws.settings import Settings
from mcml.providers.resilience import CONNECT_SECONDS, READ_SECONDS, Policy, guarded

T = TypeVar("T")
CONNECTIONS = 32
SOME_REGION = "us-east-1"  # where STS and S3 answer for somebody who has chosen none
_CREDENTIAL_PARTS = ("access_key", "secret_key", "token")


@dataclass
class Session:
    """What all capabilities of a context share. `timeout` is (connect, read) in seconds, of every single request. Thread-safe."""

    ctx: ProviderContext
    timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS)
    policy: Policy = field(default_factory=Policy)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def settings(self) -> Settings:
        """The provider's settings."""
        settings: Settings = self.ctx.settings
        return settings

    def call(self, doing: str, call: Callable[[], T], *, next_step: str = "") -> T:
        """Make a call, repeat it while it is worth it, and raise core errors only; `doing` is the beginning of their message."""
        clue = Clue(self.ctx.clock, self.login_command, self.settings.role_arn.rpartition("/")[2], self._secrets)
        return guarded(call, translate(doing, clue, next_step), self.policy)

    def client(self, service: str, region: str = "") -> Any:
        """Return the SDK's client of a service, in our region or another, made once. Inside `call` only: raises what the SDK raises."""
        with self._lock:
            name = f"{service} {region}"
            if name not in self._clients:
                self._clients[name] = self._make(self._boto, service, region=region)
            return self._clients[name]

    def credentials(self) -> Any:
        """Return the credentials in force, or None. Inside `call` only."""
        with self._lock:
            return self._boto.get_credentials()

    @property
    def region(self) -> str:
        """The region of the target, of the settings, or of the SDK's chain; may be empty. Inside `call` only."""
        with self._lock:
            return self.ctx.region or self.settings.region or self._base.get_config_variable("region") or ""

    def login_command(self) -> str:
        """Return the command that brings fresh credentials; looks at the configuration only."""
        try:
            with self._lock:
                profile = self._base.profile or "default"
                scoped = self._base.get_scoped_config()
        except BotoCoreError:
            return "aws configure list-profiles"
        if any(name.startswith("sso_") for name in scoped):
            return f"aws sso login --profile {profile}"
        return f"aws configure --profile {profile}" if scoped else "aws configure sso"

    def close(self) -> None:
        """Close the connections of all clients."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    @cached_property
    def _base(self) -> Any:
        return self._new_session()

    @cached_property
    def _boto(self) -> Any:
        session = self._base
        if self.settings.role_arn:
            session = self._new_session()
            session.register_component("credential_provider", _Role(self))
        return boto3.Session(botocore_session=session, region_name=self.region or None)

    def _new_session(self) -> Any:
        session = botocore.session.Session(profile=self.settings.profile or None)
        session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
        return session

    def _make(self, session: Any, service: str, *, region: str = "", **keys: str) -> Any:
        connect, read = self.timeout
        config = Config(
            connect_timeout=connect,
            read_timeout=read,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=CONNECTIONS,
            tcp_keepalive=True,
            user_agent_appid="mcml",
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"} if self.settings.endpoint_url else None,  # such a store has no host name for each bucket
            request_checksum_calculation="when_required",  # a write carries a checksum that we took ourselves
            response_checksum_validation="when_required",
        )
        make = session.client if isinstance(session, boto3.Session) else session.create_client
        where = {"region_name": region or self.region or SOME_REGION, "endpoint_url": self.settings.endpoint_url or None}
        client = make(service, **where, config=config, **keys)
        client.meta.events.register("before-parse", _must_be_whole)
        client.meta.events.register("after-call", _note_service)
        return client

    def _secrets(self) -> set[str]:
        """Every part of the credentials in memory; nothing is fetched for it."""
        found = [vars(one) for session in ("_base", "_boto") if (one := _known(self.__dict__.get(session))) is not None]
        return {value for one in found for name, value in one.items() if name.lstrip("_") in _CREDENTIAL_PARTS and value}


@cache
def _loader(search_path: str | None) -> Any:
    """The SDK's reader of its service descriptions, one for the process: reading that of S3 takes a third of a second."""
    return create_loader(search_path)


def _known(session: Any) -> Any:
    """Return the credentials that a session holds already."""
    return getattr(getattr(session, "_session", session), "_credentials", None)


def _must_be_whole(operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:
    """Refuse an answer that was cut off: the SDK does not look, and takes a listing without its body for an empty one."""
    body, told = response_dict["body"], response_dict["headers"].get("content-length", "")
    if isinstance(body, bytes) and told.isdigit() and int(told) != len(body) and operation_model.http.get("method") != "HEAD":
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(told))
    if response_dict["status_code"] >= 300 and not _is_of_protocol(operation_model.service_model.resolved_protocol, body):
        status, headers = response_dict["status_code"], response_dict["headers"]  # the SDK would lose them over the body
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": {name.lower(): value for name, value in headers.items()}}
        raise ClientError({"Error": {"Code": str(status), "Message": ""}, "ResponseMetadata": metadata}, operation_model.name)


def _note_service(parsed: dict[str, Any], model: Any, **_: object) -> None:
    """Leave the service's name in the answer: it is in the error that the SDK makes of it, and in the command that shows its quotas."""
    parsed.setdefault("ResponseMetadata", {})[SERVICE] = model.service_model.signing_name


def _is_of_protocol(protocol: str, body: object) -> bool:
    """Tell whether the body of an error can be AWS's own, not empty nor of something between: those of queries are XML with a code."""
    return not isinstance(body, bytes) or protocol not in ("query", "ec2") or b"<Code>" in body


class _Role:
    """A credential provider that assumes the role of the settings."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def load_credentials(self) -> Any:
        """Return credentials that are fetched, and fetched again, when they are needed."""
        base = self._session._base
        source = base.get_credentials()
        if source is None:
            raise NoCredentialsError
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=lambda service, **keys: self._session._make(base, service, **keys),
            source_credentials=source,
            role_arn=self._session.settings.role_arn,
            extra_args={"RoleSessionName": "mcml"},
        )
        return DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)
