"""Artifact Registry, repositories of the Docker format: found and listed by its own API, pushed and tagged by the OCI protocol.

https://cloud.google.com/artifact-registry/docs/reference/rest/v1/projects.locations.repositories.dockerImages (it alone knows when
something was pushed); https://cloud.google.com/artifact-registry/docs/docker/authentication#token (`oauth2accesstoken` and a token).

A repository here is REPOSITORY/IMAGE: the first part is a repository of Artifact Registry in the target's region, which a push does not
make, the rest an image in it, which a push makes.
"""

import re
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from mcml.core.errors import InvalidRequest, NotFound, Usage
from mcml.core.secret import Secret
from mcml.providers.api.registry import Artifact, Registry
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.error_table import LOGIN
from mcml.providers.gcp.rpc import plain_time, rpc, rpc_pages, wait_for
from mcml.providers.gcp.session import Session
from mcml.providers.oci import Login, OciRegistry
from mcml.providers.resilience import Policy

USER = "oauth2accesstoken"
SEEN_SECONDS = 60.0
"""How long the API may take to tell of what was just pushed."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


def open_registry(ctx: ProviderContext) -> Registry:
    """Return the Artifact Registry of the project and region."""
    session = Session(ctx, policy=Policy(budget=ctx.budget))
    return GcpRegistry(session, ctx.region, session.settings.endpoint or f"https://{ctx.region}-docker.pkg.dev")


class GcpRegistry:
    """Repositories of one project and region; `url` is where they are pushed to."""

    def __init__(self, session: Session, region: str, url: str) -> None:
        self._session = session
        self._region = region
        self._url = url

    def resolve(self, repository: str, reference: str) -> Artifact:
        """Return what a tag or a digest points at. Raises NotFound."""
        home, image = self._split(repository)
        doing = f"cannot find {reference!r} in repository {repository!r}"
        if _DIGEST.fullmatch(reference):
            return self._artifact(doing, repository, reference)
        if not _TAG.fullmatch(reference):
            raise NotFound(doing, why="no tag can have this name")
        name = f"{self._parent}/repositories/{home}/packages/{quote(image, safe='')}/tags/{reference}"
        found = self._ask(doing, "get_tag", {"name": name})
        return self._artifact(doing, repository, unquote(found.version.rpartition("/")[2]))

    def push(self, repository: str, source: Path, tag: str) -> Artifact:
        """Store a folder or file as an OCI artifact under a tag; the same content is stored once, and a tag that is there moves.

        Raises NotFound for the source and for a repository of Artifact Registry that is not there.
        """
        home, _ = self._split(repository)
        if not source.exists():
            raise NotFound(f"cannot push {source} to repository {repository!r}", why="there is no such folder or file")
        try:
            with self._registry() as registry:
                pushed = registry.push(self._path(repository), source, tag)
        except NotFound as missing:
            missing.next_step = f"gcloud artifacts repositories create {home} --repository-format=docker --location={self._region}"
            raise
        return self._tagged(f"cannot find what was pushed to repository {repository!r}", repository, pushed.digest, tag)

    def tag(self, repository: str, digest: str, tag: str) -> Artifact:
        """Let a tag point at a digest. Raises NotFound, Conflict where tags are immutable."""
        self._split(repository)
        with self._registry() as registry:
            registry.tag(self._path(repository), digest, tag)
        return self._tagged(f"cannot tag {digest[:19]} in repository {repository!r}", repository, digest, tag)

    @property
    def _parent(self) -> str:
        if not self._region:
            raise Usage(
                "Artifact Registry needs a region", why="the target names none", next_step='set region = "europe-west1" of the target'
            )
        return f"projects/{self._session.project()}/locations/{self._region}"

    def _ask(self, doing: str, method: str, request: dict[str, Any]) -> Any:
        from google.cloud.artifactregistry_v1 import ArtifactRegistryClient

        return rpc(self._session, doing, ArtifactRegistryClient, method, request)

    def _pages(self, doing: str, method: str, parent: str, field: str) -> list[Any]:
        from google.cloud.artifactregistry_v1 import ArtifactRegistryClient

        return [*rpc_pages(self._session, doing, ArtifactRegistryClient, method, {"parent": parent, "page_size": 500}, field)]

    def _homes(self) -> list[str]:
        """Return the repositories of Docker format."""
        listed = self._pages("cannot list the repositories", "list_repositories", self._parent, "repositories")
        return [one.name.rpartition("/")[2] for one in listed if one.format_.name == "DOCKER"]

    def _images(self, home: str) -> list[Artifact]:
        try:
            listed = self._pages(
                f"cannot list repository {home!r}", "list_docker_images", f"{self._parent}/repositories/{home}", "docker_images"
            )
        except NotFound:
            return []
        return [_told(one, home) for one in listed]

    def _artifact(self, doing: str, repository: str, digest: str) -> Artifact:
        home, image = self._split(repository)
        name = f"{self._parent}/repositories/{home}/dockerImages/{quote(image, safe='')}@{digest}"
        return _told(self._ask(doing, "get_docker_image", {"name": name}), home)

    def _tagged(self, doing: str, repository: str, digest: str, tag: str) -> Artifact:
        """Return an artifact as soon as the API tells of it with its tag."""

        def look() -> Artifact | None:
            try:
                found = self._artifact(doing, repository, digest)
            except NotFound:
                return None
            return found if tag in found.tags else None

        step = f"gcloud artifacts docker images list {self._region}-docker.pkg.dev/{self._path(repository)} --include-tags"
        return wait_for(self._session, doing, look, patience=SEEN_SECONDS, next_step=step)

    def _split(self, repository: str) -> tuple[str, str]:
        home, _, image = repository.partition("/")
        if not home or not image:
            raise InvalidRequest(f"{repository!r} is no repository", why="it is REPOSITORY/IMAGE, as in models/fraud")
        return home, image

    def _path(self, repository: str) -> str:
        """Return a repository's name in the OCI protocol; a project of a domain is written with a slash there. Raises Usage."""
        return f"{self._parent.split('/')[1].replace(':', '/')}/{repository}"

    def _registry(self) -> closing[OciRegistry]:
        """Return a client whose connections are closed after use."""
        return closing(OciRegistry(self._url, self._login, self._session.policy, login=LOGIN, timeout=self._session.timeout))

    def _login(self) -> Login:
        return Login(USER, Secret(self._session.token("cannot log in to Artifact Registry")[0]))

    def list(self, repository: str = "") -> list[Artifact]:
        """Return what an image, a repository of Artifact Registry (a name without a slash), or the whole region holds, newest first."""
        home, _, image = repository.partition("/")
        homes = [home] if home else self._homes()
        found = [artifact for one in homes for artifact in self._images(one) if not image or artifact.repository == repository]
        return sorted(found, key=lambda artifact: (artifact.pushed, artifact.digest), reverse=True)


def _told(found: Any, home: str) -> Artifact:
    image, _, digest = unquote(found.name.rpartition("/dockerImages/")[2]).rpartition("@")
    return Artifact(f"{home}/{image}", digest, tuple(sorted(found.tags)), int(found.image_size_bytes), plain_time(found.upload_time))
