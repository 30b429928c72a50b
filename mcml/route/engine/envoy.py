"""Envoy as the engine: its files written whole, its process started, adopted, watched and ended, its admin interface read."""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mcml.core.errors import McmlError, Unavailable
from mcml.core.files import read_json, write_atomic, write_json
from mcml.core.process import free_port
from mcml.core.schema_routes import Router
from mcml.route.access_log import ACCESS_LOG, rotate
from mcml.route.config.access import resources
from mcml.route.config.aside import listeners
from mcml.route.config.evidence import EVIDENCE_FILE
from mcml.route.config.grpc import speakers
from mcml.route.config.listener import TRACING, listener, own_clusters, secrets
from mcml.route.config.start import bootstrap, discovery, flatten
from mcml.route.config.table import clusters_of
from mcml.route.config.upstream import ALONE, Upstream
from mcml.route.config.values import Front, Json
from mcml.route.config.whole import all_clusters, fitted, whole_table
from mcml.route.engine.admin import Admin
from mcml.route.engine.check import Checker, require_sound
from mcml.route.engine.process import LOG, EnvoyProcess, log_lines, start
from mcml.route.engine.seam import Desired
from mcml.route.front.listening import address_of, cannot_listen, require_free
from mcml.route.records import ENGINE_FILE, read_json_object
from mcml.route.weights.observe import GLANCE_PATH, STATS_PATH, Observation, parse

START_SECONDS = 20.0
LISTEN_SECONDS = 5.0
SETTLE_SECONDS = 3.0
"""Longest time from writing a file to Envoy's having it in force; usually milliseconds."""

PRIVATE = ("limits", "keys", "sds", "sds-ca")  # a rate before the key that it is for
"""Files of the listener that only their owner may read."""


class _Made(NamedTuple):
    """What a process is given, and from what it was made."""

    desired: Desired
    clusters: list[Json]
    front: Front
    table: Json


