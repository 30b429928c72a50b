"""What a signal does to a router in the foreground."""

import signal
import threading

import pytest

from mcml.route.serve import until_signalled


def test_only_ctrl_c_breaks_off_what_has_been_told_to_end() -> None:
    """A second SIGTERM comes from `mcml route stop` beside a service manager; what is under way still ends."""
    with until_signalled(threading.Event()) as stop:
        assert not stop.is_set()
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_first_ctrl_c_asks_and_what_was_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with until_signalled(threading.Event()) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
    assert signal.getsignal(signal.SIGINT) is before
