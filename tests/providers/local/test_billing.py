"""The bill of `local`: usage logs in, FOCUS rows out, exact to the last digit."""

import json
import os
import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.providers.api.billing import Billing, FocusRow, Period
from mcml.providers.local.billing import GIB, HOUR, SCALE, by_hour, open_billing, rounded
from mcml.providers.local.settings import Price
from mcml.providers.local.target import create_target
from mcml.providers.local.usage import Segment, microseconds, segments, usage_runs
from mcml.testing.contracts.billing import BillingContract
from tests.providers.local.conftest import MakeContext

NINE = datetime(2026, 5, 1, 9, tzinfo=UTC)
MAY = Period(datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
TAGS = {"team": "risk", "project": "p1", "environment": "dev"}
WriteLog = Callable[..., Path]


def line(minute: float, cpu: float, *, rss: int = GIB, requests: int = 0, pid: int = 7, started: datetime = NINE, **more: object) -> str:
    at = rfc3339(NINE + timedelta(minutes=minute))
    values = {"at": at, "pid": pid, "started": started.timestamp(), "model": "fraud", "version": "1", "digest": "d"}
    used = {"cpu_seconds": cpu, "rss_bytes": rss, "requests": requests, "errors": 0, "client_errors": 0}
    return json.dumps({**values, **used, **more})


@pytest.fixture
def write_log(root: Path) -> WriteLog:
    """Writes a usage log that was last touched when its last line was written."""

    def write(*lines: str, run: str = "r1", model: str = "fraud", touched: datetime | None = None, region: str = "eu") -> Path:
        log = root / "usage" / "eu-1" / model / "1" / f"{run}.jsonl"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(f"{text}\n" for text in lines))
        log.with_suffix(".run.json").write_text(json.dumps({"region": region, "tags": TAGS}))
        stamp = (touched or max(parse_rfc3339(at) for at in re.findall(r'"at": "(2026[^"]+)"', log.read_text()))).timestamp()
        os.utime(log, (stamp, stamp))
        return log

    return write


