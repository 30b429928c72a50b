"""What a router leaves in its folder for other commands: who serves, how it stands (once a second), and the last decisions."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import NotFound
from mcml.core.files import read_json, write_atomic, write_json
from mcml.core.process import ProcessRef, is_alive
from mcml.route.overrides import to_json

if TYPE_CHECKING:
    from mcml.route.weights.decide import Decision

KEPT_DECISIONS = 500
SERVE_FILE = "serve.json"
ENGINE_FILE = "engine.json"
STATUS_FILE = "status.json"
DECISIONS_FILE = "decisions.jsonl"


@dataclass(frozen=True)
class Running:
    """A router that runs: its process, where it listens, the routes it serves, Envoy's admin port, and the port of the status page (0: it
    has none)."""

    process: ProcessRef
    host: str
    port: int
    admin_port: int
    routes: tuple[str, ...]
    control_port: int = 0
    tls: bool = False

    @property
    def control_url(self) -> str:
        """Where the status page is; empty when there is none."""
        return f"http://127.0.0.1:{self.control_port}" if self.control_port else ""

    @property
    def address(self) -> str:
        """The host to connect to from this machine."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read, not listened on

    @property
    def url(self) -> str:
        """Where clients on this machine reach it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def write_running(folder: Path, running: Running) -> None:
    """Say who serves; its readers trust the process and not the file."""
    about = asdict(running)
    about.update(about.pop("process"))
    write_json(folder / SERVE_FILE, about)


def read_running(folder: Path) -> Running | None:
    """Return the router that runs in this folder; None when there is none, also when a dead one left its file."""
    about = read_json_object(folder / SERVE_FILE)
    try:
        process = ProcessRef(int(about["pid"]), float(about["started"]))
        ports = int(about["port"]), int(about["admin_port"])
        control, tls = int(about.get("control_port", 0)), bool(about.get("tls", False))
        running = Running(process, str(about["host"]), *ports, tuple(about["routes"]), control, tls)
    except (KeyError, TypeError, ValueError):
        return None
    return running if is_alive(process) else None


def read_engine(folder: Path) -> ProcessRef | None:
    """Return the proxy process of this folder if it lives; without a router it goes on with the last weights."""
    about = read_json_object(folder / ENGINE_FILE)
    try:
        process = ProcessRef(int(about["pid"]), float(about["started"]))
    except (KeyError, TypeError, ValueError):
        return None
    return process if is_alive(process) else None


def forget(folder: Path) -> None:
    """Remove the files that say that something runs."""
    for name in (SERVE_FILE, ENGINE_FILE):
        (folder / name).unlink(missing_ok=True)


def write_status(folder: Path, status: Mapping[str, object]) -> None:
    """Replace the status in one step. Not flushed to disk: it is a second old at most, or of no use."""
    write_atomic(folder / STATUS_FILE, json.dumps(status, default=str).encode(), durable=False)


def read_status(folder: Path) -> dict[str, Any]:
    """Return the last status. Raises NotFound when no router ever ran here."""
    status = read_json_object(folder / STATUS_FILE)
    if not status:
        raise NotFound("no router has run in this project", next_step="mcml route serve")
    return status


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one when there is none, or the file is broken."""
    with suppress(ValueError):
        found = read_json(path)
        if isinstance(found, dict):
            return found
    return {}


class DecisionLog:
    """The last decisions, one JSON object a line, oldest first; the file stays below twice `KEPT_DECISIONS` lines."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DECISIONS_FILE
        self._lines = sum(1 for _ in _lines(self._path))

    def append(self, decision: "Decision") -> None:
        """Add a decision."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as log:
            log.write(json.dumps(decision_json(decision)) + "\n")
        self._lines += 1
        if self._lines >= 2 * KEPT_DECISIONS:
            kept = list(_lines(self._path))[-KEPT_DECISIONS:]
            write_atomic(self._path, ("\n".join(kept) + "\n").encode(), durable=False)
            self._lines = len(kept)


def decision_json(decision: "Decision") -> dict[str, Any]:
    """Turn a decision into JSON values."""
    overrides = [to_json(one) for one in decision.overrides]
    return {**asdict(decision), "at": rfc3339(decision.at), "weights": decision.weights, "overrides": overrides}


def read_decisions(folder: Path, *, route: str = "", until: datetime | None = None) -> list[dict[str, Any]]:
    """Return decisions, oldest first: of one route or all, made at or before `until`."""
    found = []
    for line in _lines(folder / DECISIONS_FILE):
        with suppress(ValueError):  # a line cut short by a crash
            decision = json.loads(line)
            if (not route or decision["route"] == route) and (until is None or parse_rfc3339(decision["at"]) <= until):
                found.append(decision)
    return found


def decision_of(at: datetime, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decision as it stands in the journal (a fact `route.weights`) like one of the file; an old one has no scores."""
    known: dict[str, Any] = {"model": facts.get("route", ""), "last_resort": False, "overrides": [], "backends": [], "ceiling": ""}
    return {**known, **facts, "at": rfc3339(at)}


def _lines(path: Path) -> Iterator[str]:
    with suppress(FileNotFoundError), path.open() as log:
        yield from (line.rstrip("\n") for line in log)
