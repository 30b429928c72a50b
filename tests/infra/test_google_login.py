"""A login at Google that cannot work is said at once, where Terraform's backend would ask on without an end; and --timeout ends it."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mcml.core.errors import McmlError, NotAuthenticated, StillRunning, Unavailable
from mcml.core.process import free_port
from mcml.infra.terraform import google_login
from mcml.infra.units.backend import Backend
from mcml.infra.units.units import Unit
from tests.infra import stores
from tests.infra.rig import Project
from tests.infra.stores import Stores, pulled


@contextmanager
def machine(code: int, *, tokens: bool = True) -> Iterator[str]:
    """The metadata server of a machine at Google, which says `code`; without `tokens` it leaves whoever asks for one waiting."""
    over = threading.Event()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Metadata-Flavor"] == "Google"
            if not self.path.endswith("/email") and not tokens:
                over.wait(60)
                return
            self.send_response(code)
            self.send_header("Metadata-Flavor", "Google")
            self.end_headers()
            self.wfile.write(b"it@acme.iam.gserviceaccount.com")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()


def check(tmp_path: Path, **env: str) -> None:
    settings = {"access_token": env.pop("token")} if "token" in env else {}
    asyncio.run(google_login.check({"HOME": str(tmp_path), **env}, settings))


def test_a_machine_with_a_service_account_will_do(tmp_path: Path) -> None:
    with machine(200) as host:
        check(tmp_path, GCE_METADATA_HOST=host)


def test_without_any_there_is_no_login(tmp_path: Path) -> None:
    with machine(404) as host:
        for other in (host, f"127.0.0.1:{free_port()}"):
            with pytest.raises(NotAuthenticated, match="no credentials for Google Cloud") as refused:
                check(tmp_path, GCE_METADATA_HOST=other)
            assert refused.value.exit_code == 4
            assert refused.value.next_step == "gcloud auth application-default login"


def test_a_service_that_gives_no_tokens_is_named(tmp_path: Path) -> None:
    key = json.dumps({"type": "service_account", "token_uri": f"http://127.0.0.1:{free_port()}/token"})
    (tmp_path / "key.json").write_text(key)
    kept = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
    for env in ({"GOOGLE_CREDENTIALS": key}, {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}, {}):
        if not env:
            kept.parent.mkdir(parents=True)
            kept.write_text(key)
        with pytest.raises(Unavailable, match="Google's login does not answer"):
            check(tmp_path, **env)
        check(tmp_path, HTTPS_PROXY="http://127.0.0.1:1", **env)


def test_a_token_needs_nobody_and_what_cannot_be_read_is_terraforms_to_say(tmp_path: Path) -> None:
    check(tmp_path, token="x")
    check(tmp_path, GOOGLE_OAUTH_ACCESS_TOKEN="x")
    with pytest.raises(McmlError):
        check(tmp_path, GCE_METADATA_HOST=f"127.0.0.1:{free_port()}")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with stores.running(tmp_path_factory.mktemp("stores")) as found:
        yield found


def without_login(both: Stores, made: Project, host: str) -> Unit:
    """A unit whose state is on Google, and an environment in which nobody has logged in."""
    backend = both.backend("gcs")
    login = {name: value for name, value in made.environ.items() if not name.startswith(("GOOGLE_", "CLOUDSDK_"))}
    made.environ = {**login, "HOME": str(made.folder), "GCE_METADATA_HOST": host}
    kept = {name: value for name, value in backend.settings.items() if name != "access_token"}
    return Unit("unit", "dev", variables={"size": 1}, module="root/unit", cloud="gcp", accounts=("gcp",), backend=Backend("gcs", kept))


def test_a_state_on_google_without_a_login_ends_at_once(both: Stores, tmp_path: Path) -> None:
    made = stores.project(tmp_path)
    one = without_login(both, made, f"127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(NotAuthenticated, match="no credentials for Google Cloud"):
        pulled(made, one)
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_time_that_is_up_ends_an_init_that_hears_nothing(both: Stores, tmp_path: Path) -> None:
    made = stores.project(tmp_path)
    with machine(200, tokens=False) as host:
        one = without_login(both, made, host)
        made.time_left = 2
        began = time.monotonic()
        with pytest.raises(StillRunning):
            pulled(made, one)
        assert time.monotonic() - began < 30
    made.time_left = None
    one = Unit(**{**vars(one), "backend": both.backend("gcs")})
    assert pulled(made, one)["resources"] == []


def test_what_a_killed_init_left_half_written_is_no_hindrance(both: Stores, tmp_path: Path) -> None:
    made, one = stores.project(tmp_path), stores.unit(both.backend("gcs"))
    stores.apply(made, one)
    for record in (made.folders.data(one) / "terraform.tfstate", made.folders.data(one) / "mcml.json"):
        assert record.is_file()
    (made.folders.data(one) / "terraform.tfstate").write_text("")
    (made.folders.data(one) / "mcml.json").unlink()
    assert pulled(made, one)["resources"]
