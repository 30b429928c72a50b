"""Moto for the tests: `moto_launcher.py` in a process of its own, on a port of its own."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

LAUNCHER = Path(__file__).with_name("moto_launcher.py")
READY_SECONDS = 60


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a moto server and give its address. It is ours: its process lives, and it knows our proof."""
    proof, out = uuid4().hex, folder / "out"
    with out.open("wb") as log, (folder / "err").open("wb") as errors:
        argv = [sys.executable, str(LAUNCHER), proof]
        server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=errors)
    try:
        url = f"http://127.0.0.1:{_port(server, out)}"
        with urllib.request.urlopen(f"{url}/proof", timeout=10) as answer:
            assert answer.read().decode() == proof
        yield url
        assert server.poll() is None, (folder / "err").read_text()[-2000:]
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.kill()
        server.wait(10)


def _port(server: subprocess.Popen[bytes], out: Path) -> int:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        assert server.poll() is None, out.with_name("err").read_text()[-2000:]
        if (said := out.read_text()).endswith("\n"):
            return int(said)
        time.sleep(0.02)
    raise TimeoutError(f"moto did not start in {READY_SECONDS} s")
