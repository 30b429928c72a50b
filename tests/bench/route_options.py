"""What each part of the router's configuration costs in Envoy's CPU per request: python -m tests.bench.route_options

The configuration is that of a router which runs with API keys and limits. For every option an Envoy of its own runs with a copy in which
just that one is taken out (or put in: tracing, Lua, another number of workers); all are measured in interleaved rounds, and each is
compared with the whole in the same round. Nothing of this is a recommendation by itself: most of it is what keeps the promises.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from mcml.core.process import free_port
from mcml.route.engine.binary import find_envoy
from tests.bench.load import post, run
from tests.bench.route import CONNECTIONS, Measured, measure, protected
from tests.bench.route_peers import PATH, Skipped, Subject
from tests.bench.route_rig import BENCH, Project, load_average
from tests.bench.route_upstream import REQUEST

Json = dict[str, Any]
Change = Callable[[dict[str, Json]], object]
"""Changes the files of a copy, by name without `.json`."""

WHOLE = "everything"
TYPE = "type.googleapis.com/"
LUA = "function envoy_on_request(handle)\n  handle:headers():replace('x-bench', handle:headers():get(':path'))\nend\n"


def manager(files: dict[str, Json]) -> Json:
    """Return the connection manager of the public listener."""
    public = next(one for one in files["lds"]["resources"] if one["name"] == "public")
    found: Json = public["filter_chains"][0]["filters"][-1]["typed_config"]
    return found


def without_filters(*words: str) -> Change:
    """Take out the HTTP filters whose name has one of these words."""

    def change(files: dict[str, Json]) -> None:
        found = manager(files)
        found["http_filters"] = [one for one in found["http_filters"] if not any(word in one["name"] for word in words)]

    return change


def drop(*names: str) -> Change:
    """Take settings out of the connection manager."""

    def change(files: dict[str, Json]) -> None:
        for name in names:
            manager(files).pop(name, None)

    return change


def no_request_id(files: dict[str, Json]) -> None:
    """Make no request id."""
    found = manager(files)
    found["generate_request_id"] = False
    found.pop("request_id_extension", None)
    found.pop("always_set_request_id_in_response", None)


def no_logs(*words: str) -> Change:
    """Take out the access loggers whose name has one of these words."""

    def change(files: dict[str, Json]) -> None:
        found = manager(files)
        found["access_log"] = [one for one in found["access_log"] if not any(word in one["name"] for word in words)]

    return change


def few_fields(files: dict[str, Json]) -> None:
    """Log six fields instead of all."""
    for log in manager(files)["access_log"]:
        if "log_format" not in log["typed_config"]:
            continue
        fields = log["typed_config"]["log_format"]["json_format"]
        kept = {name: fields[name] for name in ("at", "request_id", "key", "backend", "status", "ms") if name in fields}
        log["typed_config"]["log_format"] = {"json_format": kept}


def entries(files: dict[str, Json]) -> Iterator[Json]:
    """Yield the entries of the route table that go to a backend."""
    for host in files["rds"]["resources"][0]["virtual_hosts"]:
        yield from (one for one in host["routes"] if "route" in one)


def no_answer_headers(files: dict[str, Json]) -> None:
    """Do not say which backend answered."""
    for host in files["rds"]["resources"][0]["virtual_hosts"]:
        host.pop("response_headers_to_add", None)


def no_retries(files: dict[str, Json]) -> None:
    """Try once, and keep no body for a second time."""
    for one in entries(files):
        one["route"].pop("retry_policy", None)
        one.pop("request_body_buffer_limit", None)


def route_counters(files: dict[str, Json]) -> None:
    """Do not count by route."""
    for one in entries(files):
        one.pop("stat_prefix", None)


def read_statistics(files: dict[str, Json]) -> None:
    """Keep only the statistics that the router itself reads."""
    from mcml.route.weights.observe import STATS_FILTER

    matched = {"safe_regex": {"regex": ".*(" + STATS_FILTER.strip("^$") + ")"}}
    files["bootstrap"]["stats_config"] = {"stats_matcher": {"inclusion_list": {"patterns": [matched]}}}


def upstream_filters(*words: str) -> Change:
    """Take filters out of the chains of the backends."""

    def change(files: dict[str, Json]) -> None:
        for chain in _chains(files):
            chain["http_filters"] = [one for one in chain["http_filters"] if not any(word in one["name"] for word in words)]

    return change


def with_lua(files: dict[str, Json]) -> None:
    """Put a line of Lua into the chain of each backend, as a managed endpoint has it."""
    typed = {"@type": TYPE + "envoy.extensions.filters.http.lua.v3.Lua", "default_source_code": {"inline_string": LUA}}
    for chain in _chains(files):
        chain["http_filters"].insert(-1, {"name": "envoy.filters.http.lua", "typed_config": typed})


def _chains(files: dict[str, Json]) -> Iterator[Json]:
    for cluster in files["cds"]["resources"]:
        for options in cluster.get("typed_extension_protocol_options", {}).values():
            if "http_filters" in options:
                yield options


def traced(percent: float, port: int) -> Change:
    """Trace a share of the requests, to a collector that takes everything."""

    def change(files: dict[str, Json]) -> None:
        from mcml.route.config.listener import TRACING, listener, own_clusters
        from mcml.route.config.values import Front, Spans

        front = Front("127.0.0.1", 1, "x", spans=Spans(f"http://127.0.0.1:{port}/v1/traces", percent))
        made = listener(front, "x")["filter_chains"][0]["filters"][-1]["typed_config"]
        manager(files)["tracing"] = made["tracing"]
        files["cds"]["resources"] += [one for one in own_clusters(front) if one["name"] == TRACING]

    return change


def all_of(*changes: Change) -> Change:
    """Make several changes."""

    def change(files: dict[str, Json]) -> None:
        for one in changes:
            one(files)

    return change


BARE = (
    drop("access_log", "early_header_mutation_extensions", "local_reply_config", "normalize_path", "merge_slashes"),
    without_filters("key", "limit", "cors", "rbac"),
    no_request_id,
    no_answer_headers,
    no_retries,
    route_counters,
    upstream_filters("header_mutation"),
)


def options(collector: int) -> dict[str, tuple[Change, tuple[str, ...]]]:
    """Return each option with what it changes, and with more arguments for Envoy."""
    changes: dict[str, Change] = {
        WHOLE: lambda _: None,
        "no access log": no_logs("file"),
        "no counters per key": no_logs("stats"),
        "access log of 6 fields": few_fields,
        "no statistics per route": route_counters,
        "only statistics that are read": read_statistics,
        "no API keys, no limits": without_filters("key", "mcml.limits", "local_ratelimit", "rbac"),
        "no limits": without_filters("mcml.limits", "local_ratelimit"),
        "no body limit": without_filters("body_size_limit"),
        "no request id": no_request_id,
        "no early header removal": drop("early_header_mutation_extensions"),
        "no local reply format": drop("local_reply_config"),
        "no path normalisation": drop("normalize_path", "merge_slashes", "path_with_escaped_slashes_action"),
        "no answer headers": no_answer_headers,
        "no retries, no buffer": no_retries,
        "credentials not stripped": upstream_filters("header_mutation"),
        "tracing 1 %": traced(1, collector),
        "tracing 100 %": traced(100, collector),
        "Lua in each chain": with_lua,
        "none of them": all_of(*BARE),
    }
    found = {name: (change, ()) for name, change in changes.items()}
    return {**found, "1 worker": (changes[WHOLE], ("--concurrency", "1"))}


@contextmanager
def copy(made: Project, name: str, change: Change, more: Sequence[str], request: bytes) -> Iterator[Subject]:
    """Run an Envoy with a changed copy of a router's configuration. Raises Skipped when it does not take it."""
    folder = BENCH / "run" / ("option-" + "".join(each if each.isalnum() else "-" for each in name))
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "xds").mkdir(parents=True)
    port, admin = free_port(), free_port()
    _write(made, folder, change, port, admin)
    argv = [str(find_envoy()), "-c", str(folder / "xds" / "bootstrap.json"), "--use-dynamic-base-id", "--log-level", "error", *more]
    argv += ["--file-flush-interval-msec", "1000"]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log)
    try:
        _wait(child, port, request, folder / "log")
        yield Subject(name, port, request, (child.pid,))
    finally:
        child.kill()
        child.wait()


