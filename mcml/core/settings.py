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


IN_PROFILE = ", profile "
"""Stands between the file and the profile's name in an origin."""


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
        """The SQLAlchemy URL of the journal; a relative path of an SQLite file begins at the project."""
        url = self.settings.store.url
        if not url:
            return f"sqlite:///{_in_url(self.state)}/mcml.db"
        scheme, _, path = url.partition(":///")
        if scheme.startswith("sqlite") and path and not path.startswith(("/", ":memory:", "file:")):
            return f"{scheme}:///{_in_url(self.project)}/{path}"
        return url


def _in_url(folder: Path) -> str:
    return str(folder).replace("%", "%25").replace("?", "%3F")  # the two that mean something in this part of a URL


def load(start: Path, *, profile: str = "", flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Find and merge the configuration for the folder `start`.

    `flags` maps dotted paths to values given on the command line. Raises NotFound without an mcml.toml at or above `start`, Usage
    for a file that is no TOML, an unknown key (with the nearest name) or a wrong value, NotFound for an unknown profile.
    """
    environ = os.environ if environ is None else environ
    project = find_project(start)
    if project is None:
        raise NotFound(f"no {CONFIG_NAME} in {start} or above", why="mcml works inside a project folder, like git", next_step="mcml init")
    merged: Layer = {}
    origins: dict[str, str] = {}
    profiles: dict[str, list[tuple[Layer, str]]] = {}
    for path in (user_config(), project / CONFIG_NAME):
        layer = _read(path)
        for name, overlay in _take_profiles(layer, path):
            profiles.setdefault(name, []).append((overlay, f"{path}{IN_PROFILE}{name}"))
        _merge(merged, layer, origins, str(path))
    wanted = profile or environ.get("MCML_PROFILE", "")
    if wanted:
        if wanted not in profiles:
            raise unknown("profile", wanted, profiles, next_step="mcml config show")
        for overlay, origin in profiles[wanted]:
            _merge(merged, overlay, origins, origin)
    _merge_flat(merged, origins, _from_environment(environ))
    _merge_flat(merged, origins, {path: (value, "flag") for path, value in (flags or {}).items()})
    return Config(_validate(merged, origins), project, wanted, origins)


def _read(path: Path) -> Layer:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as unreadable:
        raise Usage(f"cannot read {path}", why=str(unreadable), next_step=f"ls -l {path}") from unreadable
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise Usage(f"{path} is not valid TOML", why=str(broken), next_step="mend it; see: mcml config example") from broken


def _take_profiles(layer: Layer, path: Path) -> list[tuple[str, Layer]]:
    profiles = layer.pop("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(overlay, dict) for overlay in profiles.values()):
        raise Usage(f"the profiles in {path} are wrong", why="a profile is a table: [profiles.NAME]", next_step="mcml config example")
    return list(profiles.items())


def _merge(into: Layer, layer: Layer, origins: dict[str, str], origin: str, prefix: str = "") -> None:
    for key, value in layer.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            if not isinstance(into.get(key), dict):
                _forget(origins, path)
                into[key] = {}
            if not value:
                origins.setdefault(path, origin)
            _merge(into[key], value, origins, origin, f"{path}.")
        else:
            _forget(origins, path)
            into[key] = value
            origins[path] = origin


def _forget(origins: dict[str, str], path: str) -> None:
    for known in [known for known in origins if _is_in(known, path)]:
        del origins[known]


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
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text  # text of more than one line may happen to be more TOML


def _validate(merged: Layer, origins: Mapping[str, str]) -> "Settings":
    from pydantic import ValidationError

    from mcml.core.schema import Settings

    try:
        return Settings.model_validate(merged)
    except ValidationError as wrong:
        why = "\n".join(_explain(wrong, Settings, origins))
        raise Usage("the configuration is wrong", why=why, next_step="mcml config example") from None


def _explain(wrong: "ValidationError", model: Any, origins: Mapping[str, str]) -> Iterator[str]:
    from mcml.core.schema_base import NAME_PATTERN

    for error in wrong.errors():
        named = getattr(error.get("ctx", {}).get("error"), "path", None)  # an error that knows its place better than pydantic
        path = named or ".".join(str(part) for part in error["loc"] if part != "[key]")
        place = place_of(path, origins)
        place = f"{place}: " if place else ""
        if error["type"] == "extra_forbidden":
            known = _keys_at(model, error["loc"][:-1]) + ([] if len(error["loc"]) > 1 else ["profiles"])
            yield f"{place}unknown key {path!r} ({did_you_mean(str(error['loc'][-1]), known)})"
        elif error.get("ctx", {}).get("pattern") == NAME_PATTERN:
            yield f"{place}{path}: a name is 1 to 63 of a-z, 0-9 and dashes, with no dash at its ends"
        else:
            said = error["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")  # TOML has no tuples
            yield f"{place}{'' if named or not path else f'{path}: '}{said}"


def place_of(path: str, origins: Mapping[str, str]) -> str:
    """Return where a value was set, with its line in a file; empty when it is a default."""
    origin = _origin_of(path, origins)
    return _with_line(origin, path) if origin else ""


def _origin_of(path: str, origins: Mapping[str, str]) -> str:
    """Return where a path, something below it, or else its nearest parent (when a key is missing) was set."""
    while path:
        for known, origin in origins.items():
            if _is_in(known, path):
                return origin
        path = path.rpartition(".")[0]
    return origins.get("", "")


def _is_in(path: str, table: str) -> bool:
    return path == table or path.startswith(f"{table}.")


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
    """Add the line of a dotted path, or of the nearest table around it, to the name of a TOML file."""
    file, _, profile = origin.partition(IN_PROFILE)
    if not file.endswith(".toml"):
        return origin
    lines = _lines(Path(file).read_text(encoding="utf-8"))
    path = f"profiles.{profile}.{path}" if profile else path
    while path:
        for known, number in lines.items():
            if _is_in(known, path):
                return f"{file}:{number}"
        path = path.rpartition(".")[0]
    return file


def _lines(toml: str) -> dict[str, int]:
    """Return the line on which each table and each key of a TOML text begins."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(toml.splitlines(), 1):
        if header := re.match(r"\s*\[{1,2}([^\[\]]+)\]{1,2}\s*(#.*)?$", line):
            table = _plain_path(header[1])
            found.setdefault(table, number)
        elif key := re.match(r"\s*([\w.\"' -]+?)\s*=", line):
            found.setdefault(_plain_path(f"{table}.{key[1]}" if table else key[1]), number)
    return found


def _plain_path(toml: str) -> str:
    return re.sub(r"[\"'\s]", "", toml)
