"""The SQL rules, asked one text at a time: which texts are values, and which reason the others get."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcml.store.ledger import rules
from mcml.store.ledger.engine import connected, identifier, sql
from mcml.store.ledger.schema import FOCUS, INPUT, REQUIRED, map_columns

FINE = {
    "BilledCost": "1",
    "EffectiveCost": "1",
    "BillingCurrency": "USD",
    "BillingAccountId": "a",
    "BillingPeriodStart": "2026-10-01",
    "BillingPeriodEnd": "2026-11-01",
    "ChargePeriodStart": "2026-10-05T10:00:00Z",
    "ChargePeriodEnd": "2026-10-05T11:00:00Z",
    "ChargeCategory": "Usage",
    "ServiceProviderName": "p",
}


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    with connected("test") as opened:
        opened.execute("CREATE TABLE raw (" + ", ".join(f"{identifier(name)} VARCHAR" for name in INPUT) + ")")
        opened.execute("CREATE TABLE tagged (tag_text VARCHAR)")
        yield opened


def judge(connection: Any, **texts: str | None) -> str:
    row = {**dict.fromkeys(INPUT), **FINE, **texts}
    connection.execute("DELETE FROM raw")
    connection.execute(f"INSERT INTO raw VALUES ({', '.join('?' * len(INPUT))})", [row[name] for name in INPUT])
    raws = {name: (identifier(name), rules.TEXT, rules.value(name)) for name in INPUT}
    return str(connection.execute(f"SELECT {rules.reasons(raws)} FROM raw").fetchone()[0])


def fault(connection: Any, column: str, text: str) -> str | None:
    """What is wrong with one column alone: much quicker than a whole row."""
    connection.execute("DELETE FROM raw")
    connection.execute(f"INSERT INTO raw ({identifier(column)}) VALUES (?)", [text])
    found: str | None = connection.execute(f"SELECT {rules.malformed(column)} FROM raw").fetchone()[0]
    return found


def read(connection: Any, column: str) -> Any:
    return connection.execute(f"SELECT {rules.value(column)} FROM raw").fetchone()[0]


def test_a_fine_row_has_no_reason(connection: Any) -> None:
    assert judge(connection) == ""


@pytest.mark.parametrize("column", REQUIRED)
def test_a_row_without_a_required_column_says_so(connection: Any, column: str) -> None:
    assert judge(connection, **{column: None}) == f"{column} is missing"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.00000000603", "0.00000000603"),
        ("-2.61370000000", "-2.6137"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+3", "3"),
        ("99999999999999.999999999999999999999999", "99999999999999.999999999999999999999999"),
        ("0.000000000000000000000001", "0.000000000000000000000001"),
        ("1.10000000000000000000000000000000000000", "1.1"),
        ("1e-7", "0.0000001"),
        ("1.5E+3", "1500"),
        ("1.2345678901234567e-10", "0.000000000123456789012346"),
    ],
)
def test_a_number_is_read_exactly(connection: Any, text: str, value: str) -> None:
    assert fault(connection, "BilledCost", text) is None
    assert read(connection, "BilledCost") == Decimal(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "is not a number"),
        ("inf", "is not a number"),
        ("-Infinity", "is not a number"),
        ("1_000", "is not a number"),
        ("1,000.50", "is not a number"),
        ("$5", "is not a number"),
        ("0x10", "is not a number"),
        ("abc", "is not a number"),
        ("١", "is not a number"),
        ("1e", "is not a number"),
        ("100000000000000", "has more than 14 digits before the point"),
        ("1e30", "has more than 14 digits before the point"),
        ("0.0000000000000000000000001", "has more than 24 decimals"),
        ("12345678901234567890123456789012345678", "has more than 14 digits before the point"),
    ],
)
@pytest.mark.parametrize("column", ["BilledCost", "ConsumedQuantity"])
def test_what_is_no_number_says_so(connection: Any, column: str, text: str, reason: str) -> None:
    assert fault(connection, column, text) == f"{column} {reason}"


@given(st.decimals(min_value=-(10**14) + 1, max_value=10**14 - 1, allow_nan=False, allow_infinity=False))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_decimal_is_booked_exactly_or_refused(connection: Any, amount: Decimal) -> None:
    text = format(amount, "f")
    reason = fault(connection, "BilledCost", text)
    if reason:
        assert reason == "BilledCost has more than 24 decimals"
        assert amount != round(amount, 24)
    else:
        assert read(connection, "BilledCost") == amount


@given(st.text(max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_breaks_the_rules(connection: Any, text: str) -> None:
    for column in ("BilledCost", "ChargePeriodStart", "Tags", "x_Requests"):
        fault(connection, column, text.replace("\0", ""))


@pytest.mark.parametrize(
    "text",
    ["2026-10-05 10:00:00", "2026-10-05T10:00:00Z", "2026-10-05T10:00Z", "2026-10-05T12:00:00+02:00", "2026-10-05 10:00:00.000"],
)
def test_a_time_without_an_offset_is_utc(connection: Any, text: str) -> None:
    assert fault(connection, "ChargePeriodStart", text) is None
    instant = connection.execute(f"SELECT epoch_us({rules.value('ChargePeriodStart')}) FROM raw").fetchone()[0]
    assert instant == 1_791_194_400_000_000


@pytest.mark.parametrize(
    "text",
    ["10/05/2026", "2026-13-01", "yesterday", "epoch", "infinity", "20261005", "294247-01-01", "0044-03-15 (BC)", "9999-12-31T23:59:59-05"],
)
def test_what_is_no_time_says_so(connection: Any, text: str) -> None:
    assert fault(connection, "ChargePeriodStart", text) == "ChargePeriodStart is not a time"


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"ChargeCategory": "usage"}, "ChargeCategory is none of Usage, Purchase, Tax, Credit, Adjustment"),
        ({"BillingCurrency": "usd"}, "BillingCurrency is not an ISO 4217 code"),
        ({"BillingCurrency": "EURO"}, "BillingCurrency is not an ISO 4217 code"),
        ({"x_Source": "guess"}, "x_Source is none of billed, measured, estimate"),
        ({"x_Requests": "1.5"}, "x_Requests is not a whole number"),
        ({"x_Requests": "-1"}, "x_Requests is not a whole number"),
        ({"x_Requests": "99999999999999999999"}, "x_Requests is not a whole number"),
        ({"Tags": "team=ml"}, "Tags is not a JSON object"),
        ({"Tags": '["team"]'}, "Tags is not a JSON object"),
        ({"Tags": '{"team": "ml"'}, "Tags is not a JSON object"),
        ({"ChargePeriodEnd": "2026-10-05T09:00:00Z"}, "ChargePeriodEnd is before ChargePeriodStart"),
        (
            {"BilledCost": "x", "BillingCurrency": None},
            "BillingCurrency is missing; BilledCost is not a number",
        ),
    ],
)
def test_every_fault_has_its_reason(connection: Any, texts: dict[str, str | None], reason: str) -> None:
    assert judge(connection, **texts) == reason


@pytest.mark.parametrize(
    "texts",
    [
        {"ListCost": None},
        {"x_Requests": "12"},
        {"x_Requests": "12.0"},
        {"Tags": '"team": "ml"'},
        {"ChargePeriodEnd": "2026-10-05T10:00:00Z"},
    ],
)
def test_what_can_be_booked_is(connection: Any, texts: dict[str, str | None]) -> None:
    assert judge(connection, **texts) == ""


def dimensions(connection: Any, tags: str) -> dict[str, str]:
    connection.execute("DELETE FROM tagged")
    connection.execute("INSERT INTO tagged VALUES (?)", [tags])
    rows = connection.execute(rules.tag_sets("tagged")).fetchall()
    names = [name for name, *_ in connection.description]
    return {name: said for name, said in zip(names[1:], rows[0][1:], strict=True) if said is not None} if rows else {}


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({"team": "risk", "Environment": "prod"}, {"tag_x_Team": "risk", "tag_x_Environment": "prod"}),
        ({"user:Team": "risk", "mcml/target": "eu-1"}, {"tag_x_Team": "risk", "tag_x_Target": "eu-1"}),
        ({"business-unit": "bu", "owner": "me"}, {"tag_x_Team": "me"}),
        ({"team": "", "Business Unit": "bu"}, {"tag_x_Team": "bu"}),
        ({"team": None, "model": 7}, {"tag_x_Model": "7"}),
        ({" org": "a", "org": "b", 'a"b': "c"}, {}),
    ],
)
def test_dimensions_are_read_out_of_tags(connection: Any, tags: dict[str, object], found: dict[str, str]) -> None:
    assert dimensions(connection, json.dumps(tags)) == found


def test_columns_of_older_versions_are_found_whatever_their_case() -> None:
    mapped = map_columns(["billedcost", "ProviderName", "PublisherName", "Id"])
    assert mapped.columns == {"BilledCost": "billedcost", "ServiceProviderName": "ProviderName", "x_PublisherName": "PublisherName"}
    assert mapped.unknown == ("Id",)
    assert "BillingCurrency" in mapped.missing
    newer = map_columns(["ServiceProviderName", "ProviderName"])
    assert newer.columns["ServiceProviderName"] == "ServiceProviderName"
    assert newer.unknown == ()


def test_the_schema_is_focus_1_4() -> None:
    assert len(FOCUS) == 65
    assert sum(kind == "decimal" for kind in FOCUS.values()) == 12


def test_sql_parts_are_filled_and_a_forgotten_one_is_an_error() -> None:
    assert sql("SELECT ${a}", a="1") == "SELECT 1"
    with pytest.raises(KeyError):
        sql("SELECT ${a}")
