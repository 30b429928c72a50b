"""`mcml cost anomalies`, and what lies between the ledger and the detector."""

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.cli.main import main
from mcml.cost.anomaly import desk, scan
from mcml.cost.anomaly.daily import Limits
from mcml.store.db import Store
from mcml.store.ledger.book import Group, Ledger
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.focus import row, text_row, write_csv

FIRST = datetime(2026, 7, 6, tzinfo=UTC)
LENGTH, SPIKE = 80, 74
ONE_DAY = timedelta(days=1)


def group(at: int, cost: str, *, key: tuple[str | None, ...] = ("db",), source: str = "billed", rows: int = 24) -> Group:
    start = FIRST + at * ONE_DAY
    day = start.strftime("%Y-%m-%d")
    return Group(
        "USD", (*key, "Acme", source, day), Decimal(cost), Decimal(cost), rows, None, start, start + ONE_DAY, FIRST + 400 * ONE_DAY
    )


def quiet(**changes: object) -> list[Group]:
    return [group(at, "100", **changes) for at in range(LENGTH)]  # type: ignore[arg-type]


def test_a_spike_in_one_scope_and_nothing_in_the_other() -> None:
    groups = [*quiet(), *quiet(key=("web",))]
    groups[SPIKE] = group(SPIKE, "300")
    (found,) = scan.scan(("service",), groups, Limits())
    assert (found.key, found.finding.kind) == (("db",), "spike")
    assert (found.finding.actual, found.finding.impact) == (Decimal(300), Decimal(200))
    assert (found.state, found.name) == ("over", "db")


def test_the_newest_days_with_few_rows_are_no_drop() -> None:
    groups = quiet()
    for at in (77, 78, 79):
        groups[at] = group(at, "10", rows=3)
    assert scan.scan(("service",), groups, Limits()) == []
    for at in (77, 78, 79):
        groups[at] = group(at, "10")
    assert [each.finding.kind for each in scan.scan(("service",), groups, Limits())] == ["drop"]


def test_a_service_that_ends_while_the_bill_goes_on_is_a_drop_and_a_bill_that_ends_is_not() -> None:
    web = quiet(key=("web",))
    assert [each.finding.kind for each in scan.scan(("service",), [*quiet()[:70], *web], Limits())] == ["drop"]
    assert scan.scan(("service",), [*quiet()[:70], *web[:70]], Limits()) == []


def test_a_provider_that_has_left_does_not_blind_the_scopes_it_was_in() -> None:
    """One of two clouds was given up long ago: its bill will never have the days since, and still a spike is told, and its end."""
    after = 120
    kept = [group(at, "1000" if at == after - 10 else "100") for at in range(after)]
    gone = [each._replace(key=("db", "Gone", "billed", each.key[-1])) for each in quiet()[:30]]
    assert [each.finding.kind for each in scan.scan(("service",), [*kept, *gone], Limits())] == ["spike", "drop"]
    late = [each for each in gone if str(each.key[-1]) < "2026-07-30"]
    assert scan.scan(("service",), [*kept[:35], *late], Limits()) == [], "a bill that is only late is waited for"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, scan.RIPENING), st.integers(0, 16), st.booleans())
