"""A backend: one place that answers inference requests for one model. Deploy makes them, route sends traffic to them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """One running version of a model on one target.

    `host` and `port` are where it listens; `path` is the base of the v2 protocol there (empty on our own server);
    `version` and `digest` (sha256 of the model package) say what it serves.
    """

    target: str
    model: str
    host: str
    port: int
    provider: str
    region: str
    version: str = ""
    digest: str = ""
    path: str = ""
    tls: bool = False

    @property
    def name(self) -> str:
        """The stable name `model@target`, as it stands in configuration, metrics and the journal."""
        return f"{self.model}@{self.target}"
