"""Azure Container Registry: found and listed by its own API (the official client), pushed and tagged by the OCI protocol.

https://learn.microsoft.com/rest/api/containerregistry: it alone knows when something was pushed. The login is a Microsoft Entra token that
the registry exchanges for one of its own (https://learn.microsoft.com/azure/container-registry/container-registry-authentication): the
client does it for itself; for the OCI protocol `AcrLogin` does, and gives it as the password of the user that ACR has for it. The client
is not used to push: it sends every piece of a blob twice, the first time without a login.
"""

import binascii
import builtins
import json
import os
import re
import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import certifi
from azure.core.pipeline.policies import UserAgentPolicy
from azure.core.rest import HttpRequest

from mcml.core.errors import McmlError, NotAuthenticated, NotFound, Usage
from mcml.core.secret import Secret
from mcml.providers.api.registry import Artifact, Registry
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import pages
from mcml.providers.azure.credentials import claims_of
from mcml.providers.azure.session import Session
from mcml.providers.oci import Login, OciRegistry
from mcml.providers.resilience import CONNECT_SECONDS, Policy

T = TypeVar("T")
SCOPE = "https://containerregistry.azure.net/.default"
USER = "00000000-0000-0000-0000-000000000000"
FRESH_SECONDS = 300.0
KEPT_SECONDS = 3600.0
"""After which the client is made anew: it never renews a registry's token (three hours) that has less than five minutes left."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


def open_registry(ctx: ProviderContext) -> Registry:
    """Return the container registry of the settings."""
    return AcrRegistry(Session(ctx, policy=Policy(budget=ctx.budget)))


class AcrRegistry:
    """One registry."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._made: Any = None
        self._made_at = 0.0

    @property
    def _host(self) -> str:
        """The login server. Raises Usage when the settings name none."""
        named = self._session.settings.registry
        if not named:
            raise Usage(
                "no container registry is named",
                why="the settings name none",
                next_step="set registry in [providers.azure] of mcml.toml (az acr list --output table)",
            )
        return named if "." in named or ":" in named else f"{named}.azurecr.io"

    def resolve(self, repository: str, reference: str) -> Artifact:
        """Return what a tag or a digest points at. Raises NotFound."""
        what = f"find {reference!r} in repository {repository!r} of {self._host}"
        if not (_DIGEST.fullmatch(reference) or _TAG.fullmatch(reference)):
            raise NotFound(f"cannot {what}", why="no artifact can have this name")
        return self._artifact(what, repository, reference)

    def push(self, repository: str, source: Path, tag: str) -> Artifact:
        """Store a folder or a file as an OCI artifact under a tag; the same content is stored once, and a tag that is there moves.

        A repository is made by its first push. Raises NotFound for the source, InvalidRequest for a name that cannot be, Conflict for a tag
        that is locked.
        """
        with self._oci() as registry:
            digest = registry.push(repository, source, tag).digest
        return self._artifact(f"find what was pushed to repository {repository!r} of {self._host}", repository, digest)

    def tag(self, repository: str, digest: str, tag: str) -> Artifact:
        """Let a tag point at a digest. Raises NotFound, Conflict for a tag that is locked."""
        with self._oci() as registry:
            registry.tag(repository, digest, tag)
        return self._artifact(f"tag {digest[:19]} in repository {repository!r} of {self._host}", repository, digest)

    def list(self, repository: str = "") -> builtins.list[Artifact]:
        """Return what a repository, or the whole registry, holds, newest first; an unknown repository holds nothing."""
        what = f"list the repositories of {self._host}"
        names = [repository] if repository else self._steered(lambda: [*pages(self._session, what, self._client.list_repository_names())])
        found = [artifact for name in names for artifact in self._of(name)]
        return sorted(found, key=lambda artifact: (artifact.pushed, artifact.digest), reverse=True)

    def _of(self, repository: str) -> builtins.list[Artifact]:
        what = f"list repository {repository!r} of {self._host}"
        try:
            listed = self._steered(lambda: [*pages(self._session, what, self._client.list_manifest_properties(repository))])
        except NotFound:
            return []
        return [self._told(repository, one) for one in listed]

    def _artifact(self, what: str, repository: str, reference: str) -> Artifact:
        def ask() -> Any:
            return self._session.call(what, lambda: self._client.get_manifest_properties(repository, reference))

        return self._told(repository, self._steered(ask))

    def _told(self, repository: str, found: Any) -> Artifact:
        return Artifact(repository, str(found.digest), tuple(sorted(found.tags or ())), int(found.size_in_bytes or 0), found.created_on)

    def _steered(self, ask: Callable[[], T]) -> T:
        """Ask, and say what is missing when the registry does not let us."""
        try:
            return ask()
        except NotAuthenticated as refused:
            refused.next_step = refused.next_step if "clock" in refused.why else self._role("AcrPull")
            raise
        except (binascii.Error, UnicodeDecodeError, json.JSONDecodeError):  # it reads "-" and "_" in the token as if they were nothing
            why = "Azure's client (azure-containerregistry) cannot read the token that the registry gave it"
            step = f"try again, or: az acr repository list --name {self._host.partition('.')[0]}"
            raise McmlError(f"cannot log in to {self._host}", why=why, next_step=step) from None

    def _role(self, role: str) -> str:
        name = self._host.partition(".")[0]
        scope = f"$(az acr show --name {name} --query id --output tsv)"
        return f"az login, or: az role assignment create --role {role} --assignee YOU --scope {scope}"

    @property
    def _client(self) -> Any:
        from azure.containerregistry import ContainerRegistryClient

        with self._lock:
            now = self._session.clock().timestamp()
            if self._made is None or now - self._made_at > KEPT_SECONDS:
                self._made_at = now
                patience = {"connection_timeout": CONNECT_SECONDS, "read_timeout": self._session.read_seconds, "retry_total": 0}
                self._made = ContainerRegistryClient(f"https://{self._host}", self._session.credential, **patience)
            return self._made

    def _oci(self) -> Any:
        login = AcrLogin(self._session, self._host)
        patience = (CONNECT_SECONDS, self._session.read_seconds)
        trusted = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where())  # as the SDK has it
        step = self._role("AcrPush")
        return closing(OciRegistry(f"https://{self._host}", login, self._session.policy, login=step, timeout=patience, verify=trusted))


