"""Registry: images and model packages, found by tag, held by digest."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Artifact:
    """Something in a registry: repository, digest (`sha256:...`), the tags that point at it, its size and when it came."""

    repository: str
    digest: str
    tags: tuple[str, ...]
    size_bytes: int
    pushed: datetime


class Registry(Protocol):
    """A registry of the target."""

    def resolve(self, repository: str, reference: str) -> Artifact:
        """Return what a tag or a digest points at. Raises NotFound."""

    def push(self, repository: str, source: Path, tag: str) -> Artifact:
        """Store a folder or image under a tag; the same content is stored once. Raises NotFound for the source."""

    def tag(self, repository: str, digest: str, tag: str) -> Artifact:
        """Let a tag point at a digest (it moves if it pointed elsewhere). Raises NotFound."""

    def list(self, repository: str = "") -> list[Artifact]:
        """Return what a repository, or the whole registry, holds, newest first."""
