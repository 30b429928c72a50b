"""DuckDB, opened the one way we want it: no network, no extensions, UTC, its errors told as ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any

from mcml.core.errors import McmlError


@contextmanager
def connected(what: str, *, scratch: Path | None = None, memory: str = "") -> Iterator[Any]:
    """Yield a connection to an empty database in memory; what does not fit (into `memory`, as `600MB`) goes to `scratch`.

    An error of DuckDB becomes a McmlError that says `what` failed (a full disk and a sum beyond 14 digits by name).
    """
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": str(scratch) if scratch else "",
            **({"memory_limit": memory} if memory else {}),
        },
    )
    try:
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        yield connection
    except duckdb.OutOfRangeException as beyond:
        raise McmlError(what, why=f"a sum has more than 14 digits before the point: {_first_line(beyond)}") from beyond
    except duckdb.Error as failed:
        raise McmlError(what, why=_first_line(failed), next_step="free some space, then try again" if _is_full(failed) else "") from failed
    finally:
        connection.close()


def sql(template: str, **parts: str) -> str:
    """Fill the ${names} of a statement with SQL text. Every part is our own text, or went through `literal` or `identifier`."""
    return Template(template).substitute(parts)


def literal(text: str) -> str:
    """Quote a text as a SQL literal, for the places where DuckDB takes no parameter."""
    return "'" + text.replace("'", "''") + "'"


def path_literal(path: Path | str) -> str:
    """Quote a path for a reader of DuckDB, to which `*`, `?` and `[` would be wildcards."""
    return literal("".join(f"[{character}]" if character in "*?[" else character for character in str(path)))


def identifier(name: str) -> str:
    """Quote a column's name."""
    return '"' + name.replace('"', '""') + '"'


def _first_line(failed: Exception) -> str:
    return str(failed).strip().split("\n", 1)[0]


def _is_full(failed: Exception) -> bool:
    return "No space left" in str(failed) or "could not write" in str(failed).lower()
