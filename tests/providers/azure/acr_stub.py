"""An Azure Container Registry over HTTPS: the stub of an OCI registry with ACR's own login and its own API beside.

https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md, https://learn.microsoft.com/rest/api/containerregistry; answers are judged by the
SDK's models. Not modelled: locks, deletes, anonymous access.
"""

import base64
import json
import secrets
import ssl
import time
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import parse_qs, quote, unquote

from mcml.testing.stubs.azure_models import model, problems
from mcml.testing.stubs.oci_holdings import Refusal
from mcml.testing.stubs.oci_registry import OciRegistryStub
from mcml.testing.stubs.oci_requests import Handler
from tests.providers.azure.conftest import token

NOBODY = "00000000-0000-0000-0000-000000000000"
MODELS = "azure.containerregistry._generated"


class AcrStub(OciRegistryStub):
    """`requests` is the log; `entra` the tokens that it takes for ours; `role` what they may do."""

    def __init__(self, certificate: Path, key: Path, entra: str, *, page: int = 2, front: str = "") -> None:
        super().__init__(challenge="bearer", page=page)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.RequestHandlerClass = type("Bound", (AcrHandler,), {"stub": self})
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.entra, self.front, self.reads_only = entra, front, False
        self.refresh: set[str] = set()
        self.claims: dict[str, str] = {}

    def __enter__(self) -> "AcrStub":
        """Return itself."""
        return self

    @property
    def url(self) -> str:
        """Its origin, or that of a proxy in front of it."""
        return self.front or super().url.replace("http://", "https://")

    @property
    def host(self) -> str:
        """The login server."""
        return self.url.removeprefix("https://")

    def allow(self, authorization: str, repository: str, action: Literal["pull", "push", "metadata_read"]) -> None:
        """Raise a Refusal with ACR's challenge unless the token is good for it."""
        wanted = f"repository:{repository}:{'pull,push' if action == 'push' else action}" if repository else "registry:catalog:*"
        with self.lock:
            scope, until = self._tokens.get(authorization.removeprefix("Bearer "), ("", 0.0))
        enough = scope == wanted or (action == "pull" and scope == f"repository:{repository}:pull,push")
        if enough and time.monotonic() <= until:
            if action == "push" and self.reads_only:
                raise Refusal(403, "DENIED", "requested access to the resource is denied")
            return
        told = f'Bearer realm="{self.url}/oauth2/token",service="{self.host}",scope="{wanted}"'
        raise Refusal(401, "UNAUTHORIZED", "authentication required, visit https://aka.ms/acr/authorization", **{"WWW-Authenticate": told})

    def exchange(self, form: dict[str, str]) -> dict[str, str]:
        """Give a token of the registry's own for an Entra token."""
        if form.get("grant_type") != "access_token" or form.get("service") != self.host:
            raise Refusal(400, "UNSUPPORTED", "the form is not that of an exchange")
        if form.get("access_token") != self.entra:
            raise Refusal(401, "UNAUTHORIZED", "AADSTS70002: the token is not for us")
        made = token(audience=self.host, lifetime=10_800, **self.claims)
        self.refresh.add(made)
        return {"refresh_token": made}

    def access(self, refresh: str, service: str, scope: str) -> dict[str, str]:
        """Give an access token for one scope."""
        if refresh not in self.refresh or service != self.host or not scope:
            raise Refusal(401, "UNAUTHORIZED", "authentication required")
        made = secrets.token_hex(16)
        with self.lock:
            self._tokens[made] = (scope, time.monotonic() + self.token_seconds)
        return {"access_token": made}

    def attributes(self, name: str, digest: str) -> dict[str, Any]:
        """Return what the API says of a manifest."""
        held = self.repository(name)
        if digest not in held.manifests:
            raise Refusal(404, "MANIFEST_UNKNOWN", f"manifest sha256:{digest} is not found")
        about = json.loads(held.manifests[digest][1])
        when = held.pushed[digest].isoformat().replace("+00:00", "Z")
        tags = sorted(tag for tag, points in held.tags.items() if points == digest)
        size = sum(part["size"] for part in [about["config"], *about["layers"]])
        enabled = {"deleteEnabled": True, "writeEnabled": True, "readEnabled": True, "listEnabled": True}
        told = {"digest": digest, "imageSize": size, "createdTime": when, "lastUpdateTime": when, "changeableAttributes": enabled}
        return {**told, **({"tags": tags} if tags else {})}


class AcrHandler(Handler):
    """One connection."""

    @property
    def acr(self) -> AcrStub:
        """The stub."""
        return cast(AcrStub, self.stub)

    def _route(self, path: str) -> None:
        if path == "/oauth2/exchange" and self.command == "POST":
            self._told("AcrRefreshToken", self.acr.exchange(self._form()))
        elif path == "/oauth2/token":
            self._token()
        elif path.startswith("/acr/v1/") and self.command == "GET":
            self._acr(unquote(path.removeprefix("/acr/v1/")))
        else:
            super()._route(path)

    def _form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self._body.decode()).items()}

    def _token(self) -> None:
        """The client posts a form; the OCI protocol asks with the token as a password."""
        asked, refresh = self._query, ""
        if self.command == "POST":
            asked = self._form()
            refresh = asked.get("refresh_token", "") if asked.get("grant_type") == "refresh_token" else ""
        else:
            plain = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
            user, _, secret = plain.partition(":")
            refresh = secret if user == NOBODY else ""
        self._told("AcrAccessToken", self.acr.access(refresh, asked.get("service", ""), asked.get("scope", "")))

    def _acr(self, path: str) -> None:
        authorization = self.headers.get("Authorization", "")
        if path == "_catalog":
            self.acr.allow(authorization, "", "metadata_read")
            self._listing("repositories", [name for name, held in self.acr.repositories.items() if held.manifests], {})
            return
        name, _, rest = path.partition("/_")
        self.acr.allow(authorization, name, "metadata_read")
        kind, _, which = rest.partition("/")
        about = {"registry": self.acr.host, "imageName": name}
        if kind == "manifests" and not which:
            page, more = self.acr.listing(self.acr.repository(name).manifests, self._query.get("last", ""), self._query.get("n", ""))
            link = {"Link": f'</acr/v1/{quote(path)}?last={quote(page[-1])}&n={len(page)}&orderby=>; rel="next"'} if more else {}
            self._told("AcrManifests", {**about, "manifests": [self.acr.attributes(name, one) for one in page]}, **link)
        elif kind == "manifests":
            self._told("ArtifactManifestProperties", {**about, "manifest": self.acr.attributes(name, which)})
        else:
            digest = self.acr.repository(name).tags.get(which)
            if digest is None:
                raise Refusal(404, "TAG_UNKNOWN", f"tag {which} is not found")
            told = {key: value for key, value in self.acr.attributes(name, digest).items() if key not in ("imageSize", "tags")}
            self._told("ArtifactTagProperties", {**about, "tag": {**told, "name": which}})

    def _told(self, kind: str, answer: dict[str, Any], **headers: str) -> None:
        found = problems(model(MODELS, kind), answer, request=False)
        if found:
            raise Refusal(501, "STUB", "; ".join(found))
        self._json(answer, **headers)
