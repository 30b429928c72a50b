"""Envoy's own word on a configuration: good, bad, while something else goes on, and not twice."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import McmlError
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.check import Check, Checker

GOOD: dict[str, Any] = {"node": {"id": "x", "cluster": "x"}}
BAD: dict[str, Any] = {"node": {"idd": "x"}}


def test_a_good_one_is_checked_once_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "flat.json"
    checker = Checker(find_envoy(), path)
    checker.begin(GOOD)
    assert path.stat().st_mode & 0o777 == 0o600
    checker.wait()
    assert list(tmp_path.iterdir()) == []
    checker.begin(GOOD)
    assert not path.exists()
    assert checker.look()


def test_a_bad_one_is_refused_with_envoys_words_each_time(tmp_path: Path) -> None:
    checker = Checker(find_envoy(), tmp_path / "flat.json")
    for _ in range(2):
        checker.begin(BAD)
        with pytest.raises(McmlError, match="Envoy refuses the configuration") as refused:
            checker.wait()
        assert "idd" in refused.value.why
        assert json.loads((tmp_path / "flat.json").read_text()) == BAD  # to look at
        assert checker.look()  # it was said


def test_what_is_not_waited_for_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "flat.json"
    path.write_text(json.dumps(GOOD))
    began = time.monotonic()
    check = Check(find_envoy(), path)
    check.close()
    assert time.monotonic() - began < 20
    assert check.look()
    checker = Checker(find_envoy(), path)
    checker.begin(BAD)
    checker.close()
    assert not path.exists()
    assert checker.look()
