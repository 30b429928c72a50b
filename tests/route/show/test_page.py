"""The status page: what it says without JavaScript, what it draws, and that a real browser shows it and keeps it fresh."""

import hashlib
import os
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.clock import rfc3339
from mcml.core.override import Override
from mcml.route.overrides import to_json
from mcml.route.show.board import Board
from mcml.route.show.control import Control, Pages
from mcml.route.show.history import History
from mcml.route.show.page import html
from mcml.route.show.page.plots import Line, nice, plot
from mcml.route.show.page.topology import topology
from tests.route.seen import NOW, backend, status

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
CHROMIUM = os.environ.get("MCML_TEST_BROWSER") or next((found for name in NAMES if (found := shutil.which(name))), "")
needs_browser = pytest.mark.skipif(
    not CHROMIUM, reason=f"no browser on PATH ({', '.join(NAMES)}): apt-get install chromium, or MCML_TEST_BROWSER=/path/to/one"
)
BACKENDS = (
    backend("eu-1", weight=70),
    backend("eu-2", weight=30, p99_ms=None, p50_ms=None, price=None),
    backend("us-1", weight=0, state="out", reason="its health check fails"),
)
DECISION = {
    "at": rfc3339(NOW - timedelta(seconds=90)), "route": "fraud", "reason": "fraud@us-1 is out",
    "weights": {"fraud@eu-1": 70, "fraud@eu-2": 30, "fraud@us-1": 0}, "previous": {"fraud@eu-1": 40, "fraud@eu-2": 30, "fraud@us-1": 30},
}  # fmt: skip


def page(*backends: dict[str, Any], points: int = 10, now: float = 0.0, **changes: Any) -> str:
    history = History()
    told = status(*backends, **changes)
    for number in range(points):
        history.add(status(*backends, at=NOW - timedelta(seconds=3 * (points - number)), **changes))
    return html.whole(html.body(told, history.json(), [DECISION], NOW + timedelta(seconds=now)), "http://127.0.0.1:8080")


