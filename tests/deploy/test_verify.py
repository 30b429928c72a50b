"""The look at a started version from outside, also where that wants a signature or a token; its inputs read from the file itself."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from mcml.core.credential import SigningKeys
from mcml.core.errors import InvalidRequest, McmlError
from mcml.core.onnx_inputs import DATATYPES, read_inputs
from mcml.core.secret import Secret
from mcml.deploy.verify import verify
from mcml.providers.api.endpoint import InvokeTarget
from mcml.providers.aws.signing import signer
from tests.route.clouds import Cloud
from tests.serving import models

INPUTS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}
ZEROS = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 0.0]}]}


@pytest.fixture
def vertex() -> Iterator[Cloud]:
    """An endpoint that takes a bearer at a path of its own."""
    cloud = Cloud("vertex", "", "/v1/endpoints/7:rawPredict", "bearer").start()
    yield cloud
    cloud.close()


@pytest.fixture
def sagemaker() -> Iterator[Cloud]:
    """An endpoint that takes a signature."""
    cloud = Cloud("sagemaker", "", "/endpoints/fraud/invocations", "sigv4").start()
    yield cloud
    cloud.close()


def inputs() -> Mapping[str, Any]:
    return INPUTS


def test_with_a_token(vertex: Cloud) -> None:
    vertex.grant()
    where = InvokeTarget(f"http://127.0.0.1:{vertex.port}", vertex.path, "", "bearer", Secret(vertex.accepted[0]), {"x-choice": "2"})
    answer = verify("fraud", where, version="2", inputs=inputs)
    assert (answer.version, answer.outputs) == ("2", ("y",))
    (request,) = vertex.seen
    assert (request.path, request.get("x-choice"), json.loads(request.body)) == (vertex.path, "2", ZEROS)


def test_with_a_signature(sagemaker: Cloud) -> None:
    """Checked by the SDK's own code, as the endpoint does it."""
    sagemaker.grant()
    keys = SigningKeys(*map(Secret, sagemaker.accepted[0]))
    url, headers = f"http://127.0.0.1:{sagemaker.port}", {"X-Amzn-SageMaker-Target-Variant": "v2"}
    sign = signer(keys, "sagemaker", "eu-west-1")
    where = InvokeTarget(url, sagemaker.path, "", "sigv4", headers=headers, keys=keys, sign=sign)
    assert verify("fraud", where, version="2", inputs=inputs).outputs == ("y",)
    assert "x-amzn-sagemaker-target-variant" in sagemaker.seen[0].get("authorization")
    assert sagemaker.accepted[0][1] not in repr(where)


def test_a_refused_credential_is_a_failed_look_and_shows_nothing(vertex: Cloud) -> None:
    where = InvokeTarget(f"http://127.0.0.1:{vertex.port}", vertex.path, "", "bearer", Secret("nobody-knows-me"))
    with pytest.raises(McmlError) as refused:
        verify("fraud", where, version="2", inputs=inputs)
    assert "was answered 401" in refused.value.why
    assert "nobody-knows-me" not in refused.value.why


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(DATATYPES.values())), st.lists(st.none() | st.integers(1, 2000), min_size=1, max_size=3)),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_inputs_are_read_from_the_file(tmp_path_factory: pytest.TempPathFactory, tensors: list[tuple[str, list[int | None]]]) -> None:
    folder = tmp_path_factory.mktemp("model") / "package"
    values = [models.value(f"x{number}", datatype, shape) for number, (datatype, shape) in enumerate(tensors)]
    nodes = [helper.make_node("Identity", ["x0"], ["y"])]
    models.package(folder, values, [models.value("y", *tensors[0])], nodes, {"constant": np.zeros(2, np.float32)})
    assert read_inputs(folder / "model.onnx") == {
        "inputs": [
            {"name": f"x{number}", "datatype": datatype, "shape": [-1 if size is None else size for size in shape]}
            for number, (datatype, shape) in enumerate(tensors)
        ]
    }


@given(st.binary(max_size=200))
def test_a_file_that_is_no_model_is_said(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path: Path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(content)
    try:
        assert isinstance(read_inputs(path)["inputs"], list)
    except InvalidRequest as refused:
        assert str(path) in refused.message
