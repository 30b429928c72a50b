"""Requests a second of `mcml.serving` and of MLServer with the same random forest: python -m tests.bench.serving

One forest (breast cancer, 100 trees) is trained once and served by both: as ONNX here, as the pickled scikit-learn estimator there.
MLServer lives in a virtual environment of its own below .bench/, runs once with its default of one worker process and once with
none (in the server's own process, which its documentation advises for small models), and is judged by the faster of the two.
Rounds are interleaved, because the machine is never quiet; the medians are compared.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from mcml.core.process import free_port
from tests.bench.load import Round, post, run

TARGET = 10.0  # times MLServer's requests per second
CONNECTIONS = 16
BENCH = Path(__file__).parents[2] / ".bench"
# uvloop: with a later one MLServer 1.7.1 cannot start its worker process. The last two must read what was pickled here.
PINS = ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop==0.21.0", *(f"{name}=={version(name)}" for name in ("scikit-learn", "numpy")))


def main(argv: Sequence[str] = ()) -> int:
    """Measure, print, and return 0 when the target is met or MLServer cannot be installed here, else 1."""
    arguments = _arguments(argv)
    folder = BENCH / "serving"
    row = train(folder)
    if not install():
        return 0
    with ExitStack() as servers:
        ports = {
            "mcml.serving": servers.enter_context(ours(folder / "package")),
            "MLServer, 1 worker": servers.enter_context(theirs(folder, workers=1)),
            "MLServer, in process": servers.enter_context(theirs(folder, workers=0)),
        }
        same_answers(ports, folder)
        print(f"load average before: {_load()}")
        request = post("/v2/models/forest/infer", body([row], "X"))
        rounds: dict[str, list[Round]] = {name: [] for name in ports}
        for _ in range(arguments.rounds):
            for name, port in ports.items():
                rounds[name].append(run(port, request, connections=CONNECTIONS, seconds=arguments.seconds))
    print(f"load average after:  {_load()}")
    return report(rounds)


def train(folder: Path) -> list[float]:
    """Train the forest; write the ONNX package and MLServer's model folder. Return one row to ask about."""
    import pickle

    import numpy as np
    from skl2onnx import to_onnx
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    rows, labels = load_breast_cancer(return_X_y=True)
    rows = rows.astype(np.float32)
    forest = RandomForestClassifier(100, random_state=0).fit(rows[::2], labels[::2])
    for name in ("package", "forest"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "package" / "model.onnx").write_bytes(to_onnx(forest, rows[:1], options={"zipmap": False}).SerializeToString())
    (folder / "forest" / "model.joblib").write_bytes(pickle.dumps(forest))
    settings = {"name": "forest", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
    (folder / "forest" / "model-settings.json").write_text(json.dumps(settings))
    (folder / "rows.json").write_text(json.dumps(rows[1:40:2].tolist()))
    first: list[float] = rows[1].tolist()
    alone = _milliseconds(lambda: forest.predict(rows[1:2]), 50)
    print(f"the forest alone, one row: scikit-learn {alone:.2f} ms, onnxruntime {_onnx_alone(folder / 'package', rows[1:2]):.3f} ms")
    return first


def _onnx_alone(package: Path, row: Any) -> float:
    from mcml.core.package import read_package
    from mcml.serving.model import load_model

    model = load_model(read_package(package))
    return _milliseconds(lambda: model.run({"X": row}, list(model.outputs)), 2000)


def _milliseconds(work: Callable[[], object], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times * 1000


def install() -> bool:
    """Make MLServer's virtual environment, unless it stands already; False (and the reason printed) when that fails."""
    home = BENCH / "mlserver"
    pins = home / "pins.txt"
    if pins.is_file() and pins.read_text().split() == list(PINS):
        return True
    print(f"installing {' '.join(PINS)} into {home}")
    venv.create(home, clear=True, with_pip=True)
    argv = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"SKIPPED: MLServer cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
        return False
    pins.write_text("\n".join(PINS))
    return True


@contextmanager
def ours(package: Path) -> Iterator[int]:
    """Serve the package with mcml.serving; yield the port."""
    port = free_port()
    with _running([sys.executable, "-m", "mcml.serving", "--model", str(package), "--name", "forest", "--port", str(port)], package, port):
        yield port


@contextmanager
def theirs(folder: Path, *, workers: int) -> Iterator[int]:
    """Serve the pickled forest with MLServer; yield the port."""
    port = free_port()
    settings = {"DEBUG": "false", "HOST": "127.0.0.1", "HTTP_PORT": port, "GRPC_PORT": free_port(), "METRICS_PORT": free_port()}
    settings["PARALLEL_WORKERS"] = workers
    environment = {**os.environ, **{f"MLSERVER_{name}": str(value) for name, value in settings.items()}}
    with _running([str(BENCH / "mlserver" / "bin" / "mlserver"), "start", "."], folder / "forest", port, environment):
        yield port


@contextmanager
def _running(argv: list[str], folder: Path, port: int, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block ends: in a session of its own, so that its workers end with it."""
    with (BENCH / f"{Path(argv[0]).name}-{port}.log").open("wb") as log:
        child = subprocess.Popen(argv, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_ready(child, port, Path(log.name))
        yield
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        Path(log.name).unlink()


def _wait_ready(child: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/forest/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if child.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{child.args!r} does not serve: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def same_answers(ports: Mapping[str, int], folder: Path) -> None:
    """Check that all servers predict the same for the same rows. Raises AssertionError."""
    rows = json.loads((folder / "rows.json").read_text())
    answers = {name: [_label(port, row) for row in rows] for name, port in ports.items()}
    if len({tuple(labels) for labels in answers.values()}) != 1 or len(set(answers["mcml.serving"])) != 2:
        raise AssertionError(f"the servers do not serve the same forest: {answers}")


def _label(port: int, row: list[float]) -> int:
    url = f"http://127.0.0.1:{port}/v2/models/forest/infer"
    request = urllib.request.Request(url, body([row], "X"), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        outputs: Any = json.load(answer)["outputs"]
    return int(outputs[0]["data"][0])


def body(rows: list[list[float]], name: str) -> bytes:
    """Return a v2 request for some rows."""
    flat = [value for row in rows for value in row]
    return json.dumps({"inputs": [{"name": name, "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": flat}]}).encode()


def report(rounds: Mapping[str, list[Round]]) -> int:
    """Print the medians and the ratio; return 0 when the target is met and no request failed."""
    print(f"\nPOST /v2/models/forest/infer, one row, c={CONNECTIONS}, {len(rounds['mcml.serving'])} interleaved rounds, medians")
    print(f"{'server':22} {'req/s':>9} {'lowest':>9} {'highest':>9} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7} {'client CPU':>11}")
    rps = {}
    for name, measured in rounds.items():
        rates = [one.rps for one in measured]
        rps[name] = median(rates)
        p50, p99, cpu = (median(getattr(one, part) for one in measured) for part in ("p50", "p99", "client_cpu"))
        failed = sum(one.failed for one in measured)
        print(f"{name:22} {rps[name]:9.0f} {min(rates):9.0f} {max(rates):9.0f} {p50:8.2f} {p99:8.2f} {failed:7} {cpu:11.0%}")
    mine = rps.pop("mcml.serving")
    fastest = max(rps, key=lambda name: rps[name])
    ratio = mine / rps[fastest]
    met = ratio >= TARGET and not any(one.failed for measured in rounds.values() for one in measured)
    print(f"mcml.serving / {fastest}: {ratio:.1f} x (target: at least {TARGET:.0f} x): {'met' if met else 'MISSED'}")
    return 0 if met else 1


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each server (default: 7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round (default: 2)")
    return parser.parse_args(argv)


def _load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
