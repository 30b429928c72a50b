"""Peak memory of a copy of 1 GiB from one store to another: python -m tests.bench.copying

`mcml data cp s3://… local://…` from the light S3 to the local provider, with its checksums, beside boto3's `get_object` poured into a file,
which takes none. Each in a process of its own; the figure is the kernel's high-water mark of its resident memory.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.objects import ENVIRONMENT, light_server

SIZE = 1 << 30
MOST_MB = 200
SETTINGS = """
name = "bench"
[providers.aws]
region = "us-east-1"
endpoint_url = "{s3}"
[targets.here]
provider = "local"
"""
MAKE = """
from pathlib import Path
from mcml.providers import discovery
from mcml.providers.api.capability import BUCKETS
from mcml.providers.api.spec import ProviderContext
spec = discovery.spec("local")
discovery.open_capability(spec, BUCKETS, ProviderContext(discovery.settings_model(spec)(), Path(".mcml/local"))).create("box")
"""
PEER = """
import shutil, sys, boto3
source = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1").get_object(Bucket="zeros", Key=sys.argv[2])["Body"]
with open("by-boto3", "wb") as file:
    shutil.copyfileobj(source, file)
"""


def main() -> int:
    """Measure, print, and return 0 when ours stays below the limit, else 1."""
    with tempfile.TemporaryDirectory(prefix="mcml-bench-") as folder, light_server() as s3:
        (Path(folder) / "mcml.toml").write_text(SETTINGS.format(s3=s3))
        environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])}
        measured([sys.executable, "-c", MAKE], folder, environment)
        ours = [sys.executable, "-m", "mcml", "data", "cp", f"s3://zeros/{SIZE}", "local://box/gib", "-q"]
        took = {"mcml data cp": measured(ours, folder, environment)}
        took["boto3"] = measured([sys.executable, "-c", PEER, s3, str(SIZE)], folder, environment)
    for name, (megabytes, seconds) in took.items():
        print(f"1 GiB by {name:12} peak {megabytes:5.0f} MB in {seconds:5.1f} s")
    print(f"limit for ours: {MOST_MB} MB")
    return int(took["mcml data cp"][0] > MOST_MB)


def measured(argv: Sequence[str], folder: str, environment: dict[str, str]) -> tuple[float, float]:
    """Run a command to its end; return its peak of resident memory in MB (10^6 bytes) and its wall time in seconds."""
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(argv, cwd=folder, env=environment) as child:
        status = Path(f"/proc/{child.pid}/status")
        while child.poll() is None:
            peak = max([peak, *(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:"))])
            time.sleep(0.02)
    assert child.returncode == 0, argv
    return peak * 1024 / 1e6, time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
