"""OCI registries to test on: our stub, and the reference implementation (Debian's package docker-registry) where the machine has it."""

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

READY_SECONDS = 30.0
_CONFIG = """
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {root}}}
http:
  addr: 127.0.0.1:{port}
"""


@contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    """Run the reference implementation over a folder; yield its origin. Skips where it is not installed."""
    binary = shutil.which("docker-registry")
    if binary is None:
        pytest.skip("no docker-registry on PATH (Debian package docker-registry)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "registry.yml"
    config.write_text(_CONFIG.format(root=folder / "store", port=port))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([binary, "serve", str(config)], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(server, url, folder / "log")
        yield url
    finally:
        server.kill()
        server.wait(10)


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()[-2000:]  # somebody else has the port, or the configuration is wrong
        try:
            with urllib.request.urlopen(f"{url}/v2/", timeout=5) as answer:
                assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
                return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"docker-registry did not start in {READY_SECONDS} s")
