"""The official FOCUS use cases on a seeded ledger: each of the 66 runs with typed parameters, returns rows, and says the same as ever."""

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.cli.main import main
from mcml.core.errors import NotFound, Usage
from mcml.cost.questions import library
from mcml.store.ledger import questions
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.exact import plain, total
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.questions import Answer
from mcml.testing.cli import run
from tests.cost import seeded

SINCE, UNTIL = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
SAID = {
    "provider": "AWS",
    "sub-account": "111122223333-prod",
    "service": "Amazon EC2",
    "currency": "Credits",
    "unit": "Credits",
    "resource": "111122223333/vm-1",
    "application": "checkout",
    "tag": "team",
}
FEW = {"analyze-the-different-metered-costs-for-a-particular-sku", "resource-costs-sku"}
"""These two stop after 100 rows in the middle of equals: they are asked about one month."""


def asked(ledger: Ledger, name: str) -> Answer:
    question = library.find(name)
    said = {each: SAID[each] for each in question.parameters if each in SAID}
    since = datetime(2026, 10, 1, tzinfo=UTC) if name in FEW else SINCE
    return questions.ask(ledger, question.sql, question.bound(said, {"since": since, "until": UNTIL}))


def digest(answer: Answer) -> str:
    """Twelve digits of what the rows say, in any order; quotients of floats count to twelve places."""
    rows = sorted(repr([plain(round(cell, 12)) if isinstance(cell, Decimal) else str(cell) for cell in row]) for row in answer.rows)
    return hashlib.sha256("\n".join([repr(answer.columns), *rows]).encode()).hexdigest()[:12]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder = tmp_path_factory.mktemp("seeded")
    done = Intake(folder / "cost").files([seeded.write_csv(folder / "bill.csv", seeded.rows())])
    assert (done.delivery.rows, done.delivery.quarantined) == (309, 0)
    return Ledger(folder / "cost")


