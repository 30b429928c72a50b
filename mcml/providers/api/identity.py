"""Identity: who mcml is at a provider."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Who:
    """The account, project or subscription, the principal that acts in it, and how it was authenticated."""

    account: str
    principal: str
    method: str


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what, whether it is right, and the command that mends it when it is not."""

    name: str
    ok: bool
    detail: str = ""
    fix: str = ""


class Identity(Protocol):
    """Used by `doctor` and before every change."""

    def whoami(self) -> Who:
        """Return who we are. Raises NotAuthenticated, Unavailable."""

    def check(self) -> list[Check]:
        """Look at everything this provider needs (credentials, folders, limits); never raises for a failed check."""