def test_a_bill_that_is_not_there_yet_is_never_a_drop(missing: int, partial: int, rows: int, estimated: bool) -> None:
    """One of two clouds of a scope lacks its newest days, and of those before only some rows are there, with or without estimates."""
    end = LENGTH - missing
    few = [group(at, str(rows * 100 // 24), rows=rows or 1) for at in range(end - partial, end)]
    late = [*(group(at, "100") for at in range(end - partial)), *few]
    ahead = [group(at, "3", source="estimate", rows=2) for at in range(end - partial, LENGTH)] if estimated else []
    other = [each._replace(key=("db", "Late", *each.key[2:])) for each in [*late, *ahead]]
    assert scan.scan(("service",), [*quiet(), *other], Limits()) == []


def test_a_day_is_complete_when_a_charge_ends_after_it_and_its_rows_are_there() -> None:
    groups = quiet()[:20]
    groups[-1] = group(19, "100", rows=10)
    ripe = scan.ripe_days(groups)
    assert [day.isoformat() for day, complete in ripe.items() if not complete] == ["2026-07-25"]
    assert len(ripe) == 20
    partial = group(20, "5")
    early = partial._replace(last=partial.first + timedelta(hours=5))
    assert [day.day for day, complete in scan.ripe_days([*quiet()[:20], early]).items() if not complete] == [26]


def counted(rows: list[int], *, currency: str = "USD") -> list[Group]:
    """Days of one provider, the newest last, with so many rows each."""
    days = [group(at, "1", rows=count) for at, count in enumerate(rows)]
    return [each._replace(currency=currency, key=("Acme", each.key[-1])) for each in days]


def test_how_late_a_bill_is_comes_from_what_the_ledger_was() -> None:
    """Two weeks ago the day before had 40 % of its rows and the one before that 95 %: a day is complete at three days of age."""
    at = (FIRST + 10 * ONE_DAY).date()
    then, now = counted([100] * 8 + [95, 40]), counted([100] * 10)
    assert scan.ripening(then, now, at) == {"Acme": 3}
    assert scan.ripening(now, now, at) == {"Acme": 0}
    assert scan.ripening([], now, at) == {}, "who was not there then tells nothing"
    both = [*counted([50] * 10), *counted([50] * 10, currency="EUR")]
    assert scan.ripening(both, now, at) == {"Acme": 0}
    until = at - 2 * ONE_DAY
    assert [complete for _, complete in sorted(scan.ripe_days(quiet()[:10], until).items())] == [True] * 8 + [False] * 2


def test_a_bill_that_is_always_late_is_waited_for(tmp_path: Path) -> None:
    """Each day's delivery lacks nearly all of the last two days: with the ledger's own past that is no drop."""
    now = FIRST + LENGTH * ONE_DAY
    for back in (14, 7, 0):
        length = LENGTH - back
        rows = [
            row(
                "100" if at < length - 3 else "1",
                BillingPeriodStart=FIRST,
                BillingPeriodEnd=FIRST + 200 * ONE_DAY,
                ChargePeriodStart=FIRST + at * ONE_DAY,
                ChargePeriodEnd=FIRST + (at + 1) * ONE_DAY,
            )
            for at in range(length)
            for _ in range(4 if at < length - 3 else 3)
        ]
        Intake(tmp_path, lambda back=back: now - back * ONE_DAY).rows(rows, origin="acme")  # type: ignore[misc]
    ledger = Ledger(tmp_path)
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        question = desk.Question(("service",), now - timedelta(days=30), now, Limits())
        assert desk.look(ledger, store, question) == []
    groups = ledger.totals(("service", *scan.ASKED))
    assert [each.finding.kind for each in scan.scan(("service",), groups, Limits())] == ["drop"]


def test_a_charge_in_advance_is_no_news_of_tomorrow() -> None:
    known = [each._replace(ingested=FIRST + LENGTH * ONE_DAY) for each in quiet()]
    ahead = group(LENGTH + 25, "2000")._replace(ingested=FIRST + LENGTH * ONE_DAY)
    assert scan.scan(("service",), [*known, ahead], Limits()) == []
    assert max(scan.ripe_days([*known, ahead])) == (FIRST + LENGTH * ONE_DAY).date()


def test_a_ledger_of_nothing_but_estimates_has_none() -> None:
    assert scan.scan(("service",), quiet(source="estimate"), Limits()) == []


def test_estimates_are_no_costs_yet() -> None:
    groups = [*quiet(), group(LENGTH, "900", source="estimate")]
    assert scan.scan(("service",), groups, Limits()) == []


def test_what_somebody_expects_is_silent_up_to_its_size_and_a_wrong_one_raises_the_floor() -> None:
    groups = quiet()
    groups[SPIKE] = group(SPIKE, "300")
    expected = scan.Feedback("expected", ("service",), ("db",), "USD", "spike", Decimal(150))
    assert [each.state for each in scan.scan(("service",), groups, Limits(), [expected])] == ["expected"]
    smaller = scan.Feedback("expected", ("service",), ("db",), "USD", "spike", Decimal(100))
    assert [each.state for each in scan.scan(("service",), groups, Limits(), [smaller])] == ["over"]
    elsewhere = scan.Feedback("expected", ("service",), ("web",), "USD", "spike", Decimal(150))
    assert [each.state for each in scan.scan(("service",), groups, Limits(), [elsewhere])] == ["over"]
    wrong = scan.Feedback("wrong", ("service",), ("db",), "USD", "spike", Decimal(200))
    assert scan.scan(("service",), groups, Limits(), [wrong]) == []


PARTS = st.tuples(*(st.sampled_from(["a", "b", "c", "d", "e", None]) for _ in scan.PARTS))
MONEY = st.decimals(min_value=-(10**6), max_value=10**6, places=24)
SPAN = st.lists(st.builds(lambda key, cost: group(0, str(cost), key=key), PARTS, MONEY), max_size=12)


@given(SPAN, SPAN)
def test_each_split_adds_up_to_the_whole_change(before: list[Group], after: list[Group]) -> None:
    def plain(groups: list[Group]) -> list[Group]:
        return [each._replace(key=each.key[:3]) for each in groups]

    change = total((*(each.effective for each in after), *(each.effective.copy_negate() for each in before)))
    for moved in scan.explain(plain(before), plain(after)).values():
        assert total(each.delta for each in moved) == change
        assert len(moved) <= 4


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Eighty days until the day before yesterday: two services, one with a spike from one resource."""
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    draw = random.Random(5)
    newest = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = []
    for at in range(LENGTH):
        start = newest - (LENGTH - at) * ONE_DAY
        month = start.replace(day=1)
        times = {
            "BillingPeriodStart": month.isoformat(),
            "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1).isoformat(),
            "ChargePeriodStart": start.isoformat(),
            "ChargePeriodEnd": (start + ONE_DAY).isoformat(),
        }
        for service, resource, cost in (("db", "db-1", 60), ("db", "db-2", 40), ("web", "web-1", 500)):
            dear = "212.123456789" if (at, resource) == (SPIKE, "db-2") else f"{cost * draw.uniform(0.98, 1.02):.6f}"
            rows.append(text_row(**times, EffectiveCost=dear, BilledCost=dear, ServiceName=service, ResourceId=resource, SkuId="s"))
    Intake(tmp_path / ".mcml" / "cost").files([write_csv(tmp_path / "bill.csv", rows)])
    return tmp_path


class Here:
    """mcml in this process, in a project's folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> str:
        assert main(["cost", "anomalies", *arguments]) == 0
        return self.capsys.readouterr().out.strip()

    def listed(self, *more: str) -> list[dict[str, object]]:
        items: list[dict[str, object]] = json.loads(self(*more, "-o", "json"))["items"]
        return items


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    monkeypatch.chdir(project)
    return Here(capsys)


def test_what_scripts_see(here: Here) -> None:
    (item,) = here.listed()
    assert set(item) == {
        "name", "scope", "service", "kind", "first_day", "last_day", "currency", "expected", "expected_low", "expected_high", "actual",
        "impact", "state", "note", "compared_with", "moved", "parts", "where",
    }  # fmt: skip
    assert (item["scope"], item["kind"], item["state"]) == ("db", "spike", "over")
    moved = item["moved"]
    assert isinstance(moved, dict)
    assert (moved["resource"][0]["name"], moved["resource"][0]["others"]) == ("db-2", 0)
    sums = [total(Decimal(each["delta"]) for each in several) for several in moved.values()]
    parts = item["parts"]
    assert isinstance(parts, dict)
    assert {*sums, total(map(Decimal, parts.values()))} == {sums[0]}
    assert Decimal(150) < sums[0] < Decimal(180)


def test_an_anomaly_is_told_to_the_journal_once(here: Here, project: Path) -> None:
    (item,) = here.listed()
    told = [here("check", *more, "-o", "name") for more in (["--dry-run"], [], [])]
    assert told == [item["name"], item["name"], ""]
    with Store(f"sqlite:///{project}/.mcml/mcml.db") as store:
        assert [entry.facts["id"] for entry in store.entries() if entry.kind == "cost.anomaly_found"] == [item["name"]]


def test_what_people_say_is_remembered_and_can_be_taken_back(here: Here) -> None:
    name = str(here.listed()[0]["name"])
    here("mark", name, "expected", "--note", "load test")
    assert here.listed() == []
    assert [(item["state"], item["note"]) for item in here.listed("--all")] == [("expected", "load test")]
    here("mark", name, "forget")
    assert [item["state"] for item in here.listed()] == ["over"]
    here("mark", name, "wrong", "--dry-run")
    assert len(here.listed()) == 1
    here("mark", name, "wrong")
    assert here.listed("--all") == []


def test_other_scopes_and_conditions(here: Here) -> None:
    assert [item["scope"] for item in here.listed("--by", "resource")] == ["db-2"]
    assert here.listed("--where", "service=web") == []
    assert here.listed("--since", "2d") == []
    assert len(here.listed("--by", "service", "--by", "resource", "--limit", "1")) == 1
    assert [item["service"] for item in here.listed("--by", "service,resource", "--where", "resource~db-*")] == ["db"]


def test_the_list_on_a_terminal_and_in_a_pipe(project: Path) -> None:
    shown = run(["cost", "anomalies"], cwd=project, terminal=True)
    for part in ("Anomalies in USD", "db", "spike", "resource db-2", "over"):
        assert part in shown.out, part
    piped = run(["cost", "anomalies", "-q"], cwd=project)
    assert "\x1b" not in piped.out
    assert "\tdb\tspike\t" in piped.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--by", "servce"], 2, "did you mean 'service'?"),
        (["--by", "service,day"], 2, "a day is no scope"),
        (["--where", "nonsense"], 2, "cannot read the condition"),
        (["--since", "soon"], 2, "'soon' is no time"),
        (["mark", "0000000000", "expected"], 5, "no anomaly '0000000000'"),
        (["mark", "0000000000", "forget"], 5, "nothing was said"),
        (["mark", "0000000000", "fine"], 2, "fine"),
    ],
)
def test_what_goes_wrong_is_said(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["cost", "anomalies", *arguments]) == code
    assert said in capsys.readouterr().err


def test_an_empty_ledger_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    monkeypatch.chdir(tmp_path)
    assert Here(capsys).listed() == []
    assert "0 days of history, more than 28 are needed to tell what is unusual" in Here(capsys)("list")
    days = [row("9", ChargePeriodStart=start, ChargePeriodEnd=start + ONE_DAY) for start in (FIRST, FIRST + 27 * ONE_DAY)]
    Intake(tmp_path / ".mcml" / "cost").rows(days, origin="a short bill")
    assert "28 days of history, more than 28 are needed" in Here(capsys)("list"), "which is not the same as nothing unusual"