PINNED = {
    "allocate-application-multi-currency": (23, "f01efc095ba4"),
    "analyze-capacity-reservations-on-compute-costs": (9, "eb24d0fec1b4"),
    "analyze-cost-by-participating-entities": (16, "8e26c9519e9f"),
    "analyze-credit-memos": (6, "f48763909dec"),
    "analyze-effective-cost-by-pricing-currency": (8, "8d6a91795093"),
    "analyze-purchase-of-virtual-currency": (1, "c216098f6ced"),
    "analyze-service-costs-by-region": (46, "e86e049d136f"),
    "analyze-tag-coverage": (1, "16e45ce9584f"),
    "analyze-the-different-metered-costs-for-a-particular-sku": (45, "fbc4fd98497e"),
    "analyze-total-cost-by-allocated-resource": (3, "918656fbec84"),
    "application-cost": (10, "26d6a587e250"),
    "calculate-average-rate-of-a-component-resource": (4, "479891bf9699"),
    "calculate-commitment-discount-coverage-rate-with-eligibility-adjusted-denominator": (3, "fcbbd4a15a06"),
    "calculate-consumption-of-virtual-currency-within-a-billing-period": (1, "f8daff797ee3"),
    "calculate-unit-economics": (9, "b72ac039d1b6"),
    "cash-vs-accrual-comparison-by-billing-period": (10, "989f7a4c9946"),
    "commitment-discount-effective-cost-breakdown": (36, "bcb9a19593cc"),
    "commitment-discount-purchases": (3, "fe5a2592e563"),
    "compare-billed-budget": (1, "5a3bae00f272"),
    "compare-commitment-opportunities-across-providers-cross-provider-with-saas": (3, "943e94eab3bf"),
    "compare-usage-month-over-month": (52, "673095b68c2b"),
    "corrections-by-subaccount": (5, "7aa74c5c3079"),
    "cost-compute-subaccount": (8, "219d217712cb"),
    "costs-by-availability-zone": (8, "6beb3f2cf731"),
    "costs-service-category": (16, "9a948c5d6144"),
    "costs-service-name": (4, "70c239677b0b"),
    "daily-anomaly-region": (48, "97d0383256bf"),
    "daily-anomaly-services": (66, "13efb86f28f1"),
    "daily-anomaly-subaccount": (40, "4fe2c3c61c2d"),
    "determine-contracted-savings-by-virtual-currency": (3, "9994ec21b26c"),
    "determine-target-of-virtual-currency-usage": (2, "ec3a0bac7200"),
    "discount-effectiveness-by-service": (8, "52b398b0c5ee"),
    "effective-cost-by-service-and-region": (26, "bbe8ca4018d4"),
    "effective-cost-compute": (24, "42f7ab5d6818"),
    "effective-savings-rate": (1, "e9bf27b21ae3"),
    "effective-savings-rate-services": (8, "ddee486b58b7"),
    "forecast-amortized-costs": (44, "a6490eae3047"),
    "forecast-cashflow": (16, "bf6aeca9d6f6"),
    "forecast-costs": (26, "bbe8ca4018d4"),
    "identify-eligible-capacity-reservation-spend": (9, "95d6b3c92164"),
    "identify-eligible-uncovered-spend-by-program-type": (3, "e7577f352a75"),
    "identify-resources-with-shared-cost-allocation": (3, "8a2b45015623"),
    "identify-sources-of-billed-cost": (10, "2e4e8caf0a71"),
    "identify-unused-capacity-reservations": (3, "a8313e84b368"),
    "identify-unused-commitments": (3, "1ffc710c5a45"),
    "marketplace-vendors-costs": (2, "19c09cb782f9"),
    "quantify-usage-of-a-component-resource": (4, "7feeded4c75e"),
    "report-corrections": (3, "8edcf1b4d439"),
    "report-costs-by-service-category-and-subcategory": (16, "4d51ff161961"),
    "report-on-initial-contract-commitments": (4, "baf1062206ab"),
    "report-service-costs-by-providers-subaccount": (9, "c23aa6703f41"),
    "report-spending-across-billing-periods-for-a-service-provider-by-service-category": (4, "efc46698196c"),
    "report-subaccount-regions": (12, "70da92390b9c"),
    "resource-component-costs": (1, "e9cc87d0642e"),
    "resource-costs-sku": (45, "fbc4fd98497e"),
    "service-costs-month-over-month": (16, "0695f50626e8"),
    "service-costs-subaccount": (10, "57cc3da1e90f"),
    "track-contract-commitment-burn-down-over-time": (8, "56c03dff6034"),
    "track-marketplace-purchases-across-providers": (4, "2d9c5478a466"),
    "understand-the-billing-account-or-sub-account-entity": (5, "900e240edf3f"),
    "update-application-budgets": (24, "257927444acd"),
    "update-budgets": (10, "d4093a336e4e"),
    "verify-accuracy-of-provider-invoices-aka-invoice-reconciliation": (8, "7e88cbba36a1"),
    "verify-accuracy-of-service-provider-invoices": (5, "3f1c474a8912"),
    "verify-accuracy-of-services-charges-across-service-providers": (8, "7b428b313386"),
    "verify-discount-accuracy-for-a-previously-invoiced-billing-period-corrections-excluded": (8, "da9ea8e6cc72"),
}
"""Rows, and the digest of what they say."""


def test_every_question_of_the_library_is_pinned() -> None:
    assert len(PINNED) == 66
    assert set(PINNED) == set(library.questions())
    assert {name for each in library.questions().values() for name in each.parameters} == {*library.TIMES, *SAID}
    assert all(each.sql.count("?") == len(each.parameters) for each in library.questions().values())


@pytest.mark.parametrize("name", sorted(PINNED))
def test_an_official_question_returns_the_rows_it_always_did(name: str, ledger: Ledger) -> None:
    answer = asked(ledger, name)
    assert (len(answer.rows), digest(answer)) == PINNED[name]
    assert answer.rows


def of_span(*, until: datetime = UNTIL) -> list[seeded.Row]:
    return [row for row in seeded.rows() if row["ChargePeriodStart"] >= SINCE and row["ChargePeriodEnd"] < until]


def test_the_answers_are_those_of_the_rows_added_up_in_python(ledger: Ledger) -> None:
    rows = of_span()
    unused = {row[2]: row[-1] for row in asked(ledger, "identify-unused-commitments").rows}
    assert unused == {
        provider.name: total(
            row["EffectiveCost"]
            for row in rows
            if row["CommitmentDiscountStatus"] == "Unused" and row["ServiceProviderName"] == provider.name
        )
        for provider in seeded.PROVIDERS
    }
    (savings,) = asked(ledger, "effective-savings-rate").rows
    contracted, effective = (total(row[name] for row in rows) for name in ("ContractedCost", "EffectiveCost"))
    assert savings[:2] == (contracted, effective)
    assert round(Decimal(str(savings[2])), 12) == round((contracted - effective) / contracted, 12)

    ((covered,),) = asked(ledger, "analyze-tag-coverage").rows
    paid = [row for row in rows if row["EffectiveCost"] > 0 and row["ServiceProviderName"] == "AWS"]
    tagged = total(row["EffectiveCost"] for row in paid if "team" in (row["Tags"] or {}))
    assert round(Decimal(str(covered)), 9) == round(tagged / total(row["EffectiveCost"] for row in paid) * 100, 9)

    invoices = {(row[0], row[1]): row[2] for row in asked(ledger, "verify-accuracy-of-provider-invoices-aka-invoice-reconciliation").rows}
    assert total(map(Decimal, map(str, invoices.values()))) == total(row["BilledCost"] for row in rows)

    eligible = asked(ledger, "identify-eligible-capacity-reservation-spend").rows
    assert {row[2] for row in eligible} == {"AdvanceResourceCommitment", "ZonalResourceCommitment"}


