"""Envoy as the engine: its files written whole, its process started, adopted, watched and ended, its admin interface read."""

import errno
import hashlib
import json
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

from mcml.core.errors import Conflict, McmlError, Unavailable
from mcml.core.files import read_json, write_atomic, write_json
from mcml.core.process import ProcessRef, free_port, is_alive, spawn_detached, stop, wait_gone
from mcml.route import config
from mcml.route.admin import Admin
from mcml.route.engine import Desired
from mcml.route.observe import STATS_FILTER, Observation, parse
from mcml.route.records import ENGINE_FILE, read_engine

START_SECONDS = 20.0
LISTEN_SECONDS = 5.0
SETTLE_SECONDS = 3.0
"""Longest time from writing a file to Envoy's having it in force; usually milliseconds."""

ACCESS_LOG_LIMIT = 64 * 1024 * 1024
"""Bytes above which the access log is set aside; one old one is kept."""

STATS_PATH = "/stats?" + urlencode({"format": "json", "histogram_buckets": "detailed", "filter": STATS_FILTER})


class EnvoyEngine:
    """One Envoy process, fed by files in `folder/xds`. It outlives us: a later engine on the same folder takes it over."""

    def __init__(self, folder: Path, *, binary: Path, host: str, port: int, admin_port: int, software: str) -> None:
        self.folder = folder.resolve()
        self.host = "127.0.0.1" if host == "localhost" else host  # Envoy listens on addresses only
        self.port = port
        self.process: ProcessRef | None = None
        self.adopted = False
        self.admin_port = admin_port
        self._binary = binary
        self._software = software
        self._xds = self.folder / "xds"
        self._versions: dict[str, str] = {}
        self._in_force: dict[str, str] = {}
        self._clusters: dict[str, config.Json] = {}
        self._routed: set[str] = set()
        self._applied: Desired | None = None
        self._unsettled = 0.0
        self._validated = ""
        self._admin: Admin | None = None

    # --- start and end

    def start(self, desired: Desired) -> None:
        """See `Engine.start`. A port of 0 becomes a free one, and stays that."""
        if self.process is not None:
            self._kill()  # dead, or it hangs
        elif self._adopt():
            self.adopted = True  # it keeps the weights it has until the first reading
            return
        self.port = self.port or free_port()
        self.admin_port = self.admin_port or free_port()
        require_free("router", self.host, self.port)
        require_free("Envoy admin", "127.0.0.1", self.admin_port)
        self._write_all(desired)
        try:
            self._spawn()
            self._wait_ready()
        except OSError as failed:
            raise self._not_started(f"cannot start {self._binary}: {failed}") from failed
        except BaseException:
            self._kill()
            raise

    def _adopt(self) -> bool:
        """Take over the Envoy of an earlier `serve` if it runs with the same listener; end it if it runs with another."""
        self.process = read_engine(self.folder)
        if self.process is None:
            return False
        wanted = self.port, self.admin_port
        with suppress(Unavailable, ValueError, KeyError, TypeError, OSError):
            known = read_json(self.folder / ENGINE_FILE)
            if known["host"] == self.host and self.port in (0, known["port"]) and self.admin_port in (0, known["admin_port"]):
                self.port, self.admin_port = int(known["port"]), int(known["admin_port"])
                self.observe()
                self._read_back()
                return True
        self.port, self.admin_port = wanted
        self._kill()
        return False

    def _read_back(self) -> None:
        """Learn from its files what the running Envoy was given. Raises ValueError when it was started in another way than ours."""
        cds, rds, lds = (read_json(self._xds / f"{name}.json") for name in ("cds", "rds", "lds"))
        if lds["resources"] != [self._listener()] or read_json(self._xds / "bootstrap.json") != self._bootstrap():
            raise ValueError("another listener")
        self._clusters = {cluster["name"]: cluster for cluster in cds["resources"]}
        self._routed = _routed(rds["resources"][0])
        self._versions = {"cds": str(cds["version_info"]), "rds": str(rds["version_info"])}

    def _spawn(self) -> None:
        argv = [str(self._binary), "-c", str(self._xds / "bootstrap.json"), "--reject-unknown-dynamic-fields", "--disable-hot-restart"]
        argv += ["--log-level", "warning", "--file-flush-interval-msec", "1000"]
        _raise_file_limit()
        self.process = spawn_detached(argv, log=self.folder / "envoy.log", cwd=self.folder)
        about = {"pid": self.process.pid, "started": self.process.started, "host": self.host, "port": self.port}
        write_json(self.folder / ENGINE_FILE, {**about, "admin_port": self.admin_port}, durable=False)

    def _wait_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if not self.alive():
                raise self._not_started("Envoy ended while it started")
            with suppress(Unavailable):
                if self._ask().get("/ready").startswith("LIVE"):
                    return self._check_listener()
            time.sleep(0.02)
        raise self._not_started(f"Envoy was not ready after {START_SECONDS:g} s")

    def _not_started(self, message: str) -> McmlError:
        words = [line.split("] ")[-1] for line in self._log_lines()[-3:]]
        return McmlError(message, why="\n".join(words), next_step=f"see {self.folder / 'envoy.log'}")

    def _check_listener(self) -> None:
        """An Envoy that could not listen is 'ready' all the same; on a busy machine it may also just not have come to it yet."""
        end = time.monotonic() + LISTEN_SECONDS
        while not self.observe().versions.get("lds"):
            if time.monotonic() > end:
                raise cannot_listen("router", self.host, self.port, self.complaint())
            time.sleep(0.02)

    def alive(self) -> bool:
        """See `Engine.alive`."""
        return self.process is not None and is_alive(self.process)

    def stop(self, *, drain: float) -> None:
        """See `Engine.stop`."""
        if self.alive():
            with suppress(Unavailable, ValueError):
                self._ask().post("/healthcheck/fail")  # from now on every answer says `connection: close`
                self._ask().post("/drain_listeners")
                end = time.monotonic() + drain
                while time.monotonic() < end and self.observe().active_requests:
                    time.sleep(0.05)
        self._kill()
        (self.folder / ENGINE_FILE).unlink(missing_ok=True)

    def _kill(self) -> None:
        if self._admin:
            self._admin.close()
            self._admin = None
        if self.process is not None:
            stop(self.process, grace=3.0)
            self._reap()
            self.process = None

    def _reap(self) -> None:
        if self.process is not None:
            wait_gone(self.process, 0.0)

    # --- configuration

    def apply(self, desired: Desired) -> None:
        """See `Engine.apply`. A cluster stays until no route in force names it: Envoy answers 503 for a name it does not have."""
        settled = self._settled()
        if settled and desired == self._applied:
            return
        wanted = {cluster["name"]: cluster for cluster in config.clusters(desired.backends)}
        needed = {name for name in self._clusters if not settled or name in self._routed}
        self._clusters = {**{name: self._clusters[name] for name in needed}, **wanted}
        self._write("cds", [self._clusters[name] for name in sorted(self._clusters)])
        table = config.routes(desired.plans, software=self._software, ready=desired.ready)
        self._routed = _routed(table)
        self._write("rds", [table])
        self._write("lds", [self._listener()])
        self._applied = desired if needed <= wanted.keys() else None  # None: there are clusters to clear away next time

    def _settled(self) -> bool:
        """Tell whether what we wrote is in force; where it is not for long (somebody else wrote there), it is written again."""
        if all(self._in_force.get(name) == version for name, version in self._versions.items()) and self._versions:
            self._unsettled = 0.0
            return True
        now = time.monotonic()
        self._unsettled = self._unsettled or now
        if now - self._unsettled > SETTLE_SECONDS:
            self._versions, self._unsettled = {}, 0.0
        return False

    def _write_all(self, desired: Desired) -> None:
        """Write every file for a new process, after Envoy itself has checked them as one configuration."""
        clusters = config.clusters(desired.backends)
        table = config.routes(desired.plans, software=self._software, ready=desired.ready)
        self._validate(config.flatten(self._bootstrap(), [self._listener()], clusters, table))
        self._versions, self._in_force, self._applied = {}, {}, desired
        self._clusters = {cluster["name"]: cluster for cluster in clusters}
        self._routed = _routed(table)
        write_json(self._xds / "bootstrap.json", self._bootstrap(), durable=False)
        self._write("lds", [self._listener()])
        self._write("cds", clusters)
        self._write("rds", [table])

    def _write(self, name: str, resources: list[config.Json]) -> None:
        version = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]
        if self._versions.get(name) == version:
            return
        body = json.dumps(config.discovery(version, resources)).encode()
        write_atomic(self._xds / f"{name}.json", body, durable=False)
        self._versions[name] = version

    def rewrite(self) -> None:
        """See `Engine.rewrite`."""
        self._versions = {}

    def _validate(self, whole: config.Json) -> None:
        """Let Envoy check a configuration. Raises McmlError with Envoy's own words."""
        text = json.dumps(whole, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest == self._validated:
            return
        path = self.folder / "flat.json"
        write_atomic(path, text.encode(), durable=False)
        validate(self._binary, path)
        self._validated = digest

    def _bootstrap(self) -> config.Json:
        return config.bootstrap(self.admin_port, str(self._xds))

    def _listener(self) -> config.Json:
        return config.listener(config.Front(self.host, self.port, str(self.folder / "access.log")), str(self._xds))

    # --- what it says

    def _ask(self) -> Admin:
        self._admin = self._admin or Admin(self.admin_port)
        return self._admin

    def observe(self) -> Observation:
        """See `Engine.observe`."""
        observation = parse(self._ask().get("/clusters?format=json"), self._ask().get(STATS_PATH))
        self._in_force = dict(observation.versions)
        return observation

    def complaint(self) -> str:
        """See `Engine.complaint`."""
        lines = [line for line in self._log_lines() if "rejected" in line or "error adding listener" in line or "config" in line]
        return lines[-1].split("] ")[-1] if lines else ""

    def _log_lines(self) -> list[str]:
        with suppress(OSError), (self.folder / "envoy.log").open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - 16_384))
            return log.read().decode(errors="replace").splitlines()
        return []

    def tidy(self) -> None:
        """See `Engine.tidy`: an access log that is too large is set aside, in place of the one before."""
        log = self.folder / "access.log"
        with suppress(OSError, Unavailable):
            if log.stat().st_size > ACCESS_LOG_LIMIT:
                log.replace(log.with_suffix(".log.1"))
                self._ask().post("/reopen_logs")


