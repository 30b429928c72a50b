"""Jobs: something that runs to its end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True)
class JobRequest:
    """What to run. The same `token` asks for the same job, not for a second one. `image` is empty on a provider without containers.

    `resources` are in the provider's words; `compute` among them names a pool that its `Computes` made, where it has any.
    """

    name: str
    token: str
    command: Sequence[str]
    image: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A job as it is now; `exit_code` once it has ended."""

    id: str
    name: str
    state: JobState
    submitted: datetime
    ended: datetime | None = None
    exit_code: int | None = None
    detail: str = ""


class Jobs(Protocol):
    """Jobs of the target."""

    def submit(self, request: JobRequest) -> Job:
        """Start it. Raises InvalidRequest, QuotaExceeded, NotFound for a compute that is not there."""

    def status(self, job: str) -> Job:
        """Return it as it is now. Raises NotFound."""

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """Yield its output line by line; with `follow` until it ends. Raises NotFound."""

    def cancel(self, job: str) -> Job:
        """Stop it; one that has ended stays as it is. Raises NotFound."""
