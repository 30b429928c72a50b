"""`mcml route set, drain, undrain, pin, unpin, split` as a person types them: kept in the store, journaled with who and why, taken back."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mcml.cli.route.changing import one_line
from mcml.core.clock import rfc3339, utc_now
from mcml.core.errors import Usage
from mcml.core.fact import Fact
from mcml.store.db import Store
from mcml.testing.cli import Result, run

TOML = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu"
[targets.us-1]
provider = "local"
region = "us"
[models.fraud]
source = "models/fraud"
targets = ["eu-1", "us-1"]
[models.fraud-next]
source = "models/fraud"
targets = ["us-1"]
[models.churn]
source = "models/churn"
targets = ["eu-1"]
[routes.fraud]
[routes.local]
model = "fraud"
pattern = "residency"
regions = {{ eu = ["eu-1"], us = ["us-1"] }}
[routes.churn]
{more}
"""


@pytest.fixture(autouse=True)
def actor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCML_ACTOR", "ann")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mcml.toml").write_text(TOML.format(more=""))
    yield tmp_path


def route(project: Path, *arguments: str) -> Result:
    return run(["route", *arguments], cwd=project)


def item(result: Result) -> dict[str, object]:
    assert result.code == 0, result.err
    return dict(json.loads(result.out)["items"][0])


def journal(project: Path) -> list[dict[str, object]]:
    return list(json.loads(run(["journal", "list", "--kind", "route.", "-o", "json"], cwd=project).out)["items"])


def test_drain_is_kept_journaled_and_taken_back(project: Path) -> None:
    drained = item(route(project, "drain", "fraud@us-1", "--for", "30m", "--reason", "a new disk", "-o", "json"))
    assert {key: drained[key] for key in ("name", "kind", "route", "target", "reason", "actor", "in_force")} == {
        "name": "fraud@us-1",
        "kind": "drain",
        "route": "fraud",
        "target": "us-1",
        "reason": "a new disk",
        "actor": "ann",
        "in_force": True,
    }
    assert drained["until"] is not None
    entry = journal(project)[-1]
    assert (entry["kind"], entry["actor"], entry["target"]) == ("route.drained", "ann", "us-1")
    assert str(entry["text"]).startswith("us-1 of fraud drained until ")
    assert str(entry["text"]).endswith(": a new disk")
    again = route(project, "drain", "fraud@us-1", "--dry-run")
    assert "would be drained" in again.out
    assert "instead of: drained by ann" in again.out
    back = route(project, "undrain", "fraud@us-1", "--reason", "it is in")
    assert "it was drained by ann" in back.out
    assert journal(project)[-1]["text"] == "us-1 of fraud no longer drained: it is in"
    missing = route(project, "undrain", "fraud@us-1")
    assert (missing.code, "us-1 is not drained on fraud" in missing.err) == (5, True)


def test_a_span_that_is_none_is_refused(project: Path) -> None:
    for verb in (["drain", "eu-1", "--force"], ["shadow", "fraud", "fraud-next"]):
        refused = route(project, *verb, "--for", "0s")
        assert (refused.code, "span" in refused.err) == (2, True), refused.err
    assert journal(project) == []


def test_the_day_is_said_where_it_is_another_one(project: Path) -> None:
    until = utc_now() + timedelta(days=7)
    assert f" until {until:%Y-%m-%d} " in route(project, "drain", "fraud@us-1", "--for", "7d").out


@pytest.mark.parametrize("reason", ["two\nlines", "a \x1b[31mred one", "a\ttab", "\x9b1m"])
def test_what_is_not_one_line_is_no_reason(reason: str) -> None:
    assert one_line("wegen Umbau: bis 5\u00a0€") == "wegen Umbau: bis 5\u00a0€"
    with pytest.raises(Usage):
        one_line(reason)


def test_a_reason_is_one_line_for_those_who_read_it(project: Path) -> None:
    assert route(project, "drain", "fraud@us-1", "--reason", "wegen Umbau: bis 5 €").code == 0
    for verb in (["undrain", "fraud@us-1"], ["pin", "fraud", "eu-1"], ["shadow", "fraud", "fraud-next"]):
        refused = route(project, *verb, "--reason", "two\nlines")
        assert (refused.code, "a reason is one line of text" in refused.err) == (2, True), refused.err
    assert len(journal(project)) == 1


