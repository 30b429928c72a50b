"""OCI registries to test on: our stub, and the reference implementation (Debian's package docker-registry) where the machine has it."""

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcml.core.process import free_port

READY_SECONDS = 30.0
PORTS = 3
"""How many ports are tried: between the look at one and its use somebody may take it."""
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
    config, log = folder / "registry.yml", folder / "log"
    for _ in range(PORTS):
        url = f"http://127.0.0.1:{(port := free_port())}"
        config.write_text(_CONFIG.format(root=folder / "store", port=port))
        with log.open("wb") as out:
            server = subprocess.Popen([binary, "serve", str(config)], stdout=out, stderr=out)
        try:
            if _is_ready(server, url):
                yield url
                return
        finally:
            server.kill()
            server.wait()
    raise RuntimeError(f"docker-registry ended with {server.returncode}: {log.read_text()[-2000:]}")


def _is_ready(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until it answers; False when it ended: somebody else has the port, or the configuration is wrong."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(f"{url}/v2/", timeout=5) as answer:
                assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
                return True
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"docker-registry did not start in {READY_SECONDS} s")
