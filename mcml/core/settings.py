"""Read the configuration: default < user file < project file < profile < `MCML_*` < flag, remembering where each value came from."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcml.core.errors import NotFound, Usage, did_you_mean, unknown
from mcml.core.paths import CONFIG_NAME, find_project, state_folder, user_config

if TYPE_CHECKING:
    from pydantic import ValidationError

    from mcml.core.schema import Settings

Layer = dict[str, Any]
CONTROL_VARIABLES = {"MCML_PROFILE", "MCML_ACTOR", "MCML_DEBUG"}
"""`MCML_*` variables that are no settings; every setting is `MCML_` + its path with `__` between the parts (`MCML_STORE__URL`)."""


@dataclass(frozen=True)
class Config:
    """The merged settings, the folder they belong to, the profile in force, and the origin of every value that was set."""

    settings: "Settings"
    project: Path
    profile: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The project's state folder (`.mcml`)."""
        return state_folder(self.project)

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL of the journal."""
        return self.settings.store.url or f"sqlite:///{self.state / 'mcml.db'}"


def load(start: Path, *, profile: str = "", flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Find and merge the configuration for the folder `start`.

    `flags` maps dotted paths to values given on the command line. Raises NotFound without an mcml.toml at or above `start`, Usage
    for a file that is no TOML, an unknown key (with the nearest name), a wrong value or an unknown profile.
    """
    environ = os.environ if environ is None else environ
    project = find_project(start)
    if project is None:
        raise NotFound(f"no {CONFIG_NAME} in {start} or above", why="mcml works inside a project folder, like git", next_step="mcml init")
    merged: Layer = {}
    origins: dict[str, str] = {}
    profiles: dict[str, Layer] = {}
    for path in (user_config(), project / CONFIG_NAME):
        layer = _read(path)
        for name, overlay in layer.pop("profiles", {}).items():
            _merge(profiles.setdefault(name, {}), overlay, {}, "")
        _merge(merged, layer, origins, str(path))
    wanted = profile or environ.get("MCML_PROFILE", "")
    if wanted:
        if wanted not in profiles:
            raise unknown("profile", wanted, profiles, next_step="mcml config show")
        _merge(merged, profiles[wanted], origins, f"profile {wanted}")
    _merge_flat(merged, origins, _from_environment(environ))
    _merge_flat(merged, origins, {path: (value, "flag") for path, value in (flags or {}).items()})
    return Config(_validate(merged, origins), project, wanted, origins)


def _read(path: Path) -> Layer:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise Usage(f"{path} is not valid TOML", why=str(broken), next_step="mend it; see: mcml config example") from broken


def _merge(into: Layer, layer: Layer, origins: dict[str, str], origin: str, prefix: str = "") -> None:
    for key, value in layer.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            existing = into.setdefault(key, {})
            if isinstance(existing, dict):
                _merge(existing, value, origins, origin, f"{path}.")
                continue
        into[key] = value
        origins[path] = origin


def _merge_flat(into: Layer, origins: dict[str, str], values: Mapping[str, tuple[object, str]]) -> None:
    for path, (value, origin) in values.items():
        layer: Layer = {}
        innermost = layer
        *parents, last = path.split(".")
        for part in parents:
            innermost = innermost.setdefault(part, {})
        innermost[last] = value
        _merge(into, layer, origins, origin)


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[object, str]]:
    found: dict[str, tuple[object, str]] = {}
    for variable, text in environ.items():
        if variable.startswith("MCML_") and variable not in CONTROL_VARIABLES:
            parts = variable.removeprefix("MCML_").lower().split("__")
            # TOML names may hold dashes, variables may not: only the names of targets, models and routes have them
            if len(parts) > 1 and parts[0] in ("targets", "models", "routes"):
                parts[1] = parts[1].replace("_", "-")
            found[".".join(parts)] = (_as_toml(text), variable)
    return found


def _as_toml(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _validate(merged: Layer, origins: Mapping[str, str]) -> "Settings":
    from pydantic import ValidationError

    from mcml.core.schema import Settings

    try:
        return Settings.model_validate(merged)
    except ValidationError as wrong:
        why = "\n".join(_explain(wrong, Settings, origins))
        raise Usage("the configuration is wrong", why=why, next_step="mcml config example") from None


def _explain(wrong: "ValidationError", model: Any, origins: Mapping[str, str]) -> Iterator[str]:
    for error in wrong.errors():
        path = ".".join(str(part) for part in error["loc"] if part != "[key]")
        origin = next((where for known, where in origins.items() if known == path or known.startswith(f"{path}.")), "")
        place = f"{_with_line(origin, path)}: " if origin else ""
        if error["type"] == "extra_forbidden":
            hint = did_you_mean(str(error["loc"][-1]), _keys_at(model, error["loc"][:-1]))
            yield f"{place}unknown key {path!r} ({hint})"
        else:
            yield f"{place}{path + ': ' if path else ''}{error['msg'].removeprefix('Value error, ')}"


def _keys_at(model: Any, location: tuple[int | str, ...]) -> list[str]:
    """Follow a path of keys through the models and return the keys that are allowed there."""
    for part in location:
        if hasattr(model, "model_fields"):
            found = model.model_fields.get(str(part))
            model = found.annotation if found else None
        else:
            model = getattr(model, "__args__", (None, None))[-1]  # dict[Name, Target]: any name leads to a Target
    if not hasattr(model, "model_fields"):
        model = getattr(model, "__args__", (None,))[-1]
    return list(getattr(model, "model_fields", {}))


def _with_line(origin: str, path: str) -> str:
    """Add the line of a dotted path to the name of a TOML file, where it can be found."""
    if not origin.endswith(".toml"):
        return origin
    *table, key = path.split(".")
    inside = not table
    for number, line in enumerate(Path(origin).read_text().splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        if header:
            name = header[1].replace('"', "").replace(" ", "")
            inside = name == ".".join(table)
            if name == path:
                return f"{origin}:{number}"
        elif inside and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
            return f"{origin}:{number}"
    return origin