class TestBilling(BillingContract):
    @pytest.fixture
    def billing(self, make_context: MakeContext, write_log: WriteLog, root: Path) -> Billing:
        create_target(root, "eu-1", "eu", 2)
        write_log(line(10, 20.5, requests=3), line(70, 100, requests=9), line(71, 100.123457, requests=9, final=True))
        write_log(line(20, 1, rss=3), line(25, 2, rss=GIB // 3), run="r2", model="other", region="us")
        return open_billing(make_context(prices={"us": Price(vcpu_hour=Decimal("0.0416666"), gib_hour=Decimal(0))}))

    @pytest.fixture
    def billed(self) -> Period:
        return Period(NINE - timedelta(hours=1), NINE + timedelta(hours=3))


def rows(make_context: MakeContext, period: Period = MAY, **settings: object) -> list[FocusRow]:
    return list(open_billing(make_context(**settings)).rows(period))


def column(found: list[FocusRow], name: str, sku: str = "vcpu-hour") -> list[object]:
    return [row[name] for row in found if row["SkuId"] == sku]


def test_one_hour_of_one_run(make_context: MakeContext, write_log: WriteLog) -> None:
    write_log(line(10, 60, requests=5), line(30, 90, rss=2 * GIB, requests=12, final=True))
    cpu, memory = rows(make_context, price=Price(vcpu_hour=Decimal("0.4"), gib_hour=Decimal("0.03")))
    assert (cpu["PricingQuantity"], cpu["BilledCost"], cpu["x_Requests"]) == (Decimal("0.025"), Decimal("0.0100"), Decimal(12))
    # 10 minutes at 1 GiB and 20 at 2 GiB are 50 GiB-minutes
    assert (memory["PricingQuantity"], memory["x_Requests"]) == (Decimal("0.833333333333"), None)
    assert memory["BilledCost"] == Decimal("0.02499999999999")
    for row in (cpu, memory):
        assert row["EffectiveCost"] == row["ListCost"] == row["ContractedCost"] == row["BilledCost"]
        assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == (NINE, NINE + timedelta(hours=1))
        assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (MAY.start, MAY.end)
        assert (row["BillingAccountId"], row["RegionId"], row["ResourceId"]) == (socket.gethostname(), "eu", "fraud@eu-1")
        assert (row["x_Model"], row["x_Target"], row["x_Version"], row["x_Run"]) == ("fraud", "eu-1", "1", "r1")
        assert (row["x_Team"], row["x_Project"], row["x_Environment"], row["x_Source"]) == ("risk", "p1", "dev", "measured")
        assert json.loads(str(row["Tags"])) == TAGS
    assert (cpu["ConsumedUnit"], memory["ConsumedUnit"]) == ("vCPU-Hours", "GiB-Hours")


def test_hours_cut_what_runs_across_them(make_context: MakeContext, write_log: WriteLog) -> None:
    write_log(line(30, 0), line(150, 7200, requests=10), line(150, 7200, requests=10, final=True))
    found = rows(make_context)
    assert column(found, "ChargePeriodStart") == [NINE, NINE + timedelta(hours=1), NINE + timedelta(hours=2)]
    assert column(found, "PricingQuantity") == [Decimal("0.5"), Decimal(1), Decimal("0.5")]
    assert column(found, "PricingQuantity", "gib-hour") == [Decimal(1), Decimal(1), Decimal("0.5")]
    assert column(found, "x_Requests") == [0, 0, 10]


def test_tokens_stand_with_the_cpu_time_of_their_hour(make_context: MakeContext, write_log: WriteLog) -> None:
    """Each is there where the log speaks of it: an hour without any has 0 of what the run counts, for it cost something, too."""
    last = line(155, 7200, requests=11, input_tokens=750, final=True)
    write_log(line(30, 0, input_tokens=0), line(150, 7200, requests=10, input_tokens=700), last)
    found = rows(make_context)
    assert column(found, "x_InputTokens") == [0, 0, 750]
    assert column(found, "x_OutputTokens") == [None] * 3
    assert column(found, "x_InputTokens", "gib-hour") == [None] * 3
    write_log(line(30, 36, requests=4, output_tokens=9), run="r2", model="other")
    mine = [row for row in rows(make_context) if row["x_Model"] == "other" and row["SkuId"] == "vcpu-hour"]
    assert [(row["x_InputTokens"], row["x_OutputTokens"]) for row in mine] == [(None, 9)]


def test_a_line_whose_tokens_cannot_be_is_skipped_and_one_without_takes_none_away(make_context: MakeContext, write_log: WriteLog) -> None:
    bad = [line(2, 7, input_tokens=said) for said in (-1, "9", 1e300, [1])]
    write_log(line(1, 6, input_tokens=5), *bad, line(3, 8), line(10, 36, requests=4, input_tokens=8, final=True))
    assert (column(rows(make_context), "x_InputTokens"), column(rows(make_context), "x_Requests")) == ([8], [4])


def test_the_month_may_change_in_a_run(make_context: MakeContext, write_log: WriteLog) -> None:
    write_log(line(0, 0, started=datetime(2026, 4, 30, 23, 30, tzinfo=UTC), final=True))
    period = Period(datetime(2026, 4, 1, tzinfo=UTC), MAY.end)
    starts = column(rows(make_context, period), "BillingPeriodStart")
    assert starts == [datetime(2026, 4, 1, tzinfo=UTC)] + [MAY.start] * 9
    december = microseconds(datetime(2026, 12, 31, 23, tzinfo=UTC)) // HOUR
    assert [use.hour for use in by_hour([Segment(december * HOUR, december * HOUR + 1, 1, 1, 0, 0, 0)])] == [december]


def test_a_torn_line_and_lines_that_are_none_are_skipped(make_context: MakeContext, write_log: WriteLog) -> None:
    good = line(10, 36, requests=4)
    bad = ["", "\x00", "null", "[]", "[" * 100_000, line(11, 1e300)]
    bad += ['{"at": "yesterday"}', line(11, -1), line(12, 50).replace('"pid"', '"dip"'), line(13, 90)[:60]]
    log = write_log(good, *bad)
    with log.open("ab") as torn:
        torn.write(line(20, 72).encode()[:-9])
    os.utime(log, (NINE.timestamp(), NINE.timestamp()))
    assert column(rows(make_context), "PricingQuantity") == [Decimal("0.01")]
    assert column(rows(make_context), "x_Requests") == [4]


def test_a_file_that_two_processes_wrote_counts_both(make_context: MakeContext, write_log: WriteLog) -> None:
    later = NINE + timedelta(minutes=20)
    write_log(line(10, 36, requests=4), line(30, 72, requests=1, pid=8, started=later), line(30, 72, requests=1, pid=8, started=later))
    assert column(rows(make_context), "PricingQuantity") == [Decimal("0.03")]
    assert column(rows(make_context), "x_Requests") == [5]
    assert column(rows(make_context), "PricingQuantity", "gib-hour") == [Decimal("0.333333333333")]


def test_a_clock_that_was_set_back_loses_nothing(make_context: MakeContext, write_log: WriteLog) -> None:
    write_log(line(10, 36, requests=1), line(5, 72, requests=2), line(20, 108, requests=3, final=True))
    assert column(rows(make_context), "PricingQuantity") == [Decimal("0.03")]
    assert column(rows(make_context), "x_Requests") == [3]


def test_an_idle_server_is_up_until_its_file_was_last_touched(make_context: MakeContext, write_log: WriteLog) -> None:
    touch = NINE + timedelta(minutes=61)
    write_log(line(60, 36), touched=touch)
    assert column(rows(make_context), "PricingQuantity", "gib-hour") == [Decimal(1), Decimal("0.016666666667")]
    write_log(line(60, 36), touched=NINE + timedelta(days=20))  # a copied file: beyond 90 s its time is not believed
    assert column(rows(make_context), "PricingQuantity", "gib-hour") == [Decimal(1), Decimal("0.025")]
    write_log(line(60, 36, final=True), touched=touch)
    assert column(rows(make_context), "PricingQuantity", "gib-hour") == [Decimal(1)]


def test_prices_by_region_and_where_they_come_from(make_context: MakeContext, write_log: WriteLog, root: Path) -> None:
    create_target(root, "eu-1", "eu", 1)
    create_target(root, "us-1", "us", 1)
    write_log(line(10, 36, final=True), region="ap")
    now = datetime(2026, 5, 2, tzinfo=UTC)
    own = {"us": Price(vcpu_hour=Decimal("0.05"))}
    prices = open_billing(make_context(prices=own, currency="EUR", clock=lambda: now)).unit_prices()
    assert [(p.region, p.sku, p.unit, p.price) for p in prices] == [
        ("ap", "vcpu-hour", "vCPU-Hours", Decimal("0.04")),
        ("ap", "gib-hour", "GiB-Hours", Decimal("0.005")),
        ("eu", "vcpu-hour", "vCPU-Hours", Decimal("0.04")),
        ("eu", "gib-hour", "GiB-Hours", Decimal("0.005")),
        ("us", "vcpu-hour", "vCPU-Hours", Decimal("0.05")),
        ("us", "gib-hour", "GiB-Hours", Decimal("0.005")),
    ]
    assert {p.region: p.source for p in prices} == {
        "ap": "default of the local provider",
        "eu": "default of the local provider",
        "us": "mcml.toml [providers.local.prices.us]",
    }
    assert {(p.currency, p.as_of) for p in prices} == {("EUR", now)}
    general = open_billing(make_context(price=Price(vcpu_hour=Decimal(1)))).unit_prices("nowhere")
    assert [(p.price, p.source) for p in general] == [(1, "mcml.toml [providers.local.price]"), (Decimal("0.005"), general[0].source)]


def test_freshness(make_context: MakeContext, write_log: WriteLog) -> None:
    for minute, complete in ((1, NINE - timedelta(hours=1)), (2, NINE), (59, NINE)):
        now = NINE + timedelta(minutes=minute)
        fresh = open_billing(make_context(clock=lambda now=now: now)).freshness()
        assert (fresh.complete_until, fresh.changed_at) == (complete, now)
    write_log(line(10, 36), touched=NINE + timedelta(minutes=11))
    assert open_billing(make_context()).freshness().changed_at == NINE + timedelta(minutes=11)


def test_a_run_without_its_tags_is_still_billed(make_context: MakeContext, write_log: WriteLog) -> None:
    write_log(line(10, 36, final=True)).with_suffix(".run.json").write_text("{")
    (cpu, memory) = rows(make_context)
    assert (cpu["RegionId"], cpu["x_Team"], cpu["Tags"], memory["SkuPriceId"]) == (None, None, "{}", "gib-hour/default")


def test_old_logs_are_not_even_opened(root: Path, write_log: WriteLog) -> None:
    write_log(line(10, 36), touched=NINE)
    assert [run.id for run in usage_runs(root, since=NINE)] == ["r1"]
    assert list(usage_runs(root, since=NINE + timedelta(seconds=1))) == []


moments = st.integers(0, 5 * HOUR)
runs = st.lists(st.tuples(moments, st.integers(0, 10**9), st.integers(0, 64 * GIB), st.integers(0, 10**6)), min_size=1, max_size=12)


def chain(steps: list[tuple[int, int, int, int]], begin: int) -> list[Segment]:
    made, at = [], begin
    for length, cpu, rss, requests in steps:
        made.append(Segment(at, at + length, cpu, rss, requests, 0, 0, requests * 3))
        at += length
    return made


@given(runs, moments)
def test_hours_conserve_what_was_used(steps: list[tuple[int, int, int, int]], begin: int) -> None:
    used = chain(steps, begin)
    hours = by_hour(used)
    assert sum(use.cpu for use in hours) == Fraction(sum(segment.cpu for segment in used), HOUR)
    assert sum(use.memory for use in hours) == Fraction(sum(segment.rss * (segment.end - segment.start) for segment in used), GIB * HOUR)
    assert sum(use.requests for use in hours) == sum(segment.requests for segment in used)
    assert sum(use.input_tokens or 0 for use in hours) == sum(segment.input_tokens or 0 for segment in used)
    assert {use.output_tokens for use in hours} == {None}
    assert [use.hour for use in hours] == sorted({use.hour for use in hours})


@given(runs, moments, st.data())
def test_cutting_a_run_in_two_lines_changes_nothing(steps: list[tuple[int, int, int, int]], begin: int, data: st.DataObject) -> None:
    """A log line more, in proportion, is the same bill: hours and totals do not depend on where the lines fall."""
    used = chain(steps, begin)
    number = data.draw(st.integers(0, len(used) - 1))
    whole = used[number]
    share = data.draw(st.integers(0, 10))
    doubled = whole._replace(end=whole.start + (whole.end - whole.start) * 10, cpu=whole.cpu * 10)
    cut = doubled.start + (doubled.end - doubled.start) // 10 * share
    first, second = doubled._replace(end=cut, cpu=whole.cpu * share, requests=0), doubled._replace(start=cut, cpu=whole.cpu * (10 - share))
    if first.start < first.end < second.end:
        assert [use[:3] for use in by_hour([doubled])] == [use[:3] for use in by_hour([first, second])]


@given(st.lists(st.fractions(min_value=0, max_value=10**6), max_size=30))
def test_rounded_parts_add_up_to_the_rounded_total(parts: list[Fraction]) -> None:
    found = rounded(parts)
    assert len(found) == len(parts)
    assert sum(found) == Decimal(round(sum(parts, Fraction(0)) * 10**SCALE)).scaleb(-SCALE)
    for quantity, part in zip(found, parts, strict=True):
        assert quantity >= 0
        assert abs(Fraction(quantity) - part) <= Fraction(1, 10**SCALE)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    log = tmp_path_factory.getbasetemp() / f"noise-{os.getpid()}.jsonl"
    log.write_bytes(noise + b"\n" + line(10, 36).encode())
    assert [segment.cpu for segment in segments(log)] == [36_000_000]
