"""A unit of AWS on the real provider, as it is typed: its whole life against moto, and credentials that are missing or have expired.

MCML_TERRAFORM_MIRROR names a file-system mirror that holds hashicorp/aws 5.100.0.
"""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mcml.testing.cli import Result, run
from tests.providers.aws import moto_server
from tests.terraform.stub_provider import mirror
from tests.terraform.test_aws_moto import MIRROR, real_provider

pytestmark = [real_provider, pytest.mark.slow, pytest.mark.timeout(600)]

SETTINGS = """
name = "acme"
[infra]
team = "risk"
cost_centre = "4711"
[infra.clouds.aws]
region = "eu-west-1"
layers = ["network"]
[infra.clouds.aws.settings.network]
nat = "none"
interface_endpoints = []
log_retention_days = 30
"""
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
EXPIRED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>ExpiredToken</Code>
<Message>The security token included in the request is expired</Message></Error><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId>
</ErrorResponse>"""
"""As STS says it: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html, in the envelope of the Query protocol."""


class Typed:
    """Types commands in a project whose Terraform finds the real provider, and nobody's login but what it is given."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        (self.folder / "mcml.toml").write_text(SETTINGS)
        own = {"HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "2"}
        self.environ = {"PATH": os.environ["PATH"], **own, **mirror.environment(Path(MIRROR), folder), **environ}

    def __call__(self, *args: str, code: int = 0) -> Result:
        said = run(["infra", *args], cwd=self.folder, env=self.environ, timeout=300)
        assert said.code == code, said.out + said.err
        return said


class Expired(BaseHTTPRequestHandler):
    """STS, to whom every token is too old."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(403)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(EXPIRED)))
        self.end_headers()
        self.wfile.write(EXPIRED.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def expired() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Expired) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_network_is_made_stays_as_it_is_and_goes(tmp_path: Path) -> None:
    with moto_server.running(tmp_path) as url:
        mcml = Typed(tmp_path, **KEYS, AWS_ENDPOINT_URL=url)
        made = json.loads(mcml("apply", "--yes", "-o", "json").out)["items"]
        assert len(made) > 15
        assert {one["result"] for one in made} == {"created"}
        mcml("plan", "--detailed-exitcode")
        gone = json.loads(mcml("destroy", "--yes", "-o", "json").out)["items"]
        assert sum(one.get("result") == "destroyed" for one in gone) == len(made), gone


def test_no_credentials(tmp_path: Path) -> None:
    said = Typed(tmp_path)("plan", code=4)
    assert "no credentials for AWS: planning" in said.err
    assert "next: aws sso login    # or: aws configure" in said.err


def test_credentials_that_have_expired(tmp_path: Path, expired: str) -> None:
    mcml = Typed(tmp_path, **KEYS, AWS_SESSION_TOKEN="old", AWS_ENDPOINT_URL=expired)
    said = mcml("plan", code=4)
    assert "the credentials for AWS have expired: planning" in said.err
    assert "aws sso login" in said.err
    assert "testing" not in said.err + said.out
