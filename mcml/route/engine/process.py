"""The process that is Envoy: started, handed over to a younger one without closing a socket, ended with everything it left."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcml.core.process import ProcessRef, is_alive, spawn_orphan, stop, wait_gone

DRAIN_SECONDS = 10
"""How long an Envoy that hands over tells its clients to come back on a new connection, before it closes those that are idle."""

HANDOVER_SECONDS = 60
"""How long it goes on with requests that were under way; then it ends."""

BASE_SECONDS = 10.0
"""How long Envoy may take to say by which number a younger one can find it."""

LOG = "envoy.log"
LOG_BYTES = 16_384

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Envoy puts what it shares with a younger one


@dataclass(frozen=True)
class EnvoyProcess:
    """One Envoy: its process, the number by which a younger one finds it (empty: it cannot be replaced), how many came before it, and those
    of them that still end what they had begun."""

    ref: ProcessRef
    base_id: str = ""
    epoch: int = 0
    elders: tuple[ProcessRef, ...] = ()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.ref.pid

    def alive(self) -> bool:
        """Tell whether it lives."""
        return is_alive(self.ref)

    def end(self, *, grace: float) -> None:
        """End it and those before it, and remove what they shared."""
        for one in (self.ref, *self.elders):
            stop(one, grace=grace)
            wait_gone(one, 0.0)
        if self.base_id:
            with suppress(OSError):  # Envoy itself leaves it behind
                (SHARED_MEMORY / f"envoy_shared_memory_{int(self.base_id) * 10}").unlink(missing_ok=True)

    def give_up(self) -> None:
        """End it alone: those before it serve on."""
        stop(self.ref, grace=0.0)
        wait_gone(self.ref, 0.0)

    def as_json(self) -> dict[str, object]:
        """Return what `from_json` reads."""
        elders = [[one.pid, one.started] for one in self.elders if is_alive(one)]
        return {"pid": self.ref.pid, "started": self.ref.started, "base_id": self.base_id, "epoch": self.epoch, "elders": elders}

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> "EnvoyProcess | None":
        """Return the Envoy that a file tells of, when it lives."""
        try:
            ref = ProcessRef(int(about["pid"]), float(about["started"]))
            elders = tuple(ProcessRef(int(pid), float(started)) for pid, started in about.get("elders", ()))
            found = cls(ref, str(about.get("base_id", "")), int(about.get("epoch", 0)), elders)
        except (KeyError, TypeError, ValueError):
            return None
        return found if found.alive() else None


def start(binary: Path, folder: Path, bootstrap: Path, *, heir: EnvoyProcess | None) -> EnvoyProcess:
    """Start Envoy in a session of its own; with `heir`, as the one that takes over from it.

    Raises OSError when it cannot be started, ChildProcessError when it is gone at once.
    """
    argv = [str(binary), "-c", str(bootstrap), "--reject-unknown-dynamic-fields", "--log-level", "warning"]
    argv += ["--component-log-level", "misc:error"]  # else ten lines at each change of a key: that its filter is young
    argv += ["--file-flush-interval-msec", "1000"]
    argv += ["--drain-time-s", str(DRAIN_SECONDS), "--parent-shutdown-time-s", str(HANDOVER_SECONDS), "--drain-strategy", "immediate"]
    said = folder / "envoy.base"
    if heir is None:
        said.unlink(missing_ok=True)
        argv += ["--use-dynamic-base-id", "--base-id-path", str(said)]
    else:
        argv += ["--base-id", heir.base_id, "--restart-epoch", str(heir.epoch + 1)]
    _raise_file_limit()
    # Envoy asks the kernel to end it with its parent, but it is to outlive us
    ref = spawn_orphan(argv, log=folder / LOG, cwd=folder)
    if heir is not None:
        return EnvoyProcess(ref, heir.base_id, heir.epoch + 1, (heir.ref, *heir.elders))
    return EnvoyProcess(ref, _base_id(said, ref))


def log_lines(folder: Path) -> list[str]:
    """Return the last lines of what Envoy said; none where it said nothing."""
    with suppress(OSError), (folder / LOG).open("rb") as log:
        log.seek(0, 2)
        log.seek(max(0, log.tell() - LOG_BYTES))
        return log.read().decode(errors="replace").splitlines()
    return []


def _base_id(said: Path, ref: ProcessRef) -> str:
    """Wait until Envoy has chosen its number."""
    end = time.monotonic() + BASE_SECONDS
    while time.monotonic() < end and is_alive(ref):
        with suppress(OSError):
            if found := said.read_text().strip():
                return found
        time.sleep(0.005)
    return ""


def _raise_file_limit() -> None:
    """Let the process we start hold as many connections as the machine allows it (the soft limit is often 1024)."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
