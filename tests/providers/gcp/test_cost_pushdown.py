"""The ledger's totals on BigQuery (its emulator) are those of the ledger itself, to the last digit, by every dimension and condition."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from google.cloud import bigquery as sdk

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.warehouse import open_warehouse
from mcml.store.ledger.book import Group, Ledger, Scope
from mcml.store.ledger.dimensions import DIMENSIONS, parse
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.pushdown import WarehouseLedger
from mcml.store.ledger.schema import COLUMNS, Kind
from tests.cost.focus import row

MONEY = "12345678.123456789012345678901234"
"""24 decimals: NUMERIC would keep 9 of them, and the emulator's 3."""
MONDAY, SUNDAY = datetime(2026, 10, 5, 0, 30, tzinfo=UTC), datetime(2026, 10, 4, 23, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
METER = {"BillingAccountId": "metered", "ServiceProviderName": "Metered", "PricingCategory": "Dynamic"}
"""Where no bill takes the place of an estimate."""
CONDITIONS = ("team=risk", "team!=risk,", "service~Amazon*", "service!~*ambda,", "tag:cost-centre~4?", "day=2026-10-05")
TYPES: Mapping[Kind, str] = {"text": "STRING", "decimal": "BIGNUMERIC", "time": "TIMESTAMP", "json": "STRING", "count": "INTEGER"}
Rows = Sequence[Mapping[str, object]]


def charges() -> list[dict[str, object]]:
    """Two currencies, three sources, weeks that begin, tags with awkward keys, amounts of 24 decimals and of less than nothing."""
    tags = {"cost-centre": "42", "a b": "x", "Team": "risk", 'say "hi"': "yes"}
    common = {"RegionId": "eu-1", "x_Source": "billed"}
    return [
        row(MONEY, **common, Tags=json.dumps(tags), ServiceName="Amazon EC2", x_Team="risk", x_Model="fraud", x_Requests=3),
        row("0.000000000000000000000001", **common, Tags="{}", ServiceName="Amazon S3\nnew line", x_Team="risk"),
        row("-2.5", ServiceName="Lambda", ChargeCategory="Credit", x_Source="billed", RegionName="Frankfurt", x_Team="ops"),
        row("1", BillingCurrency="EUR", ChargePeriodStart=SUNDAY, ChargePeriodEnd=MONDAY, ServiceName="lambda", x_Source="measured"),
        row("5", ChargePeriodStart=SUNDAY, ChargePeriodEnd=MONDAY, ServiceProviderName="Other", x_Source="billed", SkuId="s"),
        row("3", ChargePeriodStart=MONDAY, ChargePeriodEnd=MONDAY + HOUR, x_Source="estimate", x_Requests=4, **METER),
    ]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    Intake(tmp_path / "cost").rows(charges(), origin="test")
    return Ledger(tmp_path / "cost")


def load(ctx: ProviderContext, rows: Iterable[Mapping[str, object]], fields: Sequence[sdk.SchemaField], path: Path) -> str:
    """Make a table of these fields with these rows; return its full name."""
    session, dataset = Session(ctx), f"costs_{uuid.uuid4().hex[:12]}"
    client = session.bigquery
    client.create_dataset(f"{client.project}.{dataset}", retry=None)
    client.create_table(sdk.Table(f"{client.project}.{dataset}.focus", schema=list(fields)), retry=None)
    path.write_text("".join(json.dumps({name: said for name, said in one.items() if said is not None}, default=str) + "\n" for one in rows))
    open_warehouse(ctx).load(dataset, "focus", f"file://{path}", "json")
    return f"{client.project}.{dataset}.focus"


def copy(ctx: ProviderContext, ledger: Ledger, path: Path) -> str:
    """Copy the ledger, all its columns, into a table of BigQuery."""
    with ledger.opened("cannot copy") as connection:
        answer = connection.execute(f"SELECT {', '.join(f'{name}::VARCHAR' for name in COLUMNS)} FROM cost")
        rows = [dict(zip(COLUMNS, said, strict=True)) for said in answer.fetchall()]
    return load(ctx, rows, [sdk.SchemaField(name, TYPES[kind]) for name, kind in COLUMNS.items()], path)


def sorted_groups(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: (group.currency, tuple(part or "" for part in group.key)))


def test_every_dimension_and_condition(bigquery: ProviderContext, ledger: Ledger, tmp_path: Path) -> None:
    told: list[int] = []
    pushed = WarehouseLedger(open_warehouse(bigquery), "bigquery", copy(bigquery, ledger, tmp_path / "rows.json"), told.append)
    names = [*DIMENSIONS, "tag:cost-centre", "tag:a b", 'tag:say "hi"', "tag:none"]
    for by in (names[at : at + 6] for at in range(0, len(names), 6)):
        assert sorted_groups(pushed.totals(by)) == sorted_groups(ledger.totals(by)), by
    (euros, dollars) = pushed.totals(())
    assert (euros.currency, dollars.billed) == ("EUR", Decimal("12345683.623456789012345678901235"))
    assert told == [0] * 6, "the emulator's dry run reads nothing"
    several = ("day", "source", "source", "team")
    assert pushed.totals(several) == ledger.totals(several)
    for text in CONDITIONS:
        scope = Scope(filters=(parse(text),))
        assert sorted_groups(pushed.totals(("service",), scope)) == sorted_groups(ledger.totals(("service",), scope)), text
    span = Scope(MONDAY, MONDAY + 10 * HOUR, where={"source": "estimate"})
    assert pushed.totals((), span) == ledger.totals((), span) != []
    counted = Scope(with_requests=True)
    assert pushed.totals((), counted) == ledger.totals((), counted)


def test_a_table_that_google_made(bigquery: ProviderContext, ledger: Ledger, tmp_path: Path) -> None:
    """FOCUS 1.0 with labels that repeat, binary floats, and none of our columns."""
    label = [sdk.SchemaField("key", "STRING"), sdk.SchemaField("value", "STRING")]
    kinds = {"BilledCost": "FLOAT", "EffectiveCost": "NUMERIC", "ChargePeriodStart": "TIMESTAMP", "ChargePeriodEnd": "TIMESTAMP"}
    names = [*kinds, "BillingCurrency", "ProviderName", "ServiceName"]
    fields = [sdk.SchemaField(name, kinds.get(name, "STRING")) for name in names]
    fields.append(sdk.SchemaField("Tags", "RECORD", mode="REPEATED", fields=label))
    times = {"ChargePeriodStart": "2026-10-05T10:00:00Z", "ChargePeriodEnd": "2026-10-05T11:00:00Z"}
    plain = {"BilledCost": 0.1, "EffectiveCost": "0.25", **times, "BillingCurrency": "USD", "ProviderName": "Google Cloud"}
    tagged = {**plain, "BilledCost": 0.2, "Tags": [{"key": "team", "value": 'ri"sk'}, {"key": "env", "value": "prod"}]}
    table = load(bigquery, [plain, tagged], fields, tmp_path / "rows.json")
    pushed = WarehouseLedger(open_warehouse(bigquery), "bigquery", table)
    (whole,) = pushed.totals(("provider", "source"))
    end = datetime(2026, 10, 5, 11, tzinfo=UTC)
    assert (whole.key, whole.billed, whole.effective) == (("Google Cloud", "billed"), Decimal("0.3"), Decimal("0.5"))
    assert (whole.requests, whole.last, whole.ingested) == (None, end, end)
    assert {group.key: group.billed for group in pushed.totals(("tag:team",))} == {(None,): Decimal("0.1"), ('ri"sk',): Decimal("0.2")}


def test_what_is_no_table_of_costs(bigquery: ProviderContext, tmp_path: Path) -> None:
    table = load(bigquery, [{"id": 1}], [sdk.SchemaField("id", "INTEGER")], tmp_path / "rows.json")
    pushed = WarehouseLedger(open_warehouse(bigquery), "bigquery", table)
    with pytest.raises(InvalidRequest, match="is no table of FOCUS costs") as caught:
        pushed.totals(())
    assert "BilledCost, BillingCurrency" in caught.value.why
    with pytest.raises(NotFound, match="no table"):
        replace(pushed, table=f"{table}s").totals(())
