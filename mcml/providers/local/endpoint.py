"""ModelEndpoint on this machine: one server process per version, on a port that the target leases."""

import os
import shutil
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, QuotaExceeded, Unavailable, unknown
from mcml.core.files import staged_folder, write_json
from mcml.core.package import folder_digest, read_package
from mcml.core.process import ProcessRef, free_port, port_is_taken
from mcml.providers.api.endpoint import Endpoint, EndpointRequest, InvokeTarget, Variant
from mcml.providers.api.endpoint_size import ReplicaSeries, ReplicaSize
from mcml.providers.api.metrics import MachineMetric
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local import server
from mcml.providers.local.layout import (
    LocalResource,
    endpoint_folder,
    locked,
    read_resource,
    remove_folder,
    root_of,
    safe_name,
    usage_folder,
    write_resource,
)
from mcml.providers.local.size import series_of, size_of, threads_of
from mcml.providers.local.target import PORTS_LOCK, LocalTarget, list_targets, read_target
from mcml.providers.local.usage import run_tags_file
from mcml.providers.local.variant import (
    Run,
    models_on,
    read_run,
    read_weights,
    runs_of,
    runs_on,
    stamp_of,
    variant_folder,
    write_run,
    write_weights,
)


def open_model_endpoint(ctx: ProviderContext) -> "LocalModelEndpoint":
    """Return the endpoints of the context's target."""
    return LocalModelEndpoint(ctx, root_of(ctx), safe_name(ctx.target, "target"))


