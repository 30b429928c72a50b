"""What requests cost adds up to the bill, whatever is shared by whatever."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import NotFound
from mcml.core.view import Section
from mcml.cost import unit_views
from mcml.cost.unit import DRIVERS, Driver, build, of_model
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.units import FAILED, TOKENS_IN, TOKENS_OUT, ModelCost, model_costs, tokens_in
from mcml.testing.cli import run
from tests.cost.focus import HOUR, START, row

MONEY = st.decimals(min_value=-(10**9), max_value=10**9, places=24)
MODELS = st.sampled_from(["fraud", "churn", "price", None])
TARGETS = st.sampled_from(["eu-1", "us-1", None])
COUNTS = st.none() | st.integers(0, 10**12)
COSTS = st.lists(
    st.builds(
        ModelCost,
        currency=st.sampled_from(["USD", "EUR"]),
        key=st.tuples(MODELS, TARGETS),
        cost=MONEY,
        metered=MONEY,
        requests=COUNTS,
        failed=COUNTS,
        idle=st.none() | MONEY,
        input_tokens=COUNTS,
        output_tokens=COUNTS,
        tokens=st.none() | st.integers(0, 10**12).map(Decimal),
        on_tokens=MONEY,
    ),
    unique_by=lambda cost: (cost.currency, cost.key),
)


@given(COSTS, st.sampled_from(DRIVERS))
def test_every_digit_of_the_bill_lands_once(costs: list[ModelCost], driver: Driver) -> None:
    tables = build(costs, driver)
    assert [table.currency for table in tables] == sorted({cost.currency for cost in costs})
    for table in tables:
        bill = total(cost.cost for cost in costs if cost.currency == table.currency)
        assert total(line.loaded for line in table.lines) == bill == table.whole.loaded
        assert total(line.direct for line in table.lines) == bill
        assert total(line.shared for line in table.lines) == 0
        assert total(line.usage for line in table.lines) == total(cost.metered for cost in costs if cost.currency == table.currency)
        assert total(line.on_tokens for line in table.lines) == table.whole.on_tokens
        for name in ("tokens", "input_tokens", "output_tokens"):
            assert sum(getattr(line, name) or 0 for line in table.lines) == (getattr(table.whole, name) or 0)
        without = [line for line in table.lines if line.key[0] is None]
        assert len(without) == any(cost.key[0] is None for cost in costs if cost.currency == table.currency)
        if driver == "none":
            assert all(line.shared == 0 for line in table.lines)


def cost(model: str | None, amount: str, requests: int | None = None, **more: str) -> ModelCost:
    metered, idle = (Decimal(more[name]) if name in more else None for name in ("metered", "idle"))
    return ModelCost("USD", (model,), Decimal(amount), metered or Decimal(0), requests, None, idle)


def test_a_share_goes_by_cost_or_by_requests() -> None:
    costs = [cost("fraud", "3", 1000, metered="1"), cost("churn", "1", 3000, metered="0.5"), cost(None, "2")]
    by_cost = {line.key[0]: line for line in build(costs)[0].lines}
    assert {model: (line.shared, line.loaded) for model, line in by_cost.items()} == {
        "fraud": (Decimal("1.5"), Decimal("4.5")),
        "churn": (Decimal("0.5"), Decimal("1.5")),
        None: (Decimal(-2), Decimal(0)),
    }
    fraud = by_cost["fraud"]
    assert (fraud.per_thousand(fraud.usage), fraud.per_thousand(fraud.loaded), fraud.per_request(fraud.loaded)) == (
        Decimal(1),
        Decimal("4.5"),
        Decimal("0.0045"),
    )
    by_requests = {line.key[0]: line.shared for line in build(costs, "requests")[0].lines}
    assert by_requests == {"fraud": Decimal("0.5"), "churn": Decimal("1.5"), None: Decimal(-2)}


def test_a_third_of_a_cent_is_not_lost() -> None:
    lines = build([cost(name, "1") for name in ("a", "b", "c")] + [cost(None, "0.000000000000000000000001")])[0].lines
    assert sorted(line.shared for line in lines) == [Decimal("-1E-24"), Decimal(0), Decimal(0), Decimal("1E-24")]


def test_what_nothing_decides_about_stays_where_it_is() -> None:
    for costs, driver in (([cost("fraud", "3"), cost(None, "2")], "requests"), ([cost("fraud", "-3"), cost(None, "2")], "cost")):
        fraud, rest = build(costs, driver)[0].lines  # type: ignore[arg-type]
        assert [fraud.shared, rest.shared, rest.loaded] == [0, 0, 2]
        assert fraud.per_thousand(fraud.loaded) is None


def test_the_lines_of_one_model_keep_their_share() -> None:
    tables = build([cost("fraud", "3"), cost("churn", "1"), cost(None, "2")])
    (table,) = of_model(tables, "churn")
    assert [line.loaded for line in table.lines] == [Decimal("1.5")] == [table.whole.loaded]
    with pytest.raises(NotFound, match="fruad"):
        of_model(tables, "fruad")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Two hours of a model on a target: asked in the first, idle in the second; a machine that carries no model; another model's fee."""
    folder = tmp_path_factory.mktemp("units")
    fraud = {"x_Model": "fraud", "x_Target": "eu-1", "x_Version": "1"}
    later = {"ChargePeriodStart": START + HOUR, "ChargePeriodEnd": START + 2 * HOUR}
    Intake(folder).rows(
        [
            row("0.4", **fraud, x_Requests=400, **{FAILED: 3}),
            row("0.1", **fraud),
            row("0.02", **fraud, **later, x_Requests=0, **{FAILED: 0}),
            row("0.08", **fraud, **later),
            row("0.3", **later, x_Model="fraud", x_Target="us-1", x_Version="2", x_Requests=100),
            row("0.1", x_Model="churn"),
            row("1"),
        ],
        origin="acme",
    )
    return Ledger(folder)


