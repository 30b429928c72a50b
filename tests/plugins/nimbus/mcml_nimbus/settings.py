"""`[providers.nimbus]` of mcml.toml."""

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Settings of the provider; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(default="", description="The cloud's file; empty: one in the project's state folder.")
    owner: str = Field(default="nobody", description="Who we are there.")
