"""The access log on a real Envoy: set aside while requests flow, and a full disk costs lines but no request."""

import json
from pathlib import Path

import pytest

from mcml.core.schema_routes import Route, Router
from mcml.route.access_log import ACCESS_LOG, Wanted, read
from tests.route.rig import Rig, Upstream, until


@pytest.mark.slow
def test_it_is_set_aside_under_load_and_no_line_is_lost(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "route", [Upstream("eu-1")], router=Router(port=0, log_size=1, logs_kept=2))
    with rig:
        sent = 0

        def moved() -> bool:
            nonlocal sent
            samples = rig.load(1000, concurrency=4)
            sent += len(samples)
            assert not [one for one in samples if one.status != 200]
            return (rig.folder / f"{ACCESS_LOG}.1").exists()

        until(moved, 60, "the log was not set aside")
        sent += len(rig.load(200, concurrency=4))
        until(lambda: len(list(read(rig.folder / ACCESS_LOG, Wanted()))) == sent, 20, "lines are missing")


@pytest.mark.slow
def test_a_full_disk_costs_lines_and_no_request(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "route").mkdir()
    (tmp_path / "route" / ACCESS_LOG).symlink_to("/dev/full")
    with Rig(tmp_path / "route", [Upstream("eu-1")]) as rig:
        assert {rig.infer().status for _ in range(50)} == {200}
        until(lambda: [line for line in rig.told.lines if "the access log cannot be written" in line], 30, "nobody says so")
        rig.fact("route.log_lost")
        assert {rig.infer().status for _ in range(50)} == {200}
        assert len([line for line in rig.told.lines if "the access log" in line]) == 1


@pytest.mark.slow
def test_a_line_names_the_region_in_which_a_request_stays(tmp_path: Path) -> None:
    residency = Route(pattern="residency", regions={"eu": ("eu-1",), "us": ("us-1",)}, home="eu")
    with Rig(tmp_path / "route", [Upstream("eu-1"), Upstream("us-1")], routes={"fraud": residency}) as rig:
        assert rig.infer(x_request_id="at-home").status == 200
        assert rig.infer(x_request_id="abroad", x_data_region="us").status == 200
        assert rig.infer(x_request_id="nowhere", x_data_region="mars").status == 403

        def regions() -> dict[str, object]:
            return {str(entry["request_id"]): entry["region"] for entry in read(rig.folder / ACCESS_LOG, Wanted())}

        until(lambda: len(regions()) == 3, 15, "the requests are not in the access log")
        assert regions() == {"at-home": "eu", "abroad": "us", "nowhere": "refused"}


def test_what_a_line_holds(shared: Rig) -> None:
    shared.infer(body=b'{"secret": "in the body"}', x_request_id="all-of-a-line", authorization="Bearer of-a-client")

    def line() -> dict[str, object] | None:
        lines = map(json.loads, (shared.folder / ACCESS_LOG).read_text().splitlines())
        return next((entry for entry in lines if entry["request_id"] == "all-of-a-line"), None)

    entry = until(line, 15, "the request is not in the access log")
    assert entry["route"] == "fraud"
    assert str(entry["backend"]).startswith("fraud@")
    assert (entry["status"], entry["attempts"], entry["version"], entry["region"], entry["key"]) == (200, 1, "1", None, None)
    text = (shared.folder / ACCESS_LOG).read_text()
    assert "in the body" not in text
    assert "of-a-client" not in text