def test_the_ledger_counts_requests_failures_and_idle_hours(ledger: Ledger) -> None:
    found = {each.key: each for each in model_costs(ledger, ("model",), Scope())}
    fraud = found["fraud",]
    assert (fraud.cost, fraud.metered, fraud.requests, fraud.failed, fraud.idle) == (
        Decimal("0.9"),
        Decimal("0.72"),
        500,
        3,
        Decimal("0.1"),
    )
    assert [found["churn",].requests, found["churn",].idle, found[None,].failed] == [None, None, None]
    by_target = {each.key: each for each in model_costs(ledger, ("model", "target", "version"), Scope())}
    assert by_target["fraud", "eu-1", "1"].idle == Decimal("0.1")
    assert by_target["fraud", "us-1", "2"].idle == 0
    assert by_target["fraud", "us-1", "2"].failed is None


def test_tokens_are_counted_where_a_row_is_of_them(tmp_path: Path) -> None:
    """A chat model of a cloud, sold by the thousand tokens that go in and the million that come out, beside a machine of its own."""
    chat = {"x_Model": "chat", "ServiceName": "Chat"}
    rows = [
        row("0.006", **chat, ConsumedQuantity=Decimal("12.5"), ConsumedUnit="1K tokens"),
        row("0.075", **chat, ConsumedQuantity=Decimal("0.0075"), ConsumedUnit="1M Tokens"),
        row("0.5", **chat, ConsumedQuantity=Decimal(3), ConsumedUnit="Hours"),
        row("1", x_Model="fraud", x_Requests=10),
        row("0.581"),
    ]
    Intake(tmp_path).rows(rows, origin="acme")
    (table,) = build(model_costs(Ledger(tmp_path), ("model",), Scope()), "requests")
    found = {line.key[0]: line for line in table.lines}
    line = found["chat"]
    assert (line.tokens, line.on_tokens, line.direct) == (Decimal(20_000), Decimal("0.081"), Decimal("0.581"))
    assert (line.per_million_tokens(line.on_tokens), line.per_million_tokens(line.loaded)) == (Decimal("4.05"), Decimal("29.05"))
    assert (found["fraud"].tokens, found["fraud"].per_million_tokens(Decimal(1)), table.whole.tokens) == (None, None, Decimal(20_000))
    shown = unit_views.units(("model",), [table])
    assert isinstance(shown.blocks[0], Section) and shown.blocks[0].title == "What 1,000,000 tokens cost, in USD"
    assert [item["usage_per_million_tokens"] for item in shown.items if item["name"] == "chat"] == [Decimal("4.05")]


def test_tokens_that_a_meter_counted_cost_what_their_rows_cost(tmp_path: Path) -> None:
    """A model of our own on a target that counts them, one that does not, and the same model sold by the token at a third place."""
    here, later = {"x_Model": "chat", "x_Target": "eu-1"}, {"ChargePeriodStart": START + HOUR, "ChargePeriodEnd": START + 2 * HOUR}
    counted = [
        row("0.2", **here, x_Requests=4, **{TOKENS_IN: 150_000, TOKENS_OUT: 50_000}),
        row("0.1", **here, **later, x_Requests=0, **{TOKENS_IN: 0, TOKENS_OUT: 0}),
        row("0.3", **here),
    ]
    other = [
        row("0.4", x_Model="chat", x_Target="us-1", x_Requests=9),
        row("0.5", x_Model="chat", x_Target="api", ConsumedQuantity=Decimal(1), ConsumedUnit="1M Tokens"),
        row("0.7", x_Model="sold", x_Requests=1, ConsumedQuantity=Decimal(500), ConsumedUnit="Tokens", **{TOKENS_IN: 400, TOKENS_OUT: 100}),
        row("0.1", x_Model="noise", x_Requests=1, **{TOKENS_IN: "many", TOKENS_OUT: 10**30}),
    ]
    Intake(tmp_path).rows(counted + other, origin="acme")
    found = {each.key: each for each in model_costs(Ledger(tmp_path), ("model", "target"), Scope())}
    mine = found["chat", "eu-1"]
    assert (mine.tokens, mine.input_tokens, mine.output_tokens) == (Decimal(200_000), 150_000, 50_000)
    assert (mine.on_tokens, mine.metered, mine.idle) == (Decimal("0.3"), Decimal("0.3"), Decimal("0.1"))
    assert (found["chat", "us-1"].tokens, found["chat", "us-1"].on_tokens) == (None, Decimal(0))
    assert (found["chat", "api"].tokens, found["chat", "api"].input_tokens) == (Decimal(1_000_000), None)
    assert (found["sold", None].tokens, found["sold", None].on_tokens) == (Decimal(500), Decimal("0.7"))  # the bill's, once
    assert found["noise", None].tokens is None
    (table,) = build(model_costs(Ledger(tmp_path), ("model",), Scope()))
    chat = next(line for line in table.lines if line.key == ("chat",))
    assert (chat.tokens, chat.input_tokens, chat.on_tokens, chat.loaded) == (Decimal(1_200_000), 150_000, Decimal("0.8"), Decimal("1.5"))
    assert (chat.per_million_tokens(chat.on_tokens), chat.per_million_tokens(chat.loaded)) == (Decimal("0.666666666667"), Decimal("1.25"))


