"""Signatures as onnxruntime tells them, and what cannot be served."""

from pathlib import Path

import numpy as np
import pytest

from mcml.core.errors import InvalidRequest
from mcml.core.package import read_package
from mcml.serving.codec import DATATYPES
from mcml.serving.model import DATATYPE_OF, Model, load_model
from tests.serving import models


def load(folder: Path) -> Model:
    return load_model(read_package(folder))


def test_the_signature_is_read_from_the_network(tmp_path: Path) -> None:
    model = load(models.double(tmp_path / "m"))
    assert model.metadata() == {
        "name": "double",
        "versions": ["7"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }
    assert model.inputs["x"].shape == ("N", 3)


def test_every_v2_datatype_has_its_onnx_type(tmp_path: Path) -> None:
    model = load(models.echo(tmp_path / "m"))
    assert set(DATATYPE_OF.values()) == set(DATATYPES) == {spec.datatype for spec in model.inputs.values()}
    answers = model.run(model.sample(), list(model.outputs))
    for spec, answer in zip(model.outputs.values(), answers, strict=True):
        assert answer.shape == (1, 2)
        assert answer.dtype == DATATYPES[spec.datatype].dtype


def test_outputs_come_in_the_order_asked_for(tmp_path: Path) -> None:
    model = load(models.total(tmp_path / "m"))
    feeds = {"a": np.array([[5, 7]]), "b": np.array([[1, 2]], np.float32)}
    difference, both = model.run(feeds, ["difference", "sum"])
    assert difference.tolist() == [[4.0, 5.0]]
    assert both.tolist() == [[6.0, 9.0]]


def test_a_zipmap_is_served_as_a_matrix(tmp_path: Path) -> None:
    model = load(models.zipmap(tmp_path / "m"))
    assert model.outputs["p"].metadata() == {"name": "p", "datatype": "FP32", "shape": [-1, -1]}
    (answer,) = model.run({"x": np.array([[0.25, 0.75], [1, 0]], np.float32)}, ["p"])
    assert answer.tolist() == [[0.25, 0.75], [1.0, 0.0]]
    assert answer.dtype == np.float32


def test_a_sequence_cannot_be_served(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        load(models.sequence(tmp_path / "m"))
    assert refused.value.why == "its output 'parts' is of type seq(tensor(float)), which the Open Inference Protocol cannot carry"
    assert refused.value.next_step


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x08", b"\0" * 1000])
def test_a_broken_file_is_told_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(InvalidRequest) as refused:
        load(tmp_path)
    assert refused.value.message == f"cannot load {tmp_path / 'model.onnx'}"
    assert refused.value.why
    assert "\n" not in refused.value.why
    assert "ONNXRuntimeError" not in refused.value.why


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    whole = models.double(tmp_path / "m") / "model.onnx"
    whole.write_bytes(whole.read_bytes()[:60])
    with pytest.raises(InvalidRequest):
        load(whole.parent)