class Elements(HTMLParser):
    """The elements of a page, in order, and whether each one is closed where it must be."""

    VOID = frozenset({"meta", "link", "path", "line", "rect", "circle", "br", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def texts(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<(script|style)>.*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL))


def test_it_can_be_read_without_javascript() -> None:
    said = texts(page(*BACKENDS))
    for part in ("fraud@us-1", "✕ out", "its health check fails", "2 of 3", "eu-1 40 → 70", "0.21 USD/hour", "unknown"):
        assert part in said
    assert "fraud@us-1 is out" in said
    assert "has not looked" not in said
    assert "has not looked for 9 s" in texts(page(*BACKENDS, now=9.0))
    assert "Every backend is out" in page(*BACKENDS, last_resort=True)


def test_what_people_changed_is_said() -> None:
    drained = Override("drain", "fraud", "us-1", "ann", NOW - timedelta(minutes=5), reason="a <new> disk")
    said = texts(page(*BACKENDS, overrides=[to_json(drained)], ceiling="the ceiling of 20 USD is reached"))
    assert "drained by ann 5m ago: a &lt;new&gt; disk" in said
    assert "the ceiling of 20 USD is reached" in said


def test_it_is_whole_and_asks_nobody_else() -> None:
    text = page(*BACKENDS)
    elements = Elements(text)
    for _, attributes in elements.found:
        assert "style" not in attributes, "the policy forbids it"
        assert not [name for name in attributes if name.startswith("on")]
        for link in (attributes.get("href"), attributes.get("src")):
            assert link is None or link.startswith(("/", "data:,"))
    assert "http://" not in text.replace("http://127.0.0.1:8080", "")
    assert "https://" not in text
    assert not {"img", "iframe", "object", "embed", "form"} & {tag for tag, _ in elements.found}


def test_the_policy_lets_exactly_this_script_and_style_run() -> None:
    """What a browser would compare: the hash of the text between the tags."""
    text = page(*BACKENDS)
    for tag in ("script", "style"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in html.policy()
    assert re.findall(r"fetch\(([^,)]*)", html.asset("script.js")) == ['"/?part=main"']
    reaching = r"import|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\beval\b|url\("
    assert not re.findall(reaching, html.asset("script.js") + html.asset("style.css"))


def test_the_document_is_one_that_machines_can_read() -> None:
    text = page(*BACKENDS)
    found = Elements(text).found
    assert text.startswith("<!doctype html>")
    assert [tag for tag, _ in found[:4]] == ["html", "head", "meta", "title"]
    assert (found[0][1]["lang"], found[2][1]["charset"]) == ("en", "utf-8")
    ids = [about["id"] for _, about in found if "id" in about]
    assert len(ids) == len(set(ids)) >= 1
    drawn = [about for tag, about in found if tag == "svg"]
    assert len(drawn) == 4, "a topology and three plots"
    assert all(about.get("role") == "img" and about.get("aria-label") for about in drawn)
    head, *rows = re.findall(r"<tr>(.*?)</tr>", text.split("<tbody>")[0] + text.split("<thead>")[1], flags=re.DOTALL)
    wide = len(re.findall(r'<th scope="col"', head))
    assert {len(re.findall(r"<td[ >]", row)) for row in rows if "fraud@" in row and "<td" in row} == {wide}


def test_the_numbers_are_those_of_the_status() -> None:
    odd = backend("eu-1", weight=37, score=0.625, rps=1234.5, p50_ms=3.25, p99_ms=87.125, errors=12, breaker="full")
    said = texts(page(odd, backend("us-1", weight=63, rps=0.5)))
    for part in ("37 0.625", "1,234.5 3.25 87.125 12 full", "attempts per second 1,235", "slowest p99 87.12 ms", "backends up 2 of 2"):
        assert part in said, (part, said)


def test_lines_are_as_thick_as_weights() -> None:
    drawn = topology(status(*BACKENDS)["routes"][0], {"fraud@eu-1": 0, "fraud@eu-2": 1, "fraud@us-1": 2})
    found = re.findall(r'<path class="(flow[^"]*)" stroke-width="([0-9.]+)"', drawn)
    assert found == [("flow", "2"), ("flow s0", "10.8"), ("flow s1", "5.2"), ("flow none s2", "1.0")]
    assert 'aria-label="fraud: fraud@eu-1 70 percent, up' in drawn
    assert "no backend" in topology(status()["routes"][0], {})


def test_many_routes_and_backends_and_none() -> None:
    many = page(*(backend(f"eu-{number}") for number in range(30)))
    Elements(many)
    assert " s7" in many
    assert "s8" not in many
    Elements(page())
    assert "not looked yet" in html.body({}, History().json(), [], NOW)
    assert "nothing measured yet" in page(*BACKENDS, points=0)


nasty = st.text(alphabet=st.sampled_from("<>\"'&;/= aé\u2028"), min_size=1, max_size=12)


@given(nasty, nasty, nasty)
def test_no_name_breaks_out_of_the_page(target: str, region: str, reason: str) -> None:
    text = page(backend(target, region=region, reason=reason, version=region), points=2, route=target, pattern=region)
    found = [tag for tag, _ in Elements(text).found]
    assert found == [tag for tag, _ in Elements(page(backend("plain", region="plain", reason="plain"), points=2)).found]


@given(st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=30))
def test_every_point_is_inside_the_plot(points: list[float | None]) -> None:
    drawn = plot("A", "ms", [1000.0 + 3 * number for number in range(len(points))], [Line("a", 0, points)])
    for x, y in re.findall(r"[ML]([0-9.e+-]+) ([0-9.e+-]+)", drawn):
        assert 44 <= float(x) <= 392
        assert 10 <= float(y) <= 158
    assert drawn.count("M") >= bool([point for point in points if point is not None])


@given(st.floats(1e-6, 1e9))
def test_an_axis_ends_just_above_its_values(value: float) -> None:
    assert value * (1 - 1e-6) <= nice(value) <= 2.5 * value * (1 + 1e-6)


# --- in a real browser

class Served:
    """A control port whose control loop stops looking after the first page."""

    def __init__(self, folder: Path) -> None:
        self.board = Board()
        self.asked: list[str] = []
        self.control = Control(0)
        self.control.start(Pages(self.board, folder, lambda: "http://127.0.0.1:8080", self._clock, lambda: ({}, {}), dict))
        for number in range(60):
            self.board.show(status(*BACKENDS, at=NOW - timedelta(seconds=180 - 3 * number)), {})

    def _clock(self) -> Any:
        self.asked.append("")
        return NOW if len(self.asked) < 2 else NOW + timedelta(seconds=77)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A control port for a browser."""
    found = Served(tmp_path)
    with closing(found.control):
        yield found


def browse(served: Served, folder: Path, *arguments: str) -> tuple[str, str]:
    argv = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr"]
    argv += ["--window-size=1240,1400", "--hide-scrollbars", *arguments, f"http://127.0.0.1:{served.control.port}/"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.slow
@needs_browser
def test_a_browser_runs_it_under_its_policy_and_keeps_it_fresh(served: Served, tmp_path: Path) -> None:
    dom, console = browse(served, tmp_path, "--virtual-time-budget=5000", "--dump-dom")
    assert console == "", "the policy refused something, or the script failed"
    assert '<div class="tip" hidden' in dom, "the script ran"
    assert "has not looked for 80 s" in texts(dom), "it fetched the page again"
    assert dom.count('class="plot"') == 3


@pytest.mark.slow
@needs_browser
def test_light_and_dark_pictures(served: Served, tmp_path: Path) -> None:
    pictures = []
    for name, scheme in (("light", "1"), ("dark", "0")):
        picture = tmp_path / f"{name}.png"
        _, console = browse(served, tmp_path, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}")
        assert console == ""
        pictures.append(picture.read_bytes())
    assert all(len(picture) > 40_000 for picture in pictures)
    assert pictures[0] != pictures[1]
