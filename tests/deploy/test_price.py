"""What a deploy will cost, from the catalogue."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from mcml.core.price import STALE_AFTER
from mcml.deploy.price import priced
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint_price import ReplicaPrice
from mcml.providers.api.endpoint_size import ReplicaSize

NEW, OLD = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
BOOK = {
    "m5.large": UnitPrice("m5.large", "r", "h", Decimal("0.096"), "USD", "list", OLD),
    "vcpu-hour": UnitPrice("vcpu-hour", "r", "h", Decimal("0.04"), "USD", "settings", NEW),
    "gib-hour": UnitPrice("gib-hour", "r", "h", Decimal("0.005"), "USD", "settings", OLD),
}


def book(provider: str, region: str, sku: str) -> UnitPrice | None:
    return BOOK.get(sku) if (provider, region) == ("acme", "r") else None


def test_machines_by_their_number() -> None:
    found = priced("t", "acme", "r", ReplicaSize(machine="m5.large", replicas=3, vcpus=Decimal(2)), book, now=OLD)
    assert (found.size, found.hourly, found.monthly, found.currency) == ("3 x m5.large", Decimal("0.288"), Decimal("210.24"), "USD")
    assert (found.source, found.as_of, found.why) == ("list", OLD, "")


def test_parts_of_a_machine_and_the_older_of_their_prices() -> None:
    found = priced("t", "acme", "r", ReplicaSize(vcpus=Decimal("1.5"), memory_gib=Decimal(4)), book, now=OLD)
    assert (found.size, found.hourly, found.as_of) == ("1.5 vCPU, 4 GiB", Decimal("0.08"), OLD)


def test_a_replica_has_the_price_that_its_place_takes_for_it() -> None:
    hosted = UnitPrice("m5.large", "r", "h", Decimal("0.115"), "USD", "hosting", NEW)
    size = ReplicaSize(machine="m5.large", replicas=2)
    found = priced("t", "acme", "r", size, book, now=NEW, price_of_replica=lambda sku: ReplicaPrice(hosted if sku == "m5.large" else None))
    assert (found.hourly, found.source, found.why) == (Decimal("0.23"), "hosting", "")
    none = priced("t", "acme", "r", size, book, now=NEW, price_of_replica=lambda sku: ReplicaPrice(why=f"{sku} is on no list"))
    assert (none.hourly, none.why) == (None, "m5.large is on no list"), "not the price of the plain machine"


def test_an_old_price_is_said_to_be_one() -> None:
    size = ReplicaSize(machine="m5.large")
    assert priced("t", "acme", "r", size, book, now=OLD + STALE_AFTER).why == ""
    found = priced("t", "acme", "r", size, book, now=OLD + STALE_AFTER + timedelta(seconds=1))
    assert (found.hourly, found.why) == (Decimal("0.096"), "an old price, of 2026-07-01")


def test_memory_without_a_limit_is_said() -> None:
    found = priced("t", "acme", "r", ReplicaSize(vcpus=Decimal(2), by_use=True), book, now=OLD)
    assert (found.hourly, found.by_use, found.why) == (Decimal("0.08"), True, "memory comes on top, by what it holds")


def test_what_is_not_known_is_said_and_never_zero() -> None:
    for size, region, why in (
        (ReplicaSize(machine="ml.p9.large"), "r", "no price of ml.p9.large in r is known"),
        (ReplicaSize(machine="m5.large"), "", "no price of m5.large in its region is known"),
        (ReplicaSize(), "r", "its provider does not tell what it is given"),
    ):
        found = priced("t", "acme", region, size, book, now=OLD)
        assert (found.hourly, found.monthly, found.why) == (None, None, why)


def test_currencies_are_not_added() -> None:
    mixed = {**BOOK, "gib-hour": replace(BOOK["gib-hour"], currency="EUR")}
    size = ReplicaSize(vcpus=Decimal(1), memory_gib=Decimal(1))
    found = priced("t", "acme", "r", size, lambda _p, _r, sku: mixed.get(sku), now=OLD)
    assert (found.hourly, found.why) == (None, "its prices are in several currencies")


@given(st.decimals(0, 512, places=3), st.decimals(0, 4096, places=3), st.integers(1, 1000))
def test_the_price_is_exact(vcpus: Decimal, gib: Decimal, replicas: int) -> None:
    found = priced("t", "acme", "r", ReplicaSize(vcpus=vcpus, memory_gib=gib, replicas=replicas), book, now=OLD)
    assert found.hourly == (vcpus * Decimal("0.04") + gib * Decimal("0.005")) * replicas