@pytest.mark.parametrize(("unit", "tokens"), [("Tokens", 1), ("token", 1), ("1K tokens", 1000), ("1M Tokens", 10**6), ("500 tokens", 500)])
def test_units_of_tokens(unit: str, tokens: int) -> None:
    assert tokens_in(unit) == tokens
    with pytest.raises(ValueError, match="no unit of tokens"):
        tokens_in(unit + " per hour")


def test_what_scripts_see(ledger: Ledger) -> None:
    document = unit_views.units(("model",), build(model_costs(ledger, ("model",), Scope())))
    assert (document.kind, document.version) == ("ModelCostList", 1)
    assert document.items[0] == {
        "name": "fraud",
        "currency": "USD",
        "model": "fraud",
        "requests": 500,
        "failed_requests": 3,
        "usage_cost": Decimal("0.72"),
        "direct_cost": Decimal("0.9"),
        "shared_cost": Decimal("0.9"),
        "loaded_cost": Decimal("1.8"),
        "idle_cost": Decimal("0.1"),
        "idle_percent": Decimal("11.1"),
        "usage_per_request": Decimal("0.00144"),
        "usage_per_thousand_requests": Decimal("1.44"),
        "loaded_per_request": Decimal("0.0036"),
        "loaded_per_thousand_requests": Decimal("3.6"),
        "tokens": None,
        "input_tokens": None,
        "output_tokens": None,
        "usage_per_million_tokens": None,
        "loaded_per_million_tokens": None,
        "where": ["model=fraud"],
    }
    assert [item["name"] for item in document.items] == ["fraud", "churn", "no model"]


def test_on_a_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    Intake(tmp_path / ".mcml/cost").rows(
        [
            row("0.4", x_Model="fraud", x_Target="eu-1", x_Requests=400, **{TOKENS_IN: 2_000_000}),
            row("0.1", x_Model="churn"),
            row("1"),
        ],
        origin="acme",
    )
    shown = run(["cost", "model"], cwd=tmp_path, terminal=True)
    assert shown.code == 0, shown.err
    tokens = ("What 1,000,000 tokens cost, in USD", "Tokens", "Input", "Output", "2,000,000")
    for part in (*tokens, "What 1,000 requests cost, in USD", "Fully loaded", "fraud", "no model", "all", "-1.00"):
        assert part in shown.out, part
    piped = run(["cost", "model", "fraud", "--by", "target", "--shared", "none", "-q"], cwd=tmp_path)
    assert piped.out.splitlines() == [
        "# What 1,000,000 tokens cost, in USD",
        "fraud\teu-1\t2000000\t2000000\t\t0.2\t0.2",
        "# What 1,000 requests cost, in USD",
        "fraud\teu-1\t400\t1\t1",
        "# What the models cost, in USD: direct + shared = fully loaded",
        "fraud\teu-1\t0.4\t0.4\t0\t0.4\t0\t0.0",
        "# What these costs are made of",
        "billed\tUSD\t1.5\t100.0",
    ]
    told = json.loads(run(["cost", "model", "-o", "json"], cwd=tmp_path).out)["items"]
    assert [(item["name"], item["loaded_cost"]) for item in told] == [("fraud", "1.2"), ("churn", "0.3"), ("no model", "0")]
    assert [told[0][name] for name in ("tokens", "input_tokens", "output_tokens")] == ["2000000", 2_000_000, None]

    assert "cannot share by 'tokens'" in run(["cost", "model", "--shared", "tokens"], cwd=tmp_path).err
    unknown = run(["cost", "model", "fruad"], cwd=tmp_path)
    assert (unknown.code, unknown.out) == (5, "")
    assert "fraud" in unknown.err


def test_a_ledger_without_rows_says_how_to_get_some(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    shown = run(["cost", "model"], cwd=tmp_path, terminal=True)
    assert (shown.code, "mcml cost ingest" in shown.out + shown.err) == (0, True)
