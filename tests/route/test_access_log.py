"""The access log as files: set aside by size, read in order, followed over a change of the file."""

import json
import threading
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from mcml.core.clock import rfc3339
from mcml.core.errors import NotFound
from mcml.route.access_log import Wanted, follow, newest, read, rotate
from tests.route.rig import until

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def line(number: int, **about: object) -> str:
    entry = {"at": rfc3339(NOW + timedelta(seconds=number)), "number": number, "status": 200, "key": "web", "route": "fraud", **about}
    return json.dumps(entry) + "\n"


def numbers(entries: object) -> list[int]:
    return [entry["number"] for entry in entries]  # type: ignore[attr-defined]


def test_a_small_log_stays_and_a_large_one_is_set_aside(tmp_path: Path) -> None:
    log, opened = tmp_path / "access.log", []
    assert not rotate(log, 100, 2, lambda: opened.append(1))
    for number in range(5):
        log.write_text(line(number) * 2)
        assert not rotate(log, 10_000, 2, lambda: opened.append(1))
        assert rotate(log, 100, 2, lambda: opened.append(1))
        assert not log.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["access.log.1", "access.log.2"]
    assert numbers(read(log, Wanted())) == [3, 3, 4, 4]
    assert len(opened) == 5


def test_fewer_are_kept_when_that_is_said(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    for number in range(12):
        (tmp_path / f"access.log.{number + 1}").write_text(line(12 - number))
    log.write_text(line(13))
    assert rotate(log, 1, 3, lambda: None)
    assert numbers(read(log, Wanted())) == [11, 12, 13]


def test_lines_are_chosen(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    lines = [line(0), line(1, status=503), line(2, status=0), line(3, key="other"), line(4, route="spam"), line(5, status=429)]
    log.write_text("".join(lines) + "half a li\n[1]\n{}\n" + '{"at": "2026-')
    assert numbers(entry for entry in read(log, Wanted(errors=True)) if entry) == [1, 2, 5]
    assert numbers(read(log, Wanted(key="other"))) == [3]
    assert numbers(read(log, Wanted(route="spam"))) == [4]
    assert numbers(read(log, Wanted(since=NOW + timedelta(seconds=4)))) == [4, 5]
    assert numbers(newest(log, Wanted(route="fraud"), 2)) == [3, 5]


def test_without_a_log_somebody_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        newest(tmp_path / "access.log", Wanted(), 10)


def test_its_last_lines_come_before_those_that_are_followed(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    (tmp_path / "access.log.1").write_text(line(0) + line(1))
    log.write_text(line(2) + line(3, key="other") + line(4) + '{"at": "half a li')
    found = follow(log, Wanted(key="web"), 3)
    assert [next(found)["number"] for _ in range(3)] == [1, 2, 4]
    with log.open("a") as writer:
        writer.write('ne"}\n' + line(5))
    assert next(found)["number"] == 5
    assert numbers(islice(follow(log, Wanted(since=NOW + timedelta(seconds=2)), 0), 4)) == [2, 3, 4, 5]


def test_a_request_that_was_refused_names_no_backend(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line(0, attempts=0, status=429, backend="fraud@eu-1") + line(1, attempts=1, backend="fraud@eu-1"))
    assert [entry["backend"] for entry in read(log, Wanted())] == [None, "fraud@eu-1"]


def test_it_is_followed_from_its_last_line_and_when_it_is_set_aside(tmp_path: Path) -> None:
    log, seen, stop = tmp_path / "access.log", [], threading.Event()
    log.write_text(line(-1) + line(0))

    def run() -> None:
        for entry in follow(log, Wanted(), 1, stop.is_set):
            seen.append(entry["number"])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        writer = log.open("a")
        until(lambda: _written(writer, line(1), seen), 20, "the first line was not seen")
        last = seen[-1]
        log.replace(tmp_path / "access.log.1")
        writer.write(line(2))
        writer.flush()
        log.write_text(line(3))
        until(lambda: seen[-1] == 3, 20, "the new file is not followed")
        assert seen[-2:] == [2, 3]
        assert last == 1
        writer.close()
    finally:
        stop.set()
        thread.join()
    assert -1 not in seen


def _written(writer: object, text: str, seen: list[int]) -> bool:
    """Write a line until it is seen: who follows begins a moment after we do."""
    writer.write(text)  # type: ignore[attr-defined]
    writer.flush()  # type: ignore[attr-defined]
    threading.Event().wait(0.3)
    return 1 in seen