def _write(made: Project, folder: Path, change: Change, port: int, admin: int) -> None:
    """Write the changed files; what names the router's own folder and ports names those of the copy."""
    source = made.route.resolve()
    texts = {path.stem: path.read_text().replace(str(source), str(folder)) for path in (source / "xds").glob("*.json")}
    files: dict[str, Json] = {name: json.loads(text) for name, text in texts.items()}
    files["lds"]["resources"] = [one for one in files["lds"]["resources"] if one["name"] == "public"]
    files["lds"]["resources"][0]["address"]["socket_address"]["port_value"] = port
    files["bootstrap"]["admin"]["address"]["socket_address"]["port_value"] = admin
    change(files)
    for name, content in files.items():
        (folder / "xds" / f"{name}.json").write_text(json.dumps(content))


def _wait(child: "subprocess.Popen[bytes]", port: int, request: bytes, log: Path) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and child.poll() is None:
        try:
            answered = run(port, request, connections=1, seconds=0.2)
        except OSError:
            time.sleep(0.1)
            continue
        if answered.requests and not answered.failed:
            return
    raise Skipped(f"Envoy does not serve so: {log.read_text(errors='replace')[-400:]}")


def main(argv: Sequence[str] = ()) -> int:
    """Measure and print; the exit code is 0."""
    arguments = _arguments(argv)
    with ExitStack() as stack:
        made, key = stack.enter_context(protected())
        request = post(PATH, REQUEST, x_api_key=key)
        subjects = []
        for name, (change, more) in options(made.ups[0].ports[0]).items():
            if name != WHOLE and arguments.only and name not in arguments.only:
                continue
            try:
                subjects.append(stack.enter_context(copy(made, name, change, more, request)))
            except Skipped as why:
                print(f"SKIPPED {name}: {why}", flush=True)
        print(f"load average before: {load_average()}", flush=True)
        for subject in subjects:
            measure(subject, min(0.5, arguments.seconds))
        rounds: dict[str, list[tuple[Measured, float]]] = {subject.name: [] for subject in subjects}
        for _ in range(arguments.rounds):
            for subject in subjects:
                rounds[subject.name].append(beside(subject, subjects[0], arguments.seconds))
        print(f"load average after:  {load_average()}")
    report(rounds)
    return 0