class EnvoyEngine:
    """One Envoy process, fed by files in `folder/xds`. It outlives us: a later engine on the same folder takes it over."""

    def __init__(
        self,
        folder: Path,
        *,
        binary: Path,
        host: str,
        port: int,
        admin_port: int,
        software: str,
        upstream: Upstream = ALONE,
    ) -> None:
        self.folder = folder.resolve()
        self.host = address_of(host)
        self.port = port
        self.process: EnvoyProcess | None = None
        self.adopted = False
        self.tls = False
        self.admin_port = admin_port
        self._binary = binary
        self._software = software
        self._upstream = upstream
        self._xds = self.folder / "xds"
        self._versions: dict[str, str] = {}
        self._in_force: dict[str, str] = {}
        self._clusters: dict[str, Json] = {}
        self._routed: set[str] = set()
        self._applied: Desired | None = None
        self._speakers: frozenset[str] = frozenset()  # backends whose cluster for gRPC Envoy has
        self._unsettled = 0.0
        self._checker = Checker(binary, self.folder / "flat.json")
        self._admin: Admin | None = None
        self._glanced = ""
        self._log_limits = Front("", 0, "").log_size, Front("", 0, "").logs_kept

    # --- start and end

    def start(self, desired: Desired) -> None:
        """See `Engine.start`. A port of 0 becomes a free one, and stays that."""
        if self.process is not None:
            self._kill()  # dead, or it hangs
        elif self._adopt():
            self.adopted = True  # it keeps the weights it has until the first reading
            return
        if self.process is not None:
            self.adopted = True
            self.hand_over(desired)
            return
        self.port = self.port or free_port()
        self.admin_port = self.admin_port or free_port()
        require_free("router", self.host, self.port)
        require_free("Envoy admin", "127.0.0.1", self.admin_port)
        try:
            self._write_all(self._make(desired))
            self._spawn()
            self._wait_ready()
            self._checker.wait()
        except OSError as failed:
            raise self._not_started(f"cannot start {self._binary}: {failed}") from failed
        except BaseException:
            self._kill()
            raise
        finally:
            self._checker.close()

    def move(self, router: Router, desired: Desired) -> bool:
        """See `Engine.move`."""
        before = self.host, self.port, self.admin_port
        wanted = address_of(router.host), router.port or self.port, router.admin_port or self.admin_port
        if wanted == before:
            return False
        if wanted[:2] != before[:2]:
            require_free("router", *wanted[:2])
        if wanted[2] != before[2]:
            require_free("Envoy admin", "127.0.0.1", wanted[2])
        self.host, self.port, self.admin_port = wanted
        try:
            self.hand_over(desired)
        except McmlError:
            self.host, self.port, self.admin_port = before
            self._remember()
            raise
        return True

    def hand_over(self, desired: Desired) -> None:
        """Start a new Envoy beside the one that runs, which gives it its sockets, ends what it has begun, and goes.

        Raises McmlError when the new one does not start; the old one serves on.
        """
        elder = self.process
        made = self._make(desired)
        self._checker.wait()  # the elder reads the same files
        self._write_all(made)
        self._close_admin()
        try:
            self._spawn(elder)
            self._wait_ready()
        except (OSError, McmlError) as failed:
            if self.process is not None and self.process is not elder:
                self.process.give_up()
            self.process = elder
            self._remember()
            raise self._not_started(f"the proxy cannot be replaced, the one before serves on: {failed}") from failed

    def _adopt(self) -> bool:
        """Take over the Envoy of an earlier `serve`. False when there is none, or one that is to be replaced: that is `process` then."""
        known = read_json_object(self.folder / ENGINE_FILE)
        self.process = EnvoyProcess.from_json(known)
        if self.process is None:
            return False
        wanted = self.port, self.admin_port
        with suppress(Unavailable, ValueError, KeyError, TypeError, OSError):
            self.admin_port = int(known["admin_port"])
            self.observe()
            self.port = self.port or int(known["port"])
            self.admin_port = wanted[1] or self.admin_port
            same = (self.host, self.port) == (known["host"], known["port"])
            if not same:
                require_free("router", self.host, self.port)
            if self._read_back() and same:
                return True
            if self.process.base_id:
                return False
        self._close_admin()
        self.port, self.admin_port = wanted
        self._kill()
        return False

    def _read_back(self) -> bool:
        """Learn from its files what the running Envoy was given; False when its static part is another than ours."""
        if read_json(self._xds / "bootstrap.json") != self._bootstrap():
            return False
        cds, rds, lds = (read_json(self._xds / f"{name}.json") for name in ("cds", "rds", "lds"))
        self._clusters = {cluster["name"]: cluster for cluster in cds["resources"]}
        self._routed = clusters_of(rds["resources"][0]) | {TRACING}
        self._versions = {name: str(found["version_info"]) for name, found in (("cds", cds), ("rds", rds), ("lds", lds))}
        return True

    def _spawn(self, heir: "EnvoyProcess | None" = None) -> None:
        """Start Envoy; with `heir`, beside a running one whose sockets and counters it takes over."""
        self.process = start(self._binary, self.folder, self._xds / "bootstrap.json", heir=heir)
        self._remember()

    def _remember(self) -> None:
        where = {"host": self.host, "port": self.port, "admin_port": self.admin_port}
        if self.process is not None:
            write_json(self.folder / ENGINE_FILE, {**self.process.as_json(), **where}, durable=False)

    def _wait_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self._checker.look()
            if not self.alive():
                self._checker.wait()  # it has better words
                raise self._not_started("Envoy ended while it started")
            with suppress(Unavailable):
                if self._is_live():
                    return self._check_listener()
            time.sleep(0.02)
        raise self._not_started(f"Envoy was not ready after {START_SECONDS:g} s")

    def _is_live(self) -> bool:
        """Tell whether our Envoy is ready: where one replaces another, the elder may still answer on the same port."""
        with suppress(ValueError, KeyError, TypeError):
            about = json.loads(self._ask().get("/server_info"))
            epoch = int(about["command_line_options"].get("restart_epoch", 0))
            if self.process and epoch == self.process.epoch:
                return bool(about["state"] == "LIVE")
        self._close_admin()  # a connection to the elder stays with the elder
        return False

    def _not_started(self, message: str) -> McmlError:
        words = [line.split("] ")[-1] for line in log_lines(self.folder)[-3:]]
        return McmlError(message, why="\n".join(words), next_step=f"see {self.folder / LOG}")

    def _check_listener(self) -> None:
        """An Envoy that could not listen is 'ready' all the same; on a busy machine it may also just not have come to it yet."""
        end = time.monotonic() + LISTEN_SECONDS
        while not self.observe().versions.get("lds"):
            self._checker.look()
            if time.monotonic() > end:
                raise cannot_listen("router", self.host, self.port, self.complaint())
            time.sleep(0.02)

    def alive(self) -> bool:
        """See `Engine.alive`."""
        return self.process is not None and self.process.alive()

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
        self._close_admin()
        if self.process is not None:
            self.process.end(grace=3.0)
            self.process = None

    def _close_admin(self) -> None:
        if self._admin:
            self._admin.close()
            self._admin = None

    # --- configuration

    def apply(self, desired: Desired) -> None:
        """See `Engine.apply`. A cluster stays until no route in force names it: Envoy answers 503 for a name it does not have."""
        settled = self._settled()
        if settled and desired == self._applied:
            return
        wanted = {cluster["name"]: cluster for cluster in self._wanted(desired)}
        needed = {name for name in self._clusters if not settled or name in self._routed}
        clusters = {**{name: self._clusters[name] for name in needed}, **wanted}
        front = self._front(desired)
        table = self._table(desired, front)
        require_sound(list(clusters.values()), table, self._listeners(front))
        self._clusters = clusters
        self._write("cds", [clusters[name] for name in sorted(clusters)])
        self._routed = _named(table, front)
        self._write("rds", [table])
        self._applied = desired if needed <= wanted.keys() else None  # None: there are clusters to clear away next time
        if self._in_force.get("cds") == self._versions["cds"] or not own_clusters(front):
            self._write_front(front)
        else:
            self._applied = None  # a listener that names a cluster before Envoy knows it is refused: it waits for the next time

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

    def _make(self, desired: Desired) -> _Made:
        """Put together all that a new process is to be given, and let Envoy begin to check it as one configuration."""
        clusters, front = self._wanted(desired), self._front(desired)
        self._speakers = speakers(cluster["name"] for cluster in clusters)
        table = self._table(desired, front)
        inline = {"extensions": list(resources(front).values()), "secrets": list(secrets(front).values())}
        self._checker.begin(flatten(self._bootstrap(), self._listeners(front), clusters, table, **inline))
        return _Made(desired, clusters, front, table)

    def _write_all(self, made: _Made) -> None:
        """Write every file for a new process."""
        self._versions, self._in_force, self._applied = {}, {}, made.desired
        self._clusters = {cluster["name"]: cluster for cluster in made.clusters}
        self._routed = _named(made.table, made.front)
        write_json(self._xds / "bootstrap.json", self._bootstrap(), durable=False)
        self._write_front(made.front)
        self._write("cds", made.clusters)
        self._write("rds", [made.table])

    def _write_front(self, front: Front) -> None:
        """Write the listener, and before it what it is going to look for; only we and Envoy may read what holds keys."""
        private = {**resources(front), **secrets(front)}
        self._log_limits = front.log_size, front.logs_kept
        self.tls = front.identity is not None
        for name in PRIVATE:
            if name in private:
                self._write(name, [private[name]], mode=0o600)
            else:
                self._versions.pop(name, None)
                (self._xds / f"{name}.json").unlink(missing_ok=True)
        self._write("lds", self._listeners(front), mode=0o600)

    def _write(self, name: str, resources: list[Json], *, mode: int = 0o644) -> None:
        version = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]
        if self._versions.get(name) == version:
            return
        body = json.dumps(discovery(version, resources)).encode()
        write_atomic(self._xds / f"{name}.json", body, mode=mode, durable=False)
        self._versions[name] = version

    def rewrite(self) -> None:
        """See `Engine.rewrite`."""
        self._versions = {}

    def _wanted(self, desired: Desired) -> list[Json]:
        return all_clusters(desired.backends, desired.plans, desired.front, self._upstream)

    def _front(self, desired: Desired) -> Front:
        log, evidence = str(self.folder / ACCESS_LOG), str(self.folder / EVIDENCE_FILE)
        return fitted(replace(desired.front, host=self.host, port=self.port), desired.plans, access_log=log, evidence=evidence)

    def _table(self, desired: Desired, front: Front) -> Json:
        return whole_table(desired.backends, desired.plans, front, software=self._software, ready=desired.ready, speakers=self._speakers)

    def _listeners(self, front: Front) -> list[Json]:
        return [listener(front, str(self._xds)), *listeners(front.aside)]

    def _bootstrap(self) -> Json:
        return bootstrap(self.admin_port, str(self._xds))

    # --- what it says

    def _ask(self) -> Admin:
        self._admin = self._admin or Admin(self.admin_port)
        return self._admin

    def changed(self) -> bool:
        """See `Engine.changed`."""
        if self._applied is None or any(self._in_force.get(name) != version for name, version in self._versions.items()):
            return True
        before, self._glanced = self._glanced, ""
        with suppress(Unavailable, ValueError):
            self._glanced = self._ask().get(GLANCE_PATH)
        return self._glanced != before or not before

    def observe(self) -> Observation:
        """See `Engine.observe`."""
        observation = parse(self._ask().get("/clusters?format=json"), self._ask().get(STATS_PATH))
        self._in_force = dict(observation.versions)
        spoken = frozenset(name for name, seen in observation.backends.items() if seen.grpc)
        if spoken != self._speakers:
            self._speakers, self._applied = spoken, None
        return observation

    def versions(self) -> dict[str, str]:
        """See `Engine.versions`."""
        return dict(self._versions)

    def complaint(self) -> str:
        """See `Engine.complaint`."""
        lines = [line for line in log_lines(self.folder) if "rejected" in line or "error adding listener" in line or "config" in line]
        return lines[-1].split("] ")[-1] if lines else ""

    def tidy(self) -> None:
        """See `Engine.tidy`: an access log that is too large is set aside."""
        with suppress(OSError, Unavailable):
            rotate(self.folder / ACCESS_LOG, *self._log_limits, lambda: self._ask().post("/reopen_logs"))


def _named(table: Json, front: Front) -> set[str]:
    """Return the clusters that a route table or the listener name."""
    return clusters_of(table) | {cluster["name"] for cluster in own_clusters(front)}
