"""Values for the shell's TAB: from the project's files only, never from the network, and never an error."""

import sqlite3
import tomllib
from pathlib import Path
from typing import Any

from mcml.core.paths import CONFIG_NAME, find_project, state_folder


def complete_target(incomplete: str) -> list[str]:
    """Complete the name of a target of mcml.toml."""
    return _named("targets", incomplete)


def complete_model(incomplete: str) -> list[str]:
    """Complete the name of a model of mcml.toml."""
    return _named("models", incomplete)


def complete_route(incomplete: str) -> list[str]:
    """Complete the name of a route of mcml.toml."""
    return _named("routes", incomplete)


def complete_key(incomplete: str) -> list[str]:
    """Complete the name of an API key of the router."""
    rows = _rows("SELECT DISTINCT name FROM route_key WHERE revoked_at IS NULL ORDER BY name LIMIT 50")
    return [str(name) for (name,) in rows if str(name).startswith(incomplete)]


def complete_incident(incomplete: str) -> list[tuple[str, str]]:
    """Complete the id of an unresolved incident, with its title."""
    rows = _rows("SELECT id, title FROM incident WHERE state <> 'resolved' ORDER BY id DESC LIMIT 50")
    return [(f"INC-{number}", str(title)) for number, title in rows if f"INC-{number}".startswith(incomplete.upper())]


def _rows(query: str) -> list[tuple[Any, ...]]:
    """Ask the project's own SQLite file, read-only; nothing where there is none."""
    project = find_project(Path.cwd())
    path = state_folder(project) / "mcml.db" if project else None
    if path is None or not path.is_file():
        return []
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.2)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return []


def complete_unit(incomplete: str) -> list[str]:
    """Complete a unit of `mcml infra`, or the cloud or layer of some."""
    infra = _table("infra")
    clouds, layers = infra.get("clouds", {}), ("network", "cluster", "data", "ml")
    made = [f"{cloud}-{layer}" for cloud, about in clouds.items() for layer in about.get("layers", layers)]
    words = ["local", *clouds, *(layers if clouds else ()), *made, *infra.get("units", {})]
    return [word for word in words if word.startswith(incomplete)]


def complete_provider(incomplete: str) -> list[str]:
    """Complete the name of an installed provider."""
    from mcml.providers import discovery

    return [name for name in discovery.names() if name.startswith(incomplete)]


def complete_address(incomplete: str) -> list[str]:
    """Complete the scheme of an object's URL (of every installed provider), or a path of this machine."""
    from mcml.providers import discovery
    from mcml.providers.api.spec import ProviderSpec

    offered = sorted({f"{scheme}://" for _, spec in discovery.specs() if isinstance(spec, ProviderSpec) for scheme in spec.schemes})
    if "://" in incomplete:
        return []
    folder, _, beginning = incomplete.rpartition("/")
    try:
        found = sorted(Path(folder or ("/" if incomplete.startswith("/") else ".")).iterdir())
    except OSError:
        found = []
    paths = [f"{incomplete[: len(incomplete) - len(beginning)]}{path.name}{'/' if path.is_dir() else ''}" for path in found]
    return [word for word in [*offered, *paths] if word.startswith(incomplete)]


def _named(table: str, incomplete: str) -> list[str]:
    return sorted(name for name in _table(table) if name.startswith(incomplete))


def _table(name: str) -> dict[str, Any]:
    """Return a table of mcml.toml; an empty one outside of a project, or where the file is broken."""
    project = find_project(Path.cwd())
    if project is None:
        return {}
    try:
        found = tomllib.loads((project / CONFIG_NAME).read_text()).get(name, {})
    except (tomllib.TOMLDecodeError, OSError):
        return {}
    return found if isinstance(found, dict) else {}
