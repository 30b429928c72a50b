"""What AWS billed, on bad days: throttled, cut off, slow, refused, and with a wrong clock."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from mcml.core.errors import NotAuthenticated, Unavailable
from mcml.providers.api.billing import Billing
from mcml.providers.aws.billing_explorer import ExplorerBilling
from mcml.providers.aws.billing_export import ExportBilling
from mcml.providers.aws.session import Session
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Refuse, Reset
from mcml.testing.stubs.seeded_aws import cost_and_usage
from tests.providers.aws.billing_rig import FEBRUARY, LEDGER, clock, put_export, stub, sums
from tests.providers.aws.conftest import CREDENTIALS, MakeSession, Waits

__all__ = ["stub"]
SLOW_DOWN = Answer(429, {"Retry-After": "7"}, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}')
LIMIT = Answer(400, {"Content-Type": "application/x-amz-json-1.1"}, b'{"__type": "LimitExceededException", "message": "too many calls"}')
FAULTS: dict[str, Fault] = {
    "refused": Refuse(0.05),
    "reset": Reset(),
    "lost": Reset(reaches_server=True),
    "slow": Delay(30),
    "half a body": HalfBody(),
    "throttled": SLOW_DOWN,
    "limited": LIMIT,
    "broken": Answer(500),
}
METHODS: dict[str, Callable[[Billing], object]] = {
    "rows": lambda billing: sums(billing.rows(FEBRUARY), "BilledCost"),
    "freshness": lambda billing: billing.freshness(),
    "unit_prices": lambda billing: {(price.sku, price.region) for price in billing.unit_prices()},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", FAULTS)
def test_cost_explorer_goes_on(fault: str, method: str, stub: AwsModel, make_session: MakeSession, waits: Waits) -> None:
    with FaultProxy(stub.url) as proxy:
        billing = ExplorerBilling(make_session(endpoint_url=proxy.url, clock=clock, timeout=(5, 0.5), attempts=9))
        straight = ExplorerBilling(make_session(endpoint_url=stub.url, clock=clock))
        waits.after = partial(time.sleep, 0.02)
        proxy.script(FAULTS[fault])
        assert METHODS[method](billing) == METHODS[method](straight)
        assert proxy.unused == []
        assert fault != "throttled" or max(waits.seconds) >= 7


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "limited"])
def test_an_export_goes_on(
    fault: str, method: str, waits: Waits, proxy: FaultProxy, session: Session, s3_bucket: str, make_session: MakeSession
) -> None:
    waits.after = partial(time.sleep, 0.02)
    put_export(session, s3_bucket, [charge for charge in LEDGER.seen() if charge.day.day < 4])
    place = {"billing_export": f"s3://{s3_bucket}/exports/acme"}
    billing = ExportBilling(make_session(endpoint_url=proxy.url, timeout=(5, 0.5), attempts=9, **place))
    proxy.script(FAULTS[fault])
    assert METHODS[method](billing) == METHODS[method](ExportBilling(make_session(**place)))
    assert proxy.unused == []


@pytest.mark.parametrize(
    ("code", "step"),
    [("ExpiredTokenException", "aws configure"), ("AccessDeniedException", "aws sts get-caller-identity")],
)
def test_who_may_not_look_is_told(code: str, step: str, stub: AwsModel, make_session: MakeSession) -> None:
    body = json.dumps({"__type": code, "message": f"no: {CREDENTIALS[0]}"}).encode()
    with FaultProxy(stub.url) as proxy:
        billing = ExplorerBilling(make_session(endpoint_url=proxy.url, clock=lambda: datetime.now(UTC)))
        proxy.script(*[Answer(400, {"Content-Type": "application/x-amz-json-1.1"}, body)] * 3)
        with pytest.raises(NotAuthenticated) as refused:
            billing.freshness()
    told = f"{refused.value} {refused.value.why} {refused.value.next_step} {refused.value.__cause__!r}"
    assert code in told
    assert not any(secret in told for secret in CREDENTIALS)
    assert step in str(refused.value.next_step)


def test_a_wrong_clock_is_named(stub: AwsModel, make_session: MakeSession) -> None:
    body = json.dumps({"__type": "InvalidSignatureException", "message": "Signature expired: 20250101T000000Z"}).encode()
    now = datetime.now(UTC)
    with FaultProxy(stub.url) as proxy:
        billing = ExplorerBilling(make_session(endpoint_url=proxy.url, clock=lambda: now + timedelta(hours=2)))
        headers = {"Content-Type": "application/x-amz-json-1.1", "Date": f"{now:%a, %d %b %Y %H:%M:%S} GMT"}
        proxy.script(Answer(403, headers, body))
        with pytest.raises(NotAuthenticated) as refused:
            billing.freshness()
    assert "120 minutes ahead" in str(refused.value.why)


def test_no_answer_in_the_budget_is_unavailable(stub: AwsModel, make_session: MakeSession) -> None:
    with FaultProxy(stub.url) as proxy:
        billing = ExplorerBilling(make_session(endpoint_url=proxy.url, clock=clock, attempts=2))
        proxy.script(Answer(500), Answer(503))
        with pytest.raises(Unavailable, match="cannot read the costs of 2025-03-16 to 2025-03-30"):
            billing.freshness()


def test_the_same_page_again_is_not_paid_for_without_end(stub: AwsModel, make_session: MakeSession) -> None:
    stub.on("ce", "GetCostAndUsage", {"ResultsByTime": [], "NextPageToken": "the first"})
    with pytest.raises(Unavailable, match="cannot read the costs of") as turning:
        ExplorerBilling(make_session(endpoint_url=stub.url, clock=clock)).freshness()
    assert (turning.value.why, turning.value.next_step) == ("Cost Explorer gives the same page again and again", "mcml doctor")
    assert len(stub.requests("ce", "GetCostAndUsage")) == 2


@pytest.mark.parametrize("reached", [0, 1, 2])
def test_no_data_are_an_empty_bill_and_never_a_part_of_one(stub: AwsModel, make_session: MakeSession, reached: int) -> None:
    """The overview of a month has costs, and the days of an account have none for now: an empty answer would lose them."""
    asked: list[object] = []

    def costs(question: dict[str, Any]) -> Mapping[str, Any]:
        asked.append(question)
        if len(asked) > reached:
            raise AwsError("DataUnavailableException", "The requested data is unavailable.")
        return cost_and_usage(LEDGER.seen(), question, page=40)

    stub.on("ce", "GetCostAndUsage", costs)
    billing = ExplorerBilling(make_session(endpoint_url=stub.url, clock=clock, attempts=1))
    if reached == 0:
        assert list(billing.rows(FEBRUARY)) == []
        return
    with pytest.raises(Unavailable, match="Cost Explorer does not tell all of the bill"):
        list(billing.rows(FEBRUARY))
