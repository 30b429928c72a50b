"""Registry on Amazon ECR: its own API for what is there and when it came, the OCI protocol (`providers.oci`) for pushing and tagging.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/Welcome.html. A repository is made by the first push into it (private, tags may
move). The login of the OCI side is GetAuthorizationToken's, which holds twelve hours and is kept in memory until shortly before its end.
"""

import base64
import builtins
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mcml.core.errors import Conflict, NotFound
from mcml.core.secret import Secret
from mcml.providers.api.registry import Artifact, Registry
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import OURS, tag_list
from mcml.providers.oci import Login, OciRegistry
from mcml.providers.resilience import Policy

RENEW_BEFORE = timedelta(minutes=10)
PAGE = 1000
_REFERENCE = re.compile(r"sha256:[0-9a-f]{64}|[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_REPOSITORY = re.compile(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*")


def open_registry(ctx: ProviderContext) -> Registry:
    """Return the registry of the account in the region."""
    return EcrRegistry(Session(ctx, policy=Policy(budget=ctx.budget)))


class EcrRegistry:
    """The private registry of one account and region. `page` is how many items a listing asks for at once (1,000 at most)."""

    def __init__(self, session: Session, *, page: int = PAGE) -> None:
        self._session, self._page = session, page
        self._lock = threading.Lock()
        self._known: tuple[str, Login, datetime] | None = None
        self._oci: OciRegistry | None = None

    def resolve(self, repository: str, reference: str) -> Artifact:
        """Return what a tag or a digest points at. Raises NotFound."""
        doing = f"cannot find {reference!r} in repository {repository!r}"
        if not _REFERENCE.fullmatch(reference) or not _REPOSITORY.fullmatch(repository):
            raise NotFound(doing, why="no artifact can have this name")
        key = "imageDigest" if reference.startswith("sha256:") else "imageTag"
        asked = {"repositoryName": repository, "imageIds": [{key: reference}]}
        (found,) = self._session.call(doing, lambda: self._session.client("ecr").describe_images(**asked))["imageDetails"]
        return _artifact(repository, found)

    def push(self, repository: str, source: Path, tag: str) -> Artifact:
        """Store a folder (dot-files left out) or a file under a tag, in a repository that is made if it is not there.

        Raises NotFound for the source, InvalidRequest for an empty folder or a bad name, Conflict where the tag may not move.
        """
        try:
            pushed = self._registry().push(repository, source, tag)
        except NotFound:
            if not source.exists():
                raise
            self._create(repository)
            pushed = self._registry().push(repository, source, tag)
        return self.resolve(repository, pushed.digest)

    def tag(self, repository: str, digest: str, tag: str) -> Artifact:
        """Let a tag point at a digest; it moves if it pointed elsewhere. Raises NotFound, Conflict where the tag may not move."""
        self._registry().tag(repository, digest, tag)
        return self.resolve(repository, digest)

    def list(self, repository: str = "") -> builtins.list[Artifact]:
        """Return what a repository, or the whole registry, holds, newest first; a repository that is not there holds nothing."""
        names = [repository] if repository else [one["repositoryName"] for one in self._repositories()]
        found = [artifact for name in names for artifact in self._artifacts(name)]
        return sorted(found, key=lambda one: (one.pushed, one.repository, one.digest), reverse=True)

    def close(self) -> None:
        """Close the connections of the OCI side."""
        if self._oci is not None:
            self._oci.close()

    def _repositories(self) -> Iterator[Any]:
        asked = {"maxResults": self._page}
        return self._pages("cannot list the repositories", "describe_repositories", "repositories", asked)

    def _artifacts(self, repository: str) -> builtins.list[Artifact]:
        doing, asked = f"cannot list repository {repository!r}", {"repositoryName": repository, "maxResults": self._page}
        try:
            return [_artifact(repository, one) for one in self._pages(doing, "describe_images", "imageDetails", asked)]
        except NotFound:
            return []

    def _pages(self, doing: str, operation: str, result: str, asked: dict[str, Any]) -> Iterator[Any]:
        return paged(self._session, doing, "ecr", operation, result, **{**asked, "token": "nextToken"})

    def _create(self, repository: str) -> None:
        doing = f"cannot create repository {repository!r}"
        asked = {"repositoryName": repository, "tags": tag_list(OURS)}
        with suppress(Conflict):  # somebody was faster, or the answer to our own call was lost
            self._session.call(doing, lambda: self._session.client("ecr").create_repository(**asked))

    def _registry(self) -> OciRegistry:
        address, _ = self._login()
        with self._lock:
            if self._oci is None:
                session = self._session
                login = session.login_command()
                self._oci = OciRegistry(address, lambda: self._login()[1], session.policy, login=login, timeout=session.timeout)
            return self._oci

    def _login(self) -> tuple[str, Login]:
        """Return the registry's address and how to log in there; asked for when there is none, or it ends soon."""
        with self._lock:
            if self._known is None or self._known[2] - RENEW_BEFORE <= self._session.ctx.clock():
                doing = "cannot log in to the registry"
                answer = self._session.call(doing, lambda: self._session.client("ecr").get_authorization_token())
                (given,) = answer["authorizationData"]
                user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
                self._known = (given["proxyEndpoint"], Login(user, Secret(password)), given["expiresAt"])
            return self._known[0], self._known[1]


def _artifact(repository: str, found: Any) -> Artifact:
    tags = tuple(sorted(found.get("imageTags", ())))
    return Artifact(repository, found["imageDigest"], tags, found.get("imageSizeInBytes", 0), found["imagePushedAt"].astimezone(UTC))
