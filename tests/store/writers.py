"""Processes that write to a store: real ones, forked from one that has imported everything, so that a hundred of them are cheap."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import defaultdict
from types import TracebackType
from typing import IO


class Writers:
    """Start writers, kill them, and read what each acknowledged: a line is written after `append` has returned."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MCML_")}
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert self._process.stdin
        assert self._process.stdout
        self._orders: IO[bytes] = self._process.stdin
        self._lines: IO[bytes] = self._process.stdout
        self._marks = 0
        self.acknowledged: dict[int, list[int]] = defaultdict(list)
        self.ended: dict[int, str] = {}
        self._order(mark=0)
        self._read_until("0 mark 0")

    def __enter__(self) -> "Writers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._orders.close()
        self._process.wait(30)
        self._lines.close()

    def start(self, url: str, *, count: int = 10**9, at: float = 0.0, nobody: bool = False) -> int:
        """Start a writer of `count` facts at the monotonic time `at`, as the user nobody if asked (and we may); return its pid."""
        self._order(url=url, count=count, at=at, nobody=nobody)
        return int(self._read_until("started").split()[0])

    def together(self, url: str, writers: int, count: int) -> list[str]:
        """Run writers that begin at the same moment; return how each ended: `done` or an error."""
        at = time.monotonic() + 0.1
        pids = [self.start(url, count=count, at=at) for _ in range(writers)]
        return [self.wait(pid) for pid in pids]

    def wait(self, pid: int) -> str:
        """Wait until a writer has ended and return how."""
        while pid not in self.ended:
            self._read()
        return self.ended[pid]

    def kill(self, pid: int) -> list[int]:
        """Kill a writer with SIGKILL and return the rows that it acknowledged before."""
        os.kill(pid, signal.SIGKILL)
        self._marks += 1
        self._order(mark=self._marks)  # what comes through the pipe after the mark was written after the kill: nothing of this writer
        self._read_until(f"0 mark {self._marks}")
        return self.acknowledged[pid]

    def _order(self, **order: object) -> None:
        self._orders.write(json.dumps(order).encode() + b"\n")
        self._orders.flush()

    def _read_until(self, end: str) -> str:
        while not (line := self._read()).endswith(end):
            pass
        return line

    def _read(self) -> str:
        line = self._lines.readline().decode().rstrip("\n")
        if not line:
            raise EOFError("the writers are gone")
        pid, _, said = line.partition(" ")
        if said.isdigit():
            self.acknowledged[int(pid)].append(int(said))
        elif said != "started":
            self.ended[int(pid)] = said
        return line


def _serve() -> None:
    from mcml.store.db import Store

    with Store("sqlite://") as warm, Store("postgresql://"):  # what it imports on use is imported once, here, and not by every fork
        warm.append()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        if "mark" in order:
            _say(0, f"mark {order['mark']}")
        elif (pid := os.fork()) == 0:
            try:
                _write(**order)
            finally:
                os._exit(0)
        else:
            _say(pid, "started")


def _write(url: str, count: int, at: float, nobody: bool) -> None:
    from mcml.core.errors import McmlError
    from mcml.core.fact import Fact
    from mcml.store.db import Store

    pid = os.getpid()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(120)  # whatever happens to the test, this process ends
    if nobody and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    time.sleep(max(at - time.monotonic() - 0.002, 0))
    while time.monotonic() < at:
        pass
    ended = "BUG: its traceback is above"
    try:
        with Store(url) as store:
            for number in range(count):
                (entry,) = store.append(Fact("test.written", "test", facts={"pid": pid, "number": number}, actor="writer"))
                _say(pid, str(entry.seq))
        ended = "done"
    except McmlError as failed:
        ended = f"{type(failed).__name__}: {failed} | {failed.why} | {failed.next_step}"
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        _say(pid, ended.replace("\n", " "))


def _say(pid: int, text: str) -> None:
    os.write(1, f"{pid} {text}\n".encode())


if __name__ == "__main__":
    _serve()
