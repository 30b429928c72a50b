"""The spot policy beside Cant-Be-Late's Uniform Progress, greedy, and never waiting, on a part of that benchmark's traces.

A variant is a series of one zone and GPU, a deadline (tight 52 h, loose 70 h, for 48 hours of work) and a restart overhead; its score is
100 when all is as cheap as spot without an interruption, 0 when it costs what on-demand does. One late job and the variant has failed.
Windows of one series overlap, so odd and even ones are no independent samples; those of its first and its last days share no hour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from mcml.cost.spot.contest import POLICIES
from mcml.cost.spot.job import Bools, Job
from mcml.cost.spot.simulate import grade
from mcml.cost.spot.traces import Windows, read

TRACES = Path(__file__).parent / "data" / "spot_cant_be_late_part.json.gz"
OURS = "planned"
HOUR = 3600
DEADLINES, RESTARTS = {"tight": 52 * HOUR, "loose": 70 * HOUR}, (180, 720)
ON_DEMAND, SPOT = Decimal("3.06"), Decimal("0.9731")


@dataclass(frozen=True)
class Row:
    """A variant: the score of each policy, and how many of its jobs were late."""

    series: str
    deadline: str
    restart: int
    scores: Mapping[str, float]
    late: Mapping[str, int]

    @property
    def margin(self) -> float:
        """How far ours is above the best of the others."""
        return self.scores[OURS] - max(score for name, score in self.scores.items() if name != OURS)


def parts(windows: Windows) -> dict[str, Bools]:
    """Return which windows are of which part of the report."""
    number, first = np.arange(len(windows.first)), windows.first
    longest = DEADLINES["loose"] // windows.tick
    middle = (first.min() + first.max() + windows.up.shape[1]) // 2
    return {
        "all": number >= 0,
        "even": number % 2 == 0,
        "odd": number % 2 == 1,
        "first days": first + longest <= middle,
        "last days": first >= middle,
    }


def variants(series: Sequence[Windows], part: str = "all", every: int = 1) -> list[Row]:
    """Grade all policies on every variant, on one part of the windows, or on one of so many."""
    rows = []
    for windows in series:
        up = windows.up[parts(windows)[part]][::every]
        for name, deadline in DEADLINES.items():
            for restart in RESTARTS:
                job = Job(48 * HOUR, deadline, restart, windows.tick, ON_DEMAND, SPOT)
                graded = {policy: grade(job, make(), up) for policy, make in POLICIES.items()}
                scores = {policy: float(found.score) for policy, found in graded.items()}
                rows.append(Row(windows.series, name, restart, scores, {policy: found.late for policy, found in graded.items()}))
    return rows


def main() -> int:
    """Print the table and the verdict; 1 when ours is late once, or does not beat all others on every variant of all windows."""
    series = read(TRACES)
    rows = variants(series)
    print(f"{'series':18} {'deadline':9} {'restart':>7} " + " ".join(f"{name:>16}" for name in POLICIES) + f" {'margin':>7} {'late':>5}")
    for row in rows:
        scores = " ".join(f"{row.scores[name]:16.1f}" for name in POLICIES)
        print(f"{row.series:18} {row.deadline:9} {row.restart / HOUR:5.2f} h {scores} {row.margin:+7.1f} {row.late[OURS]:5}")
    for part in ("all", "even", "odd", "first days", "last days"):
        found = rows if part == "all" else variants(series, part)
        means = ", ".join(f"{name} {np.mean([row.scores[name] for row in found]):.1f}" for name in POLICIES)
        won, least = sum(row.margin > 0 for row in found), min(row.margin for row in found)
        late = sum(row.late[OURS] for row in found)
        print(f"{part:10}: {means}; ours is best on {won} of {len(found)}, least margin {least:+.1f}, late {late}")
    good = all(row.margin > 0 and row.late[OURS] == 0 for row in rows)
    print("PASS" if good else "FAIL", "never late, and above all three on every variant")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