def validate(binary: Path, path: Path) -> None:
    """Let Envoy check one static configuration file (0.1 to 0.5 s). Raises McmlError with Envoy's own words."""
    argv = [str(binary), "--mode", "validate", "-c", str(path), "--reject-unknown-dynamic-fields", "--log-level", "error"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise McmlError("Envoy refuses the configuration", why=words[-1].split("] ")[-1] if words else "", next_step=f"see {path}")


def require_free(what: str, host: str, port: int) -> None:
    """Check that an address can be listened on (port 0: any will do). Raises Conflict with the system's reason."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failed:
            held = failed.errno == errno.EADDRINUSE
            raise cannot_listen(what, host, port, "another program holds that port" if held else str(failed.strerror)) from failed


def cannot_listen(what: str, host: str, port: int, why: str) -> Conflict:
    """Build the error for an address that the router cannot have."""
    return Conflict(
        f"the {what} cannot listen on {host}:{port}",
        why=why,
        next_step="mcml route serve --port 0   (takes a free one), or set router.port in mcml.toml",
    )


def _routed(table: config.Json) -> set[str]:
    """Return the clusters that a route table names."""
    actions = [one.get("route", {}) for host in table["virtual_hosts"] for one in host["routes"]]
    return {cluster["name"] for action in actions for cluster in action.get("weighted_clusters", {}).get("clusters", ())}


def _raise_file_limit() -> None:
    """Let the process we start hold as many connections as the machine allows it (the soft limit is often 1024)."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
