"""A managed endpoint refuses the credential of the router: the client is told 502 and nothing of it, and others are asked instead."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.credential import Credential
from mcml.core.schema_routes import Route
from tests.route.clouds import Authority, Cloud, four
from tests.route.rig import Rig, until

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()
SAYS = {"sagemaker": 403, "vertex": 401, "azureml": 401}
"""What each endpoint answers to a credential that it does not take."""


@contextmanager
def serving(folder: Path, *names: str) -> Iterator[tuple[Rig, dict[str, Cloud]]]:
    """Serve over these clouds; their credentials are good at first."""
    clouds = four(Authority(folder / "ca"))
    credentials: dict[str, Credential] = {name: cloud.grant() for name, cloud in clouds.items() if cloud.auth != "none"}
    rig = Rig(folder / "route", [], routes={"fraud": Route()})
    rig.backends = [clouds[name].backend for name in names]
    rig.setup = replace(rig.setup, credential=lambda backend: credentials[backend.target])
    try:
        with rig:
            wanted = {f"fraud@{name}" for name in names}
            until(lambda: {rig.infer(body=BODY).backend for _ in range(12)} == wanted, 20, "not every cloud is asked")
            yield rig, clouds
    finally:
        for cloud in clouds.values():
            cloud.close()


@pytest.mark.parametrize("name", SAYS)
def test_the_client_gets_502_with_the_v2_error_and_nothing_of_the_credential(tmp_path: Path, name: str) -> None:
    with serving(tmp_path, name) as (rig, clouds):
        secrets = clouds[name].secrets()
        clouds[name].accepted.clear()
        answer = rig.infer(body=BODY, x_request_id="ours-7")
        assert answer.status == 502
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["error"] == "the backend refused the credentials of the router"
        assert (answer.json["code"], answer.json["request_id"]) == (502, "ours-7")
        assert (answer.headers["x-request-id"], answer.backend) == ("ours-7", f"fraud@{name}")
        assert "www-authenticate" not in answer.headers, "the client is not asked for what it cannot have"
        said = answer.body.decode() + str(answer.headers)
        assert not [secret for secret in (*secrets, "who are you", "AWS4-HMAC", "Bearer") if secret in said]


@pytest.mark.parametrize("name", ["sagemaker", "vertex"])
def test_another_cloud_answers_and_the_one_that_refused_goes_out(tmp_path: Path, name: str) -> None:
    with serving(tmp_path, name, "k8s") as (rig, clouds):
        clouds[name].accepted.clear()
        mark = len(clouds[name].seen)
        answers = [rig.infer(body=BODY)]
        end = time.monotonic() + 10
        while rig.weights()[f"fraud@{name}"] and time.monotonic() < end:
            answers.append(rig.infer(body=BODY))
        assert rig.weights()[f"fraud@{name}"] == 0
        assert {(answer.status, answer.backend) for answer in answers} == {(200, "fraud@k8s")}
        tried = [request.id for request in clouds[name].seen[mark:]]
        assert len(tried) == len(set(tried)), "no request goes to the same backend twice"
        retried = {answer.headers["x-request-id"] for answer in answers if answer.headers["x-mcml-attempts"] == "2"}
        assert retried == set(tried)
        _, down = rig.fact("route.backend_down", name)
        assert "failed answers" in str(down.facts["reason"])
        assert len(tried) >= 3, "three in a row are needed"
        time.sleep(0.1)
        rig.obeyed()
        mark = len(clouds[name].seen)
        assert {rig.infer(body=BODY).status for _ in range(40)} == {200}
        assert len(clouds[name].seen) == mark, "nobody asks it any more"


def test_what_a_plain_backend_refuses_is_its_own_answer(tmp_path: Path) -> None:
    """The router has no credential there: it is between the client and the model."""
    with serving(tmp_path, "k8s", "vertex") as (rig, clouds):
        clouds["k8s"].mode = "403"
        answer = until(lambda: next((one for one in (rig.infer(body=BODY) for _ in range(20)) if one.status != 200), None), 20, "not asked")
        assert (answer.status, answer.backend, answer.headers["x-mcml-attempts"]) == (403, "fraud@k8s", "1")
        assert answer.json == {"error": "as it was told"}
        assert rig.told_of("route.backend_down") == []