def test_a_question_by_its_name_its_beginning_or_nearly() -> None:
    assert library.find("effective-savings-rate").name == "effective-savings-rate"
    assert library.find("cash-vs").name == "cash-vs-accrual-comparison-by-billing-period"
    with pytest.raises(NotFound) as several:
        library.find("forecast")
    assert several.value.why == "it may be forecast-amortized-costs, forecast-cashflow, forecast-costs"
    with pytest.raises(NotFound) as nearly:
        library.find("efective-savings-rate")
    assert "effective-savings-rate" in nearly.value.why


def test_parameters_are_asked_for() -> None:
    question = library.find("compare-billed-budget")
    with pytest.raises(Usage, match="needs sub-account") as missing:
        question.bound({"provider": "AWS"}, {})
    assert missing.value.next_step == "mcml cost ask compare-billed-budget --param provider=VALUE --param sub-account=VALUE"
    with pytest.raises(Usage, match="has no parameter 'providr'") as unknown:
        question.bound({"providr": "AWS"}, {})
    assert "provider" in unknown.value.why
    with pytest.raises(Usage, match="cannot read the parameter"):
        library.read_parameters(["provider"])
    values = question.bound({"provider": "AWS", "sub-account": "x"}, {"since": SINCE, "until": None})
    assert values == [SINCE, library.TIMES["until"], "AWS", "x"]


def test_a_value_is_a_value_and_never_sql(ledger: Ledger) -> None:
    question = library.find("compare-billed-budget")
    said = {"provider": "AWS' OR '1'='1", "sub-account": "x'; DROP VIEW cost; --"}
    assert questions.ask(ledger, question.sql, question.bound(said, {})).rows == ()


def test_asking_on_a_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    listed = run(["cost", "ask", "-o", "json"], cwd=tmp_path)
    items = json.loads(listed.out)["items"]
    assert (len(items), set(items[0])) == (66, {"name", "needs", "title", "about", "source"})
    Intake(tmp_path / ".mcml/cost").files([seeded.write_csv(tmp_path / "bill.csv", seeded.rows())])
    asking = ["cost", "ask", "costs-service-category", "--since", "2026-09-01", "--until", "2026-10-02"]
    shown = run(asking, cwd=tmp_path, terminal=True)
    assert (shown.code, "Report costs by service category" in shown.out, "Compute" in shown.out) == (0, True, True)
    piped = run(asking, cwd=tmp_path).out.splitlines()
    assert "Floe\tUSD\t2026-09-01\tDatabases\t300" in piped
    answer = json.loads(run([*asking, "-o", "json"], cwd=tmp_path).out)
    (floe,) = [item for item in answer["items"] if item["ServiceProviderName"] == "Floe"]
    assert floe == {
        "name": "Floe/USD/Databases",
        "ServiceProviderName": "Floe",
        "BillingCurrency": "USD",
        "BillingPeriodStart": "2026-09-01T00:00:00.000000Z",
        "ServiceCategory": "Databases",
        "TotalBilledCost": "300",
    }


def test_a_question_is_shown_with_its_source(tmp_path: Path) -> None:
    words = run(["cost", "ask", "analyze-tag", "--sql"], cwd=tmp_path)
    assert "FROM focus_data_table" in words.out
    assert "https://focus.finops.org/use-case/analyze-tag-coverage/" in words.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no-such"], 5, "there is no question 'no-such'"),
        (["analyze-tag-coverage"], 2, "analyze-tag-coverage needs tag, provider"),
        (["effective-savings-rate", "--param", "tag=x"], 2, "it has no parameter but times"),
        (["effective-savings-rate", "--since", "soon"], 2, "'soon' is no time"),
    ],
)
def test_what_goes_wrong_is_said(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["cost", "ask", *arguments]) == code
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
