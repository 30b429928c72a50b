"""What every part of mcml.toml is made of: strict models, names, ports, seconds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]

Port = Annotated[int, Field(strict=True, ge=0, le=65535)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=3600)]

NAMES_ONLY: dict[str, JsonValue] = {"additionalProperties": False}
"""Said in the JSON Schema of a table of names, where pydantic says only what a value looks like under a right name."""


class Strict(BaseModel):
    """Base of all settings: frozen, an unknown key is an error, and so is a number that is none (TOML knows inf and nan)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
