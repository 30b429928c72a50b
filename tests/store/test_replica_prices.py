"""Prices of replicas: asked once a day, kept in the catalogue, and the last one stays where nobody can be asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import McmlError, NotAuthenticated, Unavailable
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint_price import PriceOfReplica, ReplicaPrice
from mcml.store import prices
from mcml.store.db import Store
from mcml.store.replica_prices import FRESH, price_of_replica

DAY = datetime(2026, 11, 5, tzinfo=UTC)
DENIED = NotAuthenticated("cannot read the price of ml.m5.large", why="pricing:GetProducts is denied")


@dataclass
class Cloud:
    """Says what an hour costs, or fails; counts the questions. `now` is its time."""

    now: datetime = DAY
    amount: str = "0.115"
    failing: McmlError | None = None
    asked: list[str] = field(default_factory=list)

    def replica_price(self, machine: str) -> ReplicaPrice:
        self.asked.append(machine)
        if self.failing:
            raise self.failing
        if machine == "ml.none":
            return ReplicaPrice(why="no hosting of ml.none")
        price = UnitPrice(machine, "us-east-1", "h", Decimal(self.amount), "USD", "a list", self.now)
        return ReplicaPrice(price, "", (replace(price, region="eu-west-1", price=Decimal("0.128")),))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        yield store


def of(store: Store, cloud: Cloud, region: str = "us-east-1") -> PriceOfReplica:
    clock: Callable[[], datetime] = lambda: cloud.now  # noqa: E731 - it moves
    found = price_of_replica(store, cloud, "aws", region, clock)  # type: ignore[arg-type]
    assert found is not None
    return found


def amount(told: ReplicaPrice) -> Decimal | None:
    return told.price.price if told.price else None


def test_it_is_asked_once_a_day_and_kept_for_all_commands(own: Store) -> None:
    cloud = Cloud()
    assert amount(of(own, cloud)("ml.m5.large")) == Decimal("0.115")
    with own.reading() as connection:
        kept = prices.latest(connection, "aws", "us-east-1", "ml.m5.large")
    assert kept == UnitPrice("ml.m5.large", "us-east-1", "h", Decimal("0.115"), "USD", "a list", DAY)
    cloud.now, cloud.amount = DAY + FRESH - timedelta(seconds=1), "0.2"
    assert amount(of(own, cloud)("ml.m5.large")) == Decimal("0.115")
    assert amount(of(own, cloud, "eu-west-1")("ml.m5.large")) == Decimal("0.128"), "it came along"
    assert cloud.asked == ["ml.m5.large"]
    cloud.now = DAY + FRESH
    assert amount(of(own, cloud)("ml.m5.large")) == Decimal("0.2")
    assert len(cloud.asked) == 2


def test_the_last_price_stays_with_its_day_where_nobody_answers(own: Store) -> None:
    cloud = Cloud()
    of(own, cloud)("ml.m5.large")
    cloud.now, cloud.failing = DAY + 100 * FRESH, Unavailable("cannot read the price of ml.m5.large", why="503")
    told = of(own, cloud)("ml.m5.large")
    assert told.price is not None
    assert (told.price.price, told.price.as_of) == (Decimal("0.115"), DAY)
    assert told.why == "cannot read the price of ml.m5.large (503)"


def test_no_price_says_why_and_is_never_zero(own: Store) -> None:
    assert of(own, Cloud())("ml.none") == ReplicaPrice(None, "no hosting of ml.none")
    told = of(own, Cloud(failing=DENIED))("ml.m5.large")
    assert told == ReplicaPrice(None, "cannot read the price of ml.m5.large (pricing:GetProducts is denied)")
    with own.reading() as connection:
        assert prices.newest(connection) == []


def test_a_clock_that_was_put_back_asks_again(own: Store) -> None:
    cloud = Cloud()
    of(own, cloud)("ml.m5.large")
    cloud.now = DAY - timedelta(days=3)
    of(own, cloud)("ml.m5.large")
    assert len(cloud.asked) == 2


def test_an_endpoint_that_is_paid_as_its_machines_are_has_none(own: Store) -> None:
    assert price_of_replica(own, None, "azure", "r", lambda: DAY) is None
    assert price_of_replica(own, object(), "azure", "r", lambda: DAY) is None  # type: ignore[arg-type]