@dataclass(frozen=True)
class LocalModelEndpoint:
    """Server processes of one target; what is written below the root is all there is to know, so any command finds them again."""

    ctx: ProviderContext
    root: Path
    target: str
    ready_seconds: float = server.READY_SECONDS

    def describe(self, name: str = "") -> list[Endpoint]:
        """Return the endpoint of that name, or all of the target's; each state is looked up now, never remembered."""
        names = [safe_name(name, "model")] if name else models_on(self.root, self.target)
        found = (self._describe(model) for model in names)
        return [endpoint for endpoint in found if endpoint is not None]

    def size(self, resources: Mapping[str, str]) -> ReplicaSize:
        """Return the threads of its one process; memory is not limited."""
        return size_of(resources)

    def machines(self) -> Mapping[str, str]:
        """A replica is a process: it has no machine of its own."""
        return {}

    def series(self, name: str, version: str) -> Mapping[MachineMetric, ReplicaSeries]:
        """Return the series of its process (see `LocalMetrics`)."""
        return series_of(name, version)

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """See `Stamped.stamp`."""
        return stamp_of(self.root, self.target)

    def create(self, request: EndpointRequest) -> Endpoint:
        """Start a version and return when it is ready.

        The package is copied first, so later edits of the source change nothing. A version that runs with this digest is kept (its tags
        are brought up to date), a dead one is started again, on its old port if that is free.
        Raises NotFound when the target is not applied, InvalidRequest when the model does not load, QuotaExceeded when no leased port is
        free, Conflict for the same version with another digest, Unavailable when it is not ready in time (30 s).
        """
        self._applied()
        folder = variant_folder(self.root, self.target, request.name, request.version)
        with locked(self.root, self._lock_name(request.name)):
            run = self._known(folder, request)
            process = server.locate(run) if run else None
            if run is not None and process is not None:
                self._keep(request, run, process)
            else:
                self._run(request, run, folder)
            return self._must_describe(request.name)

    def shift_traffic(self, name: str, weights: Mapping[str, int]) -> Endpoint:
        """Set the traffic share of each version; one that is not named gets none."""
        with locked(self.root, self._lock_name(name)):
            versions = [run.version for run in runs_of(self.root, self.target, name)]
            if not versions:
                raise self._no_endpoint(name)
            for version in weights:
                if version not in versions:
                    raise unknown(f"version of {name}", version, versions, next_step="mcml deploy list")
            if any(weight < 0 for weight in weights.values()) or sum(weights.values()) != 100:
                raise InvalidRequest(
                    f"cannot shift the traffic of {name} on {self.target}",
                    why=f"the shares {dict(weights)} are not 0 to 100 percent that add up to 100",
                )
            write_weights(self.root, self.target, name, {version: weights.get(version, 0) for version in versions})
            return self._must_describe(name)

    def invoke_target(self, name: str, version: str = "") -> InvokeTarget:
        """Return where to send requests: to that version, or to the one with most traffic (the newest of equals)."""
        runs = {run.version: run for run in runs_of(self.root, self.target, safe_name(name, "model"))}
        if not runs:
            raise self._no_endpoint(name)
        if version and version not in runs:
            raise unknown(f"version of {name}", version, runs, next_step="mcml deploy list")
        weights = read_weights(self.root, self.target, name, list(runs))
        chosen = runs[version or max(reversed(list(runs)), key=lambda candidate: weights[candidate])]
        url, path = f"http://{server.HOST}:{chosen.port}", f"/v2/models/{name}/infer"
        return InvokeTarget(url, path, server.READY_PATH, grpc_port=chosen.grpc_port)

    def delete(self, name: str, version: str = "") -> bool:
        """Stop and remove one version, or the whole endpoint; its usage log stays, for the bill."""
        whole = endpoint_folder(self.root, self.target, name)
        if not whole.exists():
            return False
        with locked(self.root, self._lock_name(name)):
            if not version:
                for run in runs_of(self.root, self.target, name):
                    self._stop(run)
                return remove_folder(whole)
            folder = variant_folder(self.root, self.target, name, version)
            run_here = read_run(folder)
            if run_here is not None:
                self._stop(run_here)
            removed = remove_folder(folder)
            self._settle(name)
            return removed

    def _lock_name(self, model: str) -> str:
        return f"endpoint-{self.target}-{safe_name(model, 'model')}"

    def _applied(self) -> LocalTarget:
        target = read_target(self.root, self.target)
        if target is None:
            names = [known.name for known in list_targets(self.root)]
            raise NotFound(
                f"the local target {self.target!r} is not applied",
                why=f"applied: {', '.join(names)}" if names else "no local target is applied",
                next_step="mcml infra apply",
            )
        return target

    def _no_endpoint(self, name: str) -> NotFound:
        return unknown(f"endpoint on {self.target}", name, models_on(self.root, self.target), next_step=f"mcml deploy model {name}")

    def _describe(self, model: str) -> Endpoint | None:
        runs = runs_of(self.root, self.target, model)
        if not runs:
            return None
        weights = read_weights(self.root, self.target, model, [run.version for run in runs])
        variants = tuple(_variant(run, weights[run.version]) for run in runs)
        about = read_resource(endpoint_folder(self.root, self.target, model))
        return Endpoint(model, self.target, variants, dict(about.tags) if about else {})

    def _must_describe(self, model: str) -> Endpoint:
        found = self._describe(model)
        if found is None:
            raise self._no_endpoint(model)
        return found

    def _known(self, folder: Path, request: EndpointRequest) -> Run | None:
        """Return what is written of this version; what a killed `create` left of another digest is cleared away."""
        run = read_run(folder)
        if run is None or run.digest == request.digest:
            return run
        if run.confirmed:
            raise Conflict(
                f"version {request.version} of {request.name} on {self.target} is another model",
                why=f"it has the digest {run.digest[:12]}, the new one {request.digest[:12]}",
                next_step=f"give the new model another version, or: mcml deploy delete {request.name} --target {self.target}",
            )
        self._stop(run)
        remove_folder(folder)
        return None

    def _keep(self, request: EndpointRequest, run: Run, process: ProcessRef) -> None:
        """A version that lives already: wait until it is ready, and bring its tags up to date."""
        server.resume(process)
        if server.wait_ready(process, run.port, self.ready_seconds) != "ready":
            raise self._not_ready(request, run)
        self._write_about(request, run)
        write_run(replace(run, process=process, confirmed=True))
        self._settle(request.name)

    def _copy(self, request: EndpointRequest, folder: Path) -> None:
        """Copy the package into the version's folder, whole or not at all; what is there already has the right digest."""
        if (folder / server.PACKAGE_FOLDER).exists():
            return
        source = _source_of(request)
        remove_folder(folder)
        for leftover in folder.parent.glob(".*.tmp"):  # of a killed command: we hold the lock
            shutil.rmtree(leftover, ignore_errors=True)
        with staged_folder(folder) as stage:
            copy = stage / server.PACKAGE_FOLDER
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".*"), ignore_dangling_symlinks=True)
            if folder_digest(copy) != request.digest:
                raise InvalidRequest(
                    f"cannot deploy {request.name} version {request.version}",
                    why=f"the files in {source} do not have the digest {request.digest[:12]} that was asked for",
                    next_step="let nobody write there, and deploy again",
                )

    def _run(self, request: EndpointRequest, old: Run | None, folder: Path) -> None:
        """Start the process and wait until it is ready; on any failure nothing of a version that never ran is left."""
        refused: set[int] = set()
        try:
            self._copy(request, folder)
            while True:
                since = server.log_size(folder)
                old = run = self._launch(request, old, folder, refused)
                outcome = server.wait_ready(run.process, run.port, self.ready_seconds) if run.process else "gone"
                if outcome == "ready":
                    break
                if outcome == "late":
                    raise self._not_ready(request, run)
                held = {port for port in (run.port, run.grpc_port) if port and port_is_taken(port)}
                if not held:
                    raise self._does_not_start(request, folder, since)
                refused |= held  # somebody was faster: the next port
        except BaseException:
            self._undo(request.name, folder)
            raise
        write_run(replace(run, confirmed=True))
        self._settle(request.name)

    def _launch(self, request: EndpointRequest, old: Run | None, folder: Path, refused: Collection[int]) -> Run:
        """Choose a port and start the process on it; written down before it starts, so that a kill -9 here loses no process."""
        threads = threads_of(request.name, request.resources)
        usage = usage_folder(self.root, self.target, request.name, request.version)
        usage.mkdir(parents=True, exist_ok=True)
        log = usage / f"{self.ctx.clock():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}.jsonl"
        with locked(self.root, PORTS_LOCK):
            port = self._free_port(old, refused)
            created = old.created if old else self.ctx.clock()
            beside = self._port_beside(old, refused)
            argv = server.command_line(folder, request.name, request.version, port, log, threads, grpc_port=beside)
            confirmed = old.confirmed if old else False
            run = Run(folder, request.version, request.digest, port, log, created, argv, None, confirmed, beside)
            self._write_about(request, run)
            write_run(run)
            try:
                process = server.start(run, server.child_environment(os.environ, request.environment, threads))
            except ChildProcessError:  # it is gone already: its log has the reason
                return run
            except OSError as broken:
                raise Unavailable(f"cannot start a process for {request.name} on {self.target}", why=str(broken)) from broken
            run = replace(run, process=process)
            write_run(run)
            return run

    def _free_port(self, old: Run | None, refused: Collection[int]) -> int:
        """Return a leased port that nobody holds: its own old one first, then one that no version has, then one of a dead version."""
        target = self._applied()
        others = [(model, run) for model, run in runs_on(self.root, self.target) if old is None or run.folder != old.folder]
        ours = {run.port: f"{model} {run.version}" for model, run in others if server.locate(run) is not None}
        recorded = {run.port for _, run in others}
        wished = sorted(target.ports, key=lambda port: (old is None or port != old.port, port in recorded))
        for port in wished:
            if port not in ours and port not in refused and not port_is_taken(port):
                return port
        holders = ", ".join(f"{port} ({ours.get(port, 'another program')})" for port in target.ports)
        raise QuotaExceeded(
            f"no port of the local target {self.target!r} is free",
            why=f"it leases {len(target.ports)}: {holders}",
            next_step="delete a version (mcml deploy delete), or raise providers.local.ports_per_target and run: mcml infra apply",
        )

    def _port_beside(self, old: Run | None, refused: Collection[int]) -> int:
        """Return a port for gRPC, its old one first; 0 where gRPC is not installed. It is none of those leased to targets."""
        if find_spec("grpc") is None:
            return 0
        leased = {port for target in list_targets(self.root) for port in target.ports}.union(refused)
        if old and old.grpc_port and old.grpc_port not in leased and not port_is_taken(old.grpc_port):
            return old.grpc_port
        return next(port for port in iter(free_port, 0) if port not in leased)

    def _write_about(self, request: EndpointRequest, run: Run) -> None:
        """Write the tags down twice: with the endpoint, and beside the usage log, which outlives it."""
        folder = endpoint_folder(self.root, self.target, request.name)
        target = self._applied()
        known = read_resource(folder)
        identity = f"{request.name}@{self.target}"
        created = known.created if known else self.ctx.clock()
        write_resource(folder, LocalResource("endpoint", identity, target.region, self.target, created, request.tags))
        write_json(
            run_tags_file(run.usage),
            {
                "model": request.name,
                "version": request.version,
                "digest": request.digest,
                "target": self.target,
                "region": target.region,
                "tags": dict(request.tags),
            },
        )

    def _settle(self, name: str) -> None:
        """Write the shares of the versions that are there; without any, the endpoint is gone."""
        versions = [run.version for run in runs_of(self.root, self.target, name)]
        if versions:
            write_weights(self.root, self.target, name, read_weights(self.root, self.target, name, versions))
        else:
            remove_folder(endpoint_folder(self.root, self.target, name))

    def _undo(self, name: str, folder: Path) -> None:
        run = read_run(folder)
        if run is not None:
            self._stop(run)
            if not run.usage.exists():
                run_tags_file(run.usage).unlink(missing_ok=True)
        if run is None or not run.confirmed:
            remove_folder(folder)
        self._settle(name)

    def _stop(self, run: Run) -> None:
        process = server.locate(run)
        if process is None:
            return
        try:
            server.stop(process)
        except PermissionError as denied:
            raise Conflict(
                f"cannot stop version {run.version} on {self.target}",
                why=f"process {process.pid} belongs to another user",
                next_step=f"ask its owner, or as that user: kill {process.pid}",
            ) from denied

    def _not_ready(self, request: EndpointRequest, run: Run) -> Unavailable:
        return Unavailable(
            f"{request.name} version {request.version} on {self.target} was not ready after {self.ready_seconds:.0f} s",
            why=server.log_tail(run.folder) or "it wrote no log",
            next_step=f"mcml deploy delete {request.name} --target {self.target}",
        )

    def _does_not_start(self, request: EndpointRequest, folder: Path, since: int) -> McmlError:
        return InvalidRequest(
            f"{request.name} version {request.version} does not start on {self.target}",
            why=server.log_tail(folder, since) or "the server ended without a word",
            next_step=f"python -m mcml.serving --model {request.source}",
        )


def _variant(run: Run, weight: int) -> Variant:
    now = server.condition(run)
    return Variant(run.version, run.digest, now.state, weight, f"{server.HOST}:{run.port}", now.detail, run.grpc_port)


def _source_of(request: EndpointRequest) -> Path:
    """Return the folder of the package to deploy. Raises InvalidRequest: a source without a model is a wrong request here."""
    try:
        return read_package(Path(request.source)).folder
    except NotFound as missing:
        raise InvalidRequest(missing.message, why=missing.why, next_step=missing.next_step) from missing
