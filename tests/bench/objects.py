"""Many objects through our ObjectStore and through boto3 with 32 threads, against one light S3: python -m tests.bench.objects

2,000 objects of 4 KiB are written and read again, and 100,000 keys are listed; each side in a process of its own, rounds interleaved,
wall and CPU time of the process, its start excluded. boto3 as its documentation advises: one client shared by 32 threads, its
connection pool as large; its listing is the paginator of ListObjectsV2. Both keep every key with its size and etag.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

OBJECTS, SIZE, KEYS, THREADS = 2_000, 4096, 100_000, 32
TARGETS = {"objects": 3.0, "listing": 15.0}
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}


def main(argv: Sequence[str] = ()) -> int:
    """Measure, print, and return 0 when both targets are met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=3, metavar=("WHO", "WHAT", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        return child(*arguments.child)
    took: dict[tuple[str, str], list[dict[str, float]]] = {}
    print(f"load average before: {_load()}")
    with light_server() as url:
        for _ in range(arguments.rounds):
            for what in TARGETS:
                for who in ("mcml", "boto3"):
                    took.setdefault((what, who), []).append(measured(who, what, url))
    print(f"load average after:  {_load()}")
    return report(took)


def report(took: dict[tuple[str, str], list[dict[str, float]]]) -> int:
    """Print a table of medians and ratios; 1 when a target is missed."""
    missed = 0
    for what, target in TARGETS.items():
        ours, theirs = took[what, "mcml"], took[what, "boto3"]
        for who, rounds in (("mcml", ours), ("boto3", theirs)):
            wall, cpu = (median(one[kind] for one in rounds) for kind in ("wall", "cpu"))
            print(f"{what:8} {who:6} wall {wall:7.2f} s  cpu {cpu:7.2f} s  rounds " + " ".join(f"{one['wall']:.2f}" for one in rounds))
        ratios = {kind: median(b[kind] / a[kind] for a, b in zip(ours, theirs, strict=True)) for kind in ("wall", "cpu")}
        print(f"{what:8} boto3/mcml: wall {ratios['wall']:.1f} x, cpu {ratios['cpu']:.1f} x (target {target:g} x)")
        missed += ratios["wall"] < target
    return 1 if missed else 0


@contextmanager
def light_server() -> Iterator[str]:
    """Yield the address of a light S3 in a process of its own."""
    argv = [sys.executable, "-m", "tests.bench.light_s3", str(KEYS)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()


def measured(who: str, what: str, url: str) -> dict[str, float]:
    """Run one side in a process of its own; return its wall and CPU seconds."""
    argv = [sys.executable, "-m", "tests.bench.objects", "--child", who, what, url]
    ended = subprocess.run(argv, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=True)
    took: dict[str, float] = json.loads(ended.stdout)
    return took


def child(who: str, what: str, url: str) -> int:
    """Do it once, and print how long it took."""
    run = {"mcml": ours, "boto3": theirs}[who](url)
    began, cpu = time.perf_counter(), time.process_time()
    run(what)
    print(json.dumps({"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}))
    return 0


def ours(url: str) -> Callable[[str], None]:
    """Return our side, with the store open and the SDK imported."""
    from mcml.providers.api.spec import ProviderContext
    from mcml.providers.aws.object_store import open_object_store
    from mcml.providers.aws.settings import Settings

    store = open_object_store(ProviderContext(Settings(endpoint_url=url), Path("unused"), region="us-east-1"))
    body = os.urandom(SIZE)
    store.write("objects", "first", [body])  # makes the clients, as the other side has made its own

    def copy(number: int) -> int:
        store.write("objects", f"a/{number}", [body])
        return sum(len(piece) for piece in store.read("objects", f"a/{number}"))

    return lambda what: _do(copy) if what == "objects" else _all(stat.size for stat in store.list("listing"))


def theirs(url: str) -> Callable[[str], None]:
    """Return boto3's side, with the client made."""
    import boto3
    from botocore.config import Config

    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=Config(max_pool_connections=THREADS))
    body = os.urandom(SIZE)

    def copy(number: int) -> int:
        client.put_object(Bucket="objects", Key=f"a/{number}", Body=body)
        return len(client.get_object(Bucket="objects", Key=f"a/{number}")["Body"].read())

    def sizes() -> Iterator[int]:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="listing"):
            yield from (found["Size"] for found in page["Contents"])

    return lambda what: _do(copy) if what == "objects" else _all(sizes())


def _do(copy: Callable[[int], int]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(copy, range(OBJECTS))) == OBJECTS * SIZE


def _all(sizes: Iterator[int]) -> None:
    assert sum(sizes) == KEYS * SIZE


def _load() -> str:
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
