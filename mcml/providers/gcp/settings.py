"""`[providers.gcp]` of mcml.toml."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of the provider; it has none yet, and an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
