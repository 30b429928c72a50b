"""Tokens are counted where the package says which tensors hold them, from the tensors themselves, and nowhere else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mcml.core.errors import InvalidRequest
from mcml.core.package import ModelPackage, read_package
from mcml.serving.codec import DATATYPES, TensorSpec
from mcml.serving.model import load_model
from mcml.serving.tokens import INTEGERS, Counter, Tokens, declared
from tests.serving import models
from tests.serving.asgi import Client

INPUTS = {name: TensorSpec(name, kind, ("N", "T")) for name, kind in (("ids", "INT64"), ("mask", "BOOL"), ("text", "BYTES"), ("x", "FP32"))}
OUTPUTS = {name: TensorSpec(name, kind, ("N", "T")) for name, kind in (("sequences", "INT32"), ("logits", "FP32"))}
BOTH = {"input": {"mask": "attention_mask"}, "output": {"ids": "sequences", "pad_token_id": 0}}
IDS, MASK = [[101, 7, 8, 102], [101, 9, 102, 5]], [[1, 1, 1, 1], [1, 1, 1, 0]]


def read(tokens: object) -> Tokens | None:
    return declared(ModelPackage("m", "1", "d", Path("m"), {"tokens": tokens}), INPUTS, OUTPUTS)


def test_what_is_declared_is_counted_and_nothing_else() -> None:
    assert read(None) is None
    assert read({"input": {"mask": "mask"}}) == Tokens(input=Counter("mask", 0))
    assert read({"output": {"ids": "sequences"}}) == Tokens(output=Counter("sequences", None))
    both = read({"input": {"ids": "ids", "pad_token_id": -100}, "output": {"mask": "sequences"}})
    assert both == Tokens(Counter("ids", -100), Counter("sequences", 0))


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        ("mask", 'tokens: expected an object like {"input": {"mask": "attention_mask"}}'),
        ({}, "tokens: expected 'input', 'output' or both"),
        ({"inputs": {"mask": "mask"}}, "tokens: has no member 'inputs'; did you mean 'input'?"),
        ({"input": "mask"}, 'tokens.input: expected an object like {"mask": "attention_mask"}'),
        ({"input": {}}, "tokens.input: expected one of 'mask' and 'ids', with the name of a tensor"),
        ({"input": {"mask": "mask", "ids": "ids"}}, "tokens.input: expected one of 'mask' and 'ids', with the name of a tensor"),
        ({"input": {"mask": "masks"}}, "tokens.input.mask: the network has no input 'masks'; did you mean 'mask'?"),
        ({"input": {"ids": "sequences"}}, "tokens.input.ids: the network has no input 'sequences'; known: ids, mask, text, x"),
        ({"output": {"ids": ["sequences"]}}, "tokens.output.ids: the network has no output ['sequences']; did you mean 'sequences'?"),
        ({"input": {"ids": "text"}}, "tokens.input.ids: expected a tensor of integers, 'text' is BYTES"),
        ({"input": {"ids": "mask"}}, "tokens.input.ids: expected a tensor of integers, 'mask' is BOOL"),
        ({"input": {"mask": "x"}}, "tokens.input.mask: expected a tensor of integers or BOOL, 'x' is FP32"),
        ({"output": {"ids": "sequences", "pad_token_id": 0.5}}, "tokens.output.pad_token_id: expected an integer, beside 'ids'"),
        ({"output": {"ids": "sequences", "pad_token_id": True}}, "tokens.output.pad_token_id: expected an integer, beside 'ids'"),
        ({"input": {"mask": "mask", "pad_token_id": 0}}, "tokens.input.pad_token_id: expected an integer, beside 'ids'"),
    ],
    ids=range(15),
)
def test_a_declaration_that_cannot_be_is_refused_with_the_place(tokens: object, why: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(tokens)
    assert refused.value.why == why
    assert refused.value.message == "cannot count tokens as m/model.json says"
    assert refused.value.next_step == "mend 'tokens' there, or delete it: then none are counted"


def test_a_package_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    package = read_package(models.words(tmp_path / "words", {"input": {"mask": "mask"}}))
    with pytest.raises(InvalidRequest, match="cannot count tokens") as refused:
        load_model(package)
    assert refused.value.why == "tokens.input.mask: the network has no input 'mask'; known: attention_mask, input_ids"
    assert load_model(replace(package, about={})).tokens is None


SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, max_side=6)


@given(st.data(), st.sampled_from(INTEGERS), st.integers(-3, 3))
def test_counts_are_those_of_a_plain_loop(data: st.DataObject, datatype: str, padding: int) -> None:
    dtype = DATATYPES[datatype].dtype
    least = 0 if dtype.kind == "u" else -3
    array = data.draw(arrays.arrays(dtype, SHAPES, elements=st.integers(least, 3)))
    values = array.ravel().tolist()
    assert Counter("t", None).count(array) == len(values)
    assert Counter("t", padding).count(array) == sum(value != padding for value in values)


@given(arrays.arrays(np.bool_, SHAPES))
def test_a_mask_of_truths_counts_them(mask: Any) -> None:
    assert Counter("t", 0).count(mask) == sum(mask.ravel().tolist())


def document(ids: Any = IDS, mask: Any = MASK, **more: object) -> dict[str, object]:
    shape = [len(ids), len(ids[0])]
    tensors = {"input_ids": ids, "attention_mask": mask}
    inputs = [{"name": name, "datatype": "INT64", "shape": shape, "data": data} for name, data in tensors.items()]
    return {"inputs": inputs, **more}


def counted(client: Client) -> tuple[int | None, int | None]:
    return client.metrics.input_tokens, client.metrics.output_tokens


def test_requests_over_http_are_counted_by_their_tensors(tmp_path: Path) -> None:
    client = Client(models.words(tmp_path / "words", BOTH))
    assert counted(client) == (0, 0)  # what warms the model up is nobody's
    assert client.infer(document()).status == 200
    assert counted(client) == (7, 7)
    page = client.ask("GET", "/metrics").body.decode()
    assert "# TYPE mcml_serving_tokens_total counter\n" in page
    assert 'mcml_serving_tokens_total{kind="input"} 7\nmcml_serving_tokens_total{kind="output"} 7\n' in page
    wide = [[1] * 12_000]  # too long for the event loop: a thread counts it
    assert client.infer(document(wide, wide)).status == 200
    assert counted(client) == (12_007, 12_007)


def test_what_is_not_asked_for_is_counted_and_not_sent(tmp_path: Path) -> None:
    client = Client(models.words(tmp_path / "words", BOTH))
    answer = client.infer(document(outputs=[{"name": "length"}])).json
    assert [(tensor["name"], tensor["data"]) for tensor in answer["outputs"]] == [("length", [4, 3])]
    assert counted(client) == (7, 7)


def test_a_refused_or_failed_request_has_no_tokens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(models.words(tmp_path / "words", BOTH))
    assert client.infer({"inputs": []}).status == 400
    assert client.infer(document(mask=[[1], [1]])).status == 400
    assert counted(client) == (0, 0)
    failing = models.pick(tmp_path / "pick")
    (failing / "model.json").write_text('{"tokens": {"input": {"ids": "i"}}}')
    client = Client(failing)
    tensor = {"name": "i", "shape": [1], "datatype": "INT64", "data": [99]}
    assert client.infer({"inputs": [tensor]}).status == 500
    assert client.infer({"inputs": [tensor | {"data": [2]}]}).status == 200
    assert counted(client) == (1, None)
    assert caplog.messages == ["the model failed on a valid request"]


def test_without_a_declaration_nothing_is_counted_or_said(tmp_path: Path) -> None:
    client = Client(models.words(tmp_path / "words"))
    assert client.infer(document()).status == 200
    assert (client.model.tokens, counted(client)) == (None, (None, None))
    assert b"tokens" not in client.ask("GET", "/metrics").body