def test_a_pin_takes_the_place_of_the_one_before(project: Path) -> None:
    assert "instead of" not in route(project, "pin", "fraud", "us-1", "--reason", "a look").out
    planned = route(project, "pin", "fraud", "eu-1", "--dry-run").out
    done = route(project, "pin", "fraud", "eu-1").out
    assert [("instead of: pinned to us-1 by ann" in out and "a look" in out) for out in (planned, done)] == [True, True]
    assert "it was pinned to eu-1" in route(project, "unpin", "fraud").out
    assert route(project, "unpin", "fraud").code == 5


def test_a_dry_run_changes_nothing(project: Path) -> None:
    assert "would be drained" in route(project, "drain", "fraud@us-1", "--dry-run").out
    assert "would be pinned" in route(project, "pin", "fraud", "us-1", "--dry-run").out
    assert journal(project) == []
    assert route(project, "unpin", "fraud").code == 5


def test_the_last_backend_is_not_drained_without_force(project: Path) -> None:
    refused = route(project, "drain", "eu-1")
    assert refused.code == 1
    assert "this would leave the route churn without a backend" in refused.err
    assert "--force" in refused.err
    region = route(project, "drain", "local@eu-1")
    assert "this would leave the region eu without a backend" in region.err
    assert route(project, "drain", "fraud@eu-1").code == 0
    last = route(project, "drain", "fraud@us-1")
    assert "this would leave the route fraud without a backend" in last.err
    assert route(project, "drain", "fraud@us-1", "--force").code == 0
    assert route(project, "drain", "eu-1", "--force").code == 0


def test_names_that_are_not_there(project: Path) -> None:
    for arguments, said in (
        (["drain", "eu-2"], "no target named 'eu-2'"),
        (["drain", "frud@eu-1"], "did you mean 'fraud'?"),
        (["pin", "churn", "us-1"], "no target of churn named 'us-1'"),
        (["unpin", "frud"], "no route named 'frud'"),
        (["split", "fraud", "fraudx=100"], "no model named 'fraudx'"),
        (["set", "frud", "timeout=3"], "no route named 'frud'"),
    ):
        result = route(project, *arguments)
        assert (result.code, said in result.err) == (5, True), result.err


def test_set_changes_what_is_named_and_keeps_the_rest(project: Path) -> None:
    value = item(route(project, "set", "fraud", "latency=0.5", "cost=0.2", "-o", "json"))["value"]
    assert value == {"score": {"latency": "0.5", "cost": "0.2", "reliability": "0.3"}}
    value = item(route(project, "set", "fraud", "timeout=10", "exploration=0", "-o", "json"))["value"]
    assert value == {"score": {"latency": "0.5", "cost": "0.2", "reliability": "0.3"}, "timeout": 10.0, "exploration": 0}
    text = str(journal(project)[-1]["text"])
    assert text.startswith("settings of fraud changed (")
    assert "latency=0.5" in text
    assert "exploration=0" in text
    assert route(project, "set", "fraud", "--reset").code == 0
    assert journal(project)[-1]["text"] == "settings of fraud are those of mcml.toml again"
    assert route(project, "set", "fraud", "--reset").code == 5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["latency=0.5"], "latency, cost and reliability add up to 1.1, not to 1"),
        (["latency=fast"], "latency"),
        (["exploration=90"], "exploration"),
        (["timeout=soon"], "timeout=soon is no number"),
        (["colour=red"], "what can be set: latency, cost, reliability"),
        ([], "say what to set, or --reset"),
    ],
)
def test_settings_that_do_not_fit(project: Path, settings: list[str], said: str) -> None:
    result = route(project, "set", "fraud", *settings)
    assert (result.code, said in result.err) == (2, True), result.err
    assert journal(project) == []


def test_split_and_back(project: Path) -> None:
    value = item(route(project, "split", "fraud", "fraud=90", "fraud-next=10", "--reason", "a canary", "-o", "json"))["value"]
    assert value == {"split": {"fraud": 90, "fraud-next": 10}}
    assert "fraud=90" in str(journal(project)[-1]["text"])
    wrong = route(project, "split", "fraud", "fraud=90", "fraud-next=20")
    assert (wrong.code, "add up to 110, not to 100" in wrong.err) == (2, True)
    assert "mcml route split --help" in wrong.err
    assert route(project, "split", "fraud", "--reset").code == 0