class AcrLogin:
    """The login of the OCI protocol: a token of the registry's own (three hours), from our Entra token; kept while it is fresh."""

    def __init__(self, session: Session, host: str) -> None:
        self._session, self._host = session, host
        self._lock = threading.Lock()
        self._login: Login | None = None
        self._until = 0.0

    def __call__(self) -> Login:
        """Return it. Raises NotAuthenticated, Unavailable."""
        with self._lock:
            if self._login is None or self._session.clock().timestamp() > self._until - FRESH_SECONDS:
                token = str(self._session.call(f"log in to {self._host}", self._exchange))
                self._until = float(claims_of(token).get("exp", 0.0))
                self._login = Login(USER, Secret(token))
            return self._login

    def _exchange(self) -> str:
        """Exchange an Entra token. https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md"""
        from azure.core import PipelineClient

        entra = self._session.credential.get_token(SCOPE).token
        form = {"grant_type": "access_token", "service": self._host, "access_token": entra}
        patience = {"connection_timeout": CONNECT_SECONDS, "read_timeout": self._session.read_seconds}
        with PipelineClient(f"https://{self._host}", policies=[UserAgentPolicy("mcml")], **patience) as client:
            answer = client.send_request(HttpRequest("POST", f"https://{self._host}/oauth2/exchange", data=form))
            answer.raise_for_status()
            found = answer.json().get("refresh_token", "")
        if not found:
            raise NotAuthenticated(f"cannot log in to {self._host}", why="it gave no token for ours", next_step="az login")
        return str(found)
