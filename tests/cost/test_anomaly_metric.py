"""`mcml cost anomalies metric`: the streaming detector on what a provider measured."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mcml.cli.main import main
from mcml.cost.anomaly.metric import unusual
from mcml.providers.api.metrics import Point
from mcml.testing.cli import run

START = datetime(2026, 10, 5, tzinfo=UTC)


def wave(length: int) -> list[Point]:
    return [Point(START + at * timedelta(minutes=5), 50 + 20 * math.sin(at / 20) + at % 7) for at in range(length)]


def test_a_spike_is_told_with_what_was_usual_and_gaps_are_not_judged() -> None:
    points = wave(500)
    points[400] = Point(points[400].at, 300.0)
    points[100:150] = [Point(point.at, None if at % 2 else math.nan) for at, point in enumerate(points[100:150])]
    told = max(unusual(points), key=lambda each: each.score)
    assert (told.at, told.value) == (points[400].at, 300.0)
    assert 25 < told.low < told.high < 80


def test_nothing_measured_is_nothing_unusual() -> None:
    assert unusual([Point(START, None)] * 50) == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A local server that got two requests a minute for five hours, and once 500."""
    (tmp_path / "mcml.toml").write_text('name = "acme"\n[targets.eu-1]\nprovider = "local"\n')
    log = tmp_path / ".mcml/local/usage/eu-1/fraud/1/run.jsonl"
    log.parent.mkdir(parents=True)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    common = {"pid": 1, "started": now.timestamp() - 18_000, "model": "fraud", "version": "1", "digest": "d", "errors": 0}
    requests, lines = 0, []
    for minute in range(300):
        requests += 500 if minute == 250 else 2 + minute % 2
        at = (now - timedelta(minutes=300 - minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines.append({"at": at, **common, "client_errors": 0, "cpu_seconds": minute * 1.0, "rss_bytes": 0, "requests": requests})
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    log.with_suffix(".run.json").write_text(json.dumps({"region": "eu-1", "tags": {}}))
    return tmp_path


ASKED = ["cost", "anomalies", "metric", "eu-1", "requests", "--since", "5h", "--step", "1m", "--statistic", "sum", "--label", "model=fraud"]


def test_what_scripts_see(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(project)
    assert main([*ASKED, "-o", "json"]) == 0
    items = json.loads(capsys.readouterr().out)["items"]
    assert set(items[-1]) == {"name", "target", "metric", "at", "value", "usual_low", "usual_high", "score"}
    assert [item["value"] for item in items] == [500.0]
    assert (items[0]["usual_low"], items[0]["usual_high"]) == (2.0, 3.0)


def test_on_a_terminal_and_in_a_pipe(project: Path) -> None:
    assert "500" in run(ASKED, cwd=project, terminal=True).out
    piped = run([*ASKED, "-q"], cwd=project)
    assert "\x1b" not in piped.out
    assert "\t500" in piped.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["eu-2", "requests"], 5, "eu-2"),
        (["eu-1", "request"], 5, "did you mean 'requests'?"),
        (["eu-1", "requests", "--label", "model"], 2, "expected NAME=VALUE"),
        (["eu-1", "requests", "--step", "soon"], 2, "'soon' is no span"),
    ],
)
def test_what_goes_wrong_is_said(
    arguments: list[str], code: int, said: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert main(["cost", "anomalies", "metric", *arguments]) == code
    assert said in capsys.readouterr().err
