"""What Envoy itself says of a configuration: asked before one that serves is given it, or while a new one starts with it."""

import hashlib
import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from mcml.core.errors import InvalidRequest, McmlError
from mcml.core.files import write_atomic
from mcml.route.config.sound import faults
from mcml.route.config.values import Json

SECONDS = 60.0


class Check:
    """An `envoy --mode validate` of one static configuration file, begun at once (0.1 to 0.5 s; more for hundreds of backends)."""

    def __init__(self, binary: Path, path: Path) -> None:
        argv = [str(binary), "--mode", "validate", "-c", str(path), "--reject-unknown-dynamic-fields", "--log-level", "error"]
        self._path = path
        self._said: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed with the check
        self._child: subprocess.Popen[bytes] | None = subprocess.Popen(argv, stdout=self._said, stderr=self._said)
        self._end = time.monotonic() + SECONDS

    def look(self) -> bool:
        """Tell whether it is over, and the configuration good. Raises McmlError with Envoy's own words when it is not."""
        if self._child is None:
            return True
        code = self._child.poll()
        if code is None and time.monotonic() < self._end:
            return False
        self._said.seek(0)
        words = self._said.read().decode(errors="replace").strip().splitlines()
        self.close()
        if code == 0:
            return True
        if code is None or code < 0:
            how = f"took more than {SECONDS:g} s" if code is None else f"was ended by signal {-code}"
            raise McmlError("Envoy could not check the configuration", why=f"its check {how}", next_step="mcml route serve")
        raise McmlError("Envoy refuses the configuration", why=words[-1].split("] ")[-1] if words else "", next_step=f"see {self._path}")

    def wait(self) -> None:
        """Wait for the end. Raises as `look` does."""
        while not self.look():
            time.sleep(0.01)

    def close(self) -> None:
        """End it, whatever it would have said."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
            self._said.close()


def validate(binary: Path, path: Path) -> None:
    """Let Envoy check one static configuration file. Raises McmlError with Envoy's own words."""
    Check(binary, path).wait()


def require_sound(clusters: Sequence[Json], table: Json, listeners: Sequence[Json]) -> None:
    """Look at a configuration before any of it is written (see `config.sound`). Raises InvalidRequest with what cannot be right."""
    found = faults(clusters, table, listeners)
    if found:
        raise InvalidRequest("a configuration of the proxy was not written", why="; ".join(found[:3]), next_step="mcml route explain")


class Checker:
    """Checks configurations as values; one that was good is not checked again."""

    def __init__(self, binary: Path, path: Path) -> None:
        self._binary = binary
        self._path = path
        self._good = self._asked = ""
        self._check: Check | None = None

    def begin(self, whole: Json) -> None:
        """Begin to check a configuration. It holds keys, so only its owner may read the file."""
        text = json.dumps(whole, sort_keys=True)
        self._asked = hashlib.sha256(text.encode()).hexdigest()
        self.close()
        if self._asked != self._good:
            write_atomic(self._path, text.encode(), mode=0o600, durable=False)
            self._check = Check(self._binary, self._path)

    def look(self) -> bool:
        """Tell whether the configuration was found good. Raises McmlError when it was not; its file stays, to look at."""
        if self._check is None:
            return True
        try:
            done = self._check.look()
        except McmlError:
            self._check = None
            raise
        if done:
            self._good, self._check = self._asked, None
            self._path.unlink()
        return done

    def wait(self) -> None:
        """Wait until it was. Raises as `look` does."""
        while not self.look():
            time.sleep(0.01)

    def close(self) -> None:
        """End a check that is under way."""
        if self._check is not None:
            self._check.close()
            self._check = None
            with suppress(FileNotFoundError):
                self._path.unlink()
