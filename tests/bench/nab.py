"""Our streaming detector and peers on a part of the Numenta Anomaly Benchmark, by its own rule: python -m tests.bench.nab

35 series (127,756 rows, 50 windows). Each detector sees each series once, in order, without labels, with the same settings for all. Peers:
- windowed Gaussian, as NAB has it (nab/detectors/gaussian: window 6,400, step 100);
- a random cut forest: krcf, a port of AWS's, in an environment of its own. 50 trees, with its usual 256 points a tree and with 1,024, one
  value at a time and four (a shingle). The best of them counts, profile by profile, which is more than a user has.
Scores on this part compare with nothing published: those are over all 58 series.
"""

import json
import math
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from mcml.cost.anomaly.stream import Detector
from tests.bench.nab_score import PROFILES, Score, score, series
from tests.bench.route_peers import Skipped, install

Scores = Mapping[str, Sequence[float]]
FORESTS = {f"random cut forest, {size} points, shingle {shingle}": (size, shingle) for size in (256, 1024) for shingle in (1, 4)}

FOREST = """
import json, sys
import krcf, numpy
work = json.load(sys.stdin)
size, shingle = work["size"], work["shingle"]
told = {}
for name, values in work["series"].items():
    options = {"dimensions": shingle, "shingle_size": 1, "num_trees": 50, "sample_size": size, "random_seed": 1}
    forest, values = krcf.RandomCutForest(options), numpy.array(values, dtype=numpy.float32)
    told[name] = [0.0] * len(values)
    for at in range(shingle - 1, len(values)):
        point = values[at - shingle + 1 : at + 1]
        if at >= 32:
            told[name][at] = forest.score(point)
        forest.update(point)
json.dump(told, sys.stdout)
"""


def main() -> int:
    """Measure, print, and return 0 when ours beats every peer in every profile, else 1; 2 when a peer cannot be had."""
    ours = score(by_series(lambda: Detector().update))
    peers = {"windowed Gaussian": score(by_series(windowed_gaussian))}
    missing = 0
    try:
        peers |= {name: score(forest(*shape)) for name, shape in FORESTS.items()}
    except Skipped as skipped:
        print(f"random cut forest: {skipped}")
        missing = 2
    print(f"{'':42}" + "".join(f"{name:>20}" for name in PROFILES))
    for name, scores in {"mcml": ours, **peers}.items():
        print(f"{name:42}" + "".join(f"{scores[profile].value:20.1f}" for profile in PROFILES))
    print("thresholds of mcml: " + ", ".join(f"{profile} {ours[profile].threshold:.3f}" for profile in PROFILES))
    return int(not beats(ours, peers.values())) or missing


def beats(ours: Mapping[str, Score], peers: Iterable[Mapping[str, Score]]) -> bool:
    """Tell whether ours is above every peer in every profile."""
    return all(ours[profile].value > peer[profile].value for peer in peers for profile in PROFILES)


def by_series(detector: Callable[[], Callable[[float], float]]) -> Scores:
    """Run a new detector over each series."""
    return {name: [update(value) for value in one.values] for name, one in series().items() for update in (detector(),)}


def windowed_gaussian(window: int = 6400, step: int = 100) -> Callable[[float], float]:
    """Return NAB's windowed Gaussian: 1 - the tail of the normal distribution of the window, which grows and then moves in steps."""
    values: deque[float] = deque(maxlen=window)
    waiting: list[float] = []
    mean, deviation, shift, total, squares = 0.0, 0.0, 0.0, 0.0, 0.0

    def update(value: float) -> float:
        nonlocal mean, deviation, shift, total, squares
        told = 1 - 0.5 * math.erfc(abs(value - mean) / deviation / math.sqrt(2)) if values else 0.0
        if len(values) < window:
            shift = shift if values else value
            values.append(value)
            total, squares = total + value - shift, squares + (value - shift) ** 2
        else:
            waiting.append(value)
            if len(waiting) < step:
                return told
            values.extend(waiting)
            waiting.clear()
            total, squares = sum(each - shift for each in values), sum((each - shift) ** 2 for each in values)
        centre = total / len(values)
        mean, deviation = shift + centre, math.sqrt(max(squares / len(values) - centre**2, 0.0)) or 1e-6
        return told

    return update


def forest(size: int, shingle: int) -> Scores:
    """Run the random cut forest in its environment. Raises Skipped when it cannot be had."""
    python = install("rcf") / "bin" / "python"
    work = {"size": size, "shingle": shingle, "series": {name: one.values for name, one in series().items()}}
    ended = subprocess.run([str(python), "-c", FOREST], input=json.dumps(work), capture_output=True, text=True, check=True)
    told: dict[str, list[float]] = json.loads(ended.stdout)
    return told


if __name__ == "__main__":
    raise SystemExit(main())
