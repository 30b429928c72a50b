"""Machine types of this machine: prices, limits and quantities."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest, QuotaExceeded
from mcml.providers.local.machines import (
    CATALOGUE,
    GIB,
    available_cpus,
    check_fits,
    choose_cpus,
    machine_named,
    on_demand_price,
    parse_resources,
    spot_price,
)
from mcml.providers.local.settings import Price


def test_prices_are_sums_of_exact_decimals() -> None:
    price = Price(vcpu_hour=Decimal("0.04"), gib_hour=Decimal("0.005"))
    machine = machine_named("local-2x4")
    assert on_demand_price(machine, price) == Decimal("0.10")
    assert spot_price(machine, price, Decimal("0.7")) == Decimal("0.03")


def test_an_unknown_machine_has_a_near_one() -> None:
    with pytest.raises(InvalidRequest) as caught:
        machine_named("local-2x5")
    assert caught.value.why.startswith("did you mean 'local-2x")


@pytest.mark.parametrize(
    ("resources", "parsed"),
    [
        ({}, (None, None)),
        ({"cpu": "2"}, (2, None)),
        ({"cpu": "500m"}, (1, None)),
        ({"cpu": "1500m"}, (2, None)),
        ({"cpu": "1.01"}, (2, None)),
        ({"memory": "512Mi"}, (None, 512 << 20)),
        ({"memory": "1.5G"}, (None, 1_500_000_000)),
        ({"memory": "1024"}, (None, 1024)),
        ({"cpu": "1", "memory": "4Gi"}, (1, 4 * GIB)),
    ],
)
def test_quantities(resources: dict[str, str], parsed: tuple[int | None, int | None]) -> None:
    assert parse_resources(resources) == parsed


@pytest.mark.parametrize("text", ["", "0", "-1", "1.2.3", "2 Gi", "4gi", "nan", "1e9", "٣", "0m"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_resources({"memory": text})


def test_what_does_not_fit() -> None:
    check_fits("it", len(available_cpus()), GIB // 4)
    with pytest.raises(QuotaExceeded, match="it does not fit"):
        check_fits("it", len(available_cpus()) + 1, 0)
    with pytest.raises(QuotaExceeded, match="it does not fit"):
        check_fits("it", 0, 1 << 60)


def test_the_catalogue_names_what_it_is() -> None:
    assert all(name == f"local-{machine.vcpus}x{machine.memory_gib}" for name, machine in CATALOGUE.items())


@given(st.lists(st.integers(0, 7), max_size=30), st.integers(0, 8))
def test_chosen_cpus_are_the_least_used(busy: list[int], count: int) -> None:
    available = list(range(8))
    chosen = choose_cpus(available, busy, count)
    assert len(set(chosen)) == len(chosen) == count
    if chosen and count < 8:
        assert max(busy.count(cpu) for cpu in chosen) <= min(busy.count(cpu) for cpu in available if cpu not in chosen)
