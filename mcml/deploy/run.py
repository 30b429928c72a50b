"""Carry a deploy plan out: all targets at once, each in order (start, verify, shift, stop the old); what fails on one hides no other."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from mcml.core.errors import Interrupted, McmlError, PartlyDone, StillRunning, TimeUp, said
from mcml.core.fact import Fact
from mcml.core.fanout import ask_all
from mcml.core.onnx_inputs import read_inputs
from mcml.core.package import MODEL_FILE, ModelPackage
from mcml.core.plan import Plan, Step
from mcml.core.report import Reporter
from mcml.deploy.plan import Resources
from mcml.deploy.verify import verify
from mcml.deploy.verify_grpc import verify_grpc
from mcml.providers.api.endpoint import EndpointRequest, ModelEndpoint

SETTLE_SECONDS = 2.0
"""How long an old version goes on after its traffic was taken away: a router looks once a second."""

Record = Callable[[Fact], object]


@dataclass(frozen=True)
class Work:
    """What a deploy needs: the plan, the package, the open endpoints by target, the tags, where facts and progress go, whether a route
    of the model speaks gRPC, and what it is given on each target."""

    plan: Plan
    model: str
    package: ModelPackage | None
    endpoints: Mapping[str, ModelEndpoint]
    record: Record
    reporter: Reporter
    tags: Mapping[str, str] = field(default_factory=dict)
    grpc: bool = False
    resources: Resources = field(default_factory=dict)


def run(work: Work) -> dict[str, McmlError | None]:
    """Carry out a plan on all its targets at once; return, per changed target, None or its error.

    Raises PartlyDone when one of several targets failed, the error itself when there is but one.
    """
    by_target: dict[str, list[Step]] = {}
    for step in work.plan.changes:
        by_target.setdefault(step.target, []).append(step)
    if not by_target:
        return {}
    results = _all_targets(work, by_target)
    _raise_failures(work.model, results)
    return results


def _all_targets(work: Work, by_target: Mapping[str, list[Step]]) -> dict[str, McmlError | None]:
    """Work on every target in a thread of its own; a person who stops waiting is told what is done and what is not."""
    results: dict[str, McmlError | None] = {}

    def one(target: str) -> None:
        results[target] = _one_target(work, target, by_target[target])

    try:
        failed = ask_all({target: partial(one, target) for target in by_target}).failed
    except KeyboardInterrupt as stopped:  # what the threads are at is found again by the next run
        raise _stopped(work.model, results, by_target, stopped) from None
    return {target: failed.get(target) or results[target] for target in by_target}


def _stopped(
    model: str, results: Mapping[str, McmlError | None], by_target: Mapping[str, list[Step]], cause: BaseException
) -> McmlError:
    done = [target for target in by_target if target in results and results[target] is None]
    open_ = [target for target in by_target if target not in results]
    kind = StillRunning if isinstance(cause, TimeUp) else Interrupted
    return kind(
        f"{model}: done on {', '.join(done) or 'no target'}, half-done on {', '.join(open_)}",
        why="--timeout ran out" if kind is StillRunning else "interrupted",
        next_step=f"mcml deploy model {model}",
    )


def _one_target(work: Work, target: str, steps: list[Step]) -> McmlError | None:
    began = time.monotonic()
    deleting = all(step.kind == "endpoint" for step in steps)
    about: dict[str, object] = {"model": work.model, "plan": work.plan.digest}
    if work.package:
        about |= {"version": str(steps[0].values.get("version", "")), "digest": work.package.digest}
    previous = [str(step.values["version"]) for step in steps if step.action == "delete" and "version" in step.values]
    work.reporter.start(target, f"{'removing' if deleting else 'deploying'} {work.model}")
    if not deleting:
        work.record(Fact("deploy.started", "deploy", target, about | {"previous": previous}))
    try:
        said = [_step(work, target, step) for step in steps]
    except McmlError as failed:
        work.reporter.finish(target, failed.message, ok=False)
        work.record(Fact("deploy.failed", "deploy", target, about | {"reason": failed.message, "why": failed.why}))
        return failed
    seconds = round(time.monotonic() - began, 3)
    kind = "deploy.deleted" if deleting else "deploy.finished"
    work.record(Fact(kind, "deploy", target, about | {"previous": previous, "duration_s": seconds}))
    work.reporter.finish(target, "; ".join(said))
    return None


def _step(work: Work, target: str, step: Step) -> str:
    endpoint = work.endpoints[target]
    version = str(step.values.get("version", ""))
    match step.kind, step.action:
        case "version", "create" | "update":
            return _start(work, target, version)
        case "traffic", _:
            shares = {variant.version: 0 for described in endpoint.describe(step.name) for variant in described.variants}
            endpoint.shift_traffic(step.name, shares | {version: 100})
            return f"all traffic to {version}"
        case "version", "delete":
            time.sleep(SETTLE_SECONDS)
            endpoint.delete(step.name, version)
            return f"{version} stopped"
        case _:
            endpoint.delete(step.name)
            return f"{step.name} removed"


def _start(work: Work, target: str, version: str) -> str:
    if work.package is None:
        raise AssertionError("a version is started from a package")
    endpoint = work.endpoints[target]
    source = str(work.package.folder.resolve())
    tags, resources = dict(work.tags) | {"target": target}, work.resources.get(target, {})
    endpoint.create(EndpointRequest(work.model, version, work.package.digest, source, resources, tags=tags))
    where = endpoint.invoke_target(work.model, version)
    work.reporter.update(target, f"verifying {version}")
    answer = verify(work.model, where, version=version, inputs=partial(read_inputs, work.package.folder / MODEL_FILE))
    if work.grpc:
        verify_grpc(work.model, where, version=version)
    return f"{version} serves at {where.url} ({answer.milliseconds:.0f} ms)"


def _raise_failures(model: str, results: Mapping[str, McmlError | None]) -> None:
    failed = {target: error for target, error in results.items() if error}
    if not failed:
        return
    if len(results) == 1:
        raise next(iter(failed.values()))
    done = [target for target, error in results.items() if error is None]
    raise PartlyDone(
        f"{model} is deployed on {', '.join(done) or 'no target'}, not on {', '.join(failed)}",
        why="\n".join(f"{target}: {said(error)}" for target, error in failed.items()),
        next_step=f"mcml deploy model {model}",
    )