def beside(subject: Subject, whole: Subject, seconds: float) -> tuple[Measured, float]:
    """Measure something, and the whole for half as long before and after; return the first, and its CPU per request beside the whole's."""
    before = measure(whole, seconds / 2)
    found = measure(subject, seconds)
    after = measure(whole, seconds / 2)
    requests = before.round.requests + after.round.requests
    return found, found.cpu_us / max((before.cpu + after.cpu) / max(requests, 1) * 1e6, 1e-9)


def report(rounds: Mapping[str, Sequence[tuple[Measured, float]]]) -> None:
    """Print each option's CPU per request, absolute and beside the whole at the same time."""
    print(f"\nEnvoy alone, c={CONNECTIONS}, {len(rounds[WHOLE])} rounds, medians; each beside the whole right before and after it")
    print(f"{'configuration':30} {'req/s':>8} {'CPU us/req':>11} {'CPU / everything':>17} {'lowest':>7} {'highest':>8} {'failed':>7}")
    for name, measured in rounds.items():
        ratios = [ratio for _, ratio in measured]
        rate, spent = median(one.round.rps for one, _ in measured), median(one.cpu_us for one, _ in measured)
        failed = sum(one.round.failed for one, _ in measured)
        print(f"{name:30} {rate:8.0f} {spent:11.0f} {median(ratios):17.2f} {min(ratios):7.2f} {max(ratios):8.2f} {failed:7}")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.route_options", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each configuration (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.8, help="length of a round (default: 0.8)")
    names = [*options(0)]
    parser.add_argument("--only", nargs="*", default=[], choices=names, metavar="NAME", help="these and the whole (default: all)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
