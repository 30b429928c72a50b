"""How the series of a machine become one."""

import pytest

from mcml.core.errors import InvalidRequest
from mcml.providers.api.metrics import SeriesQuery
from mcml.providers.machine_series import highest, machine_of, ratio, share


def test_what_is_not_known_stays_so() -> None:
    assert highest([[None, 1.0], [None, 3.0]], 2) == [None, 3.0]
    assert highest([], 2) == [None, None]
    assert ratio([1.0, None, 1.0, 5.0], [2.0, 2.0, 0.0, 4.0], "average") == [0.5, None, None, 1.0]
    assert share(None, "average") is None


def test_a_count_is_no_share() -> None:
    assert (share(7.0, "count"), share(250.0, "sum"), share(100.2, "maximum")) == (7.0, 2.5, 1.0)
    assert ratio([7.0], [None], "count") == [7.0]


def test_a_machine_metric_has_one_label() -> None:
    assert machine_of(SeriesQuery("machine.cpu", {"instance": "i-1"})) == "i-1"
    with pytest.raises(InvalidRequest) as many:
        machine_of(SeriesQuery("machine.cpu", {"instance": "i-1", "device": "sda"}))
    assert (many.value.message, many.value.why) == ("of which machine is machine.cpu?", "told are the labels device, instance")