def test_a_route_has_one_pin(project: Path) -> None:
    assert route(project, "pin", "fraud", "us-1", "--for", "1h").code == 0
    assert route(project, "pin", "fraud", "eu-1", "--reason", "us-1 is slow").code == 0
    assert item(route(project, "unpin", "fraud", "-o", "json"))["target"] == "eu-1"
    assert route(project, "unpin", "fraud").code == 5
    assert route(project, "drain", "fraud@us-1").code == 0
    drained = route(project, "pin", "fraud", "us-1")
    assert (drained.code, "mcml route undrain fraud@us-1" in drained.err) == (1, True)


def test_without_a_router_that_is_said(project: Path) -> None:
    assert "no router of this project runs on this machine" in route(project, "pin", "fraud", "us-1").err


def test_explain_finds_what_the_routers_file_has_lost_in_the_journal(project: Path) -> None:
    now = utc_now()
    part = {"share": 0.4, "score": 1.0, "why": "3.0 ms, best 3.0 ms"}
    backend: dict[str, object] = {"backend": "fraud@eu-1", "place": "up", "score": 0.9, "weight": 100, "held": ""}
    backend |= dict.fromkeys(("latency", "cost", "reliability"), part)
    with Store(f"sqlite:///{project}/.mcml/mcml.db") as store:
        for minutes, reason in ((90, "the route starts"), (60, "fraud@us-1 is out"), (30, "fraud@us-1 is up")):
            facts: dict[str, object] = {"route": "fraud", "model": "fraud", "weights": {"fraud@eu-1": 100}, "previous": {}}
            facts |= {"reason": reason, "backends": [backend], "last_resort": False, "overrides": []}
            store.append(Fact("route.weights", "route", "", facts, now - timedelta(minutes=minutes)))
        store.append(*(Fact("route.weights", "route", "", {"route": "other", "weights": {}}, now) for _ in range(600)))
    found = item(route(project, "explain", "fraud", "--at", rfc3339(now - timedelta(minutes=45)), "-o", "json"))
    assert (found["because"], found["weight"]) == ("fraud@us-1 is out", 100)
    assert "3.0 ms, best 3.0 ms" in route(project, "explain", "fraud", "--at", "75m").out
    assert "fraud@us-1 is up" in route(project, "explain", "fraud").out
    moment = now - timedelta(hours=3)
    assert f"no decision was made before {rfc3339(moment)}" in route(project, "explain", "fraud", "--at", rfc3339(moment)).out


def test_a_route_that_is_no_more_is_explained_for_a_moment_when_it_was(project: Path) -> None:
    about = {"at": rfc3339(utc_now()), "reason": "it starts", "weights": {}, "previous": {}, "backends": [], "last_resort": False}
    folder = project / ".mcml" / "route"
    folder.mkdir(parents=True)
    (folder / "decisions.jsonl").write_text("".join(json.dumps({**about, "route": name}) + "\n" for name in ("fraud", "gone")))
    assert "gone" not in route(project, "explain").out
    assert "# gone at" in route(project, "explain", "--at", "2100-01-01").out


def test_the_evidence_is_shown(project: Path) -> None:
    none = route(project, "logs", "--evidence")
    assert (none.code, "there is no evidence log" in none.err) == (5, True)
    line: dict[str, object] = {"at": rfc3339(utc_now()), "request_id": "r-1", "route": "local", "asked": "eu", "region": "eu"}
    line |= {"backend": "fraud@eu-1", "backend_region": "eu-west-1", "attempts": 1, "status": 200}
    folder = project / ".mcml" / "route"
    folder.mkdir(parents=True)
    (folder / "evidence.jsonl").write_text(json.dumps(line) + "\n" + json.dumps({**line, "request_id": "r-2", "status": 403}) + "\n")
    shown = json.loads(route(project, "logs", "--evidence", "-o", "json").out)
    assert (shown["kind"], [each["name"] for each in shown["items"]]) == ("RouteEvidence", ["r-1", "r-2"])
    assert [each["name"] for each in json.loads(route(project, "logs", "--evidence", "--errors", "-o", "json").out)["items"]] == ["r-2"]
    assert "fraud@eu-1" in route(project, "logs", "local", "--evidence").out
