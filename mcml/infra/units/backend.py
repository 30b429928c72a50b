"""A backend of Terraform as a value: its kind, its settings, and where in it the state of a workspace lies (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BackendKind = Literal["s3", "gcs", "azurerm"]

KINDS: Mapping[str, BackendKind] = {"aws": "s3", "gcp": "gcs", "azure": "azurerm"}
SCHEMES: Mapping[BackendKind, str] = {"s3": "s3", "gcs": "gs", "azurerm": "az"}


@dataclass(frozen=True)
class Backend:
    """A backend of Terraform and its settings in Terraform's words, of one unit. Never a secret."""

    kind: BackendKind
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, object]:
        """The block `terraform { backend ... }` in Terraform's JSON syntax."""
        return {"terraform": {"backend": {self.kind: dict(self.settings)}}}

    @property
    def cloud(self) -> str:
        """The cloud whose store it is."""
        return next(cloud for cloud, kind in KINDS.items() if kind == self.kind)

    @property
    def bucket(self) -> str:
        """The bucket or container."""
        return str(self.settings.get("container_name" if self.kind == "azurerm" else "bucket") or "")

    def key(self, environment: str) -> str:
        """The object that holds the state of one workspace, as each backend names it."""
        match self.kind:
            case "gcs":  # backend/remote-state/gcs/backend_state.go
                return f"{str(self.settings.get('prefix') or '').strip('/')}/{environment}.tfstate".lstrip("/")
            case "azurerm":  # backend/remote-state/azure/backend_state.go
                return f"{self.settings['key']}{'' if environment == 'default' else f'env:{environment}'}"
            case _:  # backend/remote-state/s3/backend_state.go
                prefix = self.settings.get("workspace_key_prefix") or "env:"
                return str(self.settings["key"]) if environment == "default" else f"{prefix}/{environment}/{self.settings['key']}"

    def address(self, environment: str) -> str:
        """Where the state of one workspace is, as a URL that `mcml data` takes."""
        return f"{SCHEMES[self.kind]}://{self.bucket}/{self.key(environment)}"
