"""An ONNX model in onnxruntime, with its signature in the words of the v2 protocol."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from mcml.core.errors import InvalidRequest
from mcml.core.package import MODEL_FILE, ModelPackage
from mcml.serving.codec import DATATYPES, Array, TensorSpec
from mcml.serving.tokens import declared

DATATYPE_OF = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
# What scikit-learn converters write unless told otherwise: a list of {class: probability}. It is served as a matrix.
ZIPMAP_TYPES = frozenset({"seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))"})


class Model:
    """A loaded model. `run` may be called from several threads at once."""

    def __init__(self, package: ModelPackage, session: Any) -> None:
        self.package = package
        self.name = package.name
        self.version = package.version
        self.inputs: Mapping[str, TensorSpec] = {node.name: _input_spec(node, package) for node in session.get_inputs()}
        self.outputs: Mapping[str, TensorSpec] = {node.name: _output_spec(node, package) for node in session.get_outputs()}
        self.tokens = declared(package, self.inputs, self.outputs)
        self._zipmaps = {node.name for node in session.get_outputs() if node.type in ZIPMAP_TYPES}
        self._session = session

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Return the named outputs, in that order. Raises what onnxruntime raises when the graph fails on these values."""
        answers = self._session.run(outputs, feeds)
        if self._zipmaps:
            answers = [_matrix(a) if name in self._zipmaps else a for name, a in zip(outputs, answers, strict=True)]
        return list(answers)

    def metadata(self) -> dict[str, object]:
        """Return the v2 model metadata."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": "onnxruntime_onnx",
            "inputs": [spec.metadata() for spec in self.inputs.values()],
            "outputs": [spec.metadata() for spec in self.outputs.values()],
        }

    def sample(self) -> dict[str, Array]:
        """Return the smallest valid input: zeros (empty strings), 1 for every variable dimension."""
        return {spec.name: _zeros(spec) for spec in self.inputs.values()}


def load_model(package: ModelPackage, *, threads: int = 1) -> Model:
    """Load the package's network; `threads` CPU threads may work on one request.

    Raises InvalidRequest for a file that onnxruntime cannot load, for tensor types that the v2 protocol has no word for, and for a
    model.json that counts tokens in tensors that the network does not have.
    """
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    path = package.folder / MODEL_FILE
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as broken:
        raise InvalidRequest(f"cannot load {path}", why=_cause(broken, path), next_step="export the model to ONNX again") from broken
    return Model(package, session)


def _cause(broken: Exception, path: Path) -> str:
    """Return onnxruntime's reason on one line, without its prefix and the path that the message has already."""
    text = " ".join(str(broken).split()).rpartition("[ONNXRuntimeError] : ")[2]
    return text.replace(f"Load model from {path} failed:", "")


def _input_spec(node: Any, package: ModelPackage) -> TensorSpec:
    if node.type not in DATATYPE_OF:
        raise _unspeakable("input", node, package)
    return TensorSpec(node.name, DATATYPE_OF[node.type], _declared(node.shape))


def _output_spec(node: Any, package: ModelPackage) -> TensorSpec:
    if node.type in ZIPMAP_TYPES:
        return TensorSpec(node.name, "FP32", (None, None))
    if node.type not in DATATYPE_OF:
        raise _unspeakable("output", node, package)
    return TensorSpec(node.name, DATATYPE_OF[node.type], _declared(node.shape))


def _unspeakable(what: str, node: Any, package: ModelPackage) -> InvalidRequest:
    return InvalidRequest(
        f"cannot serve {package.folder / MODEL_FILE}",
        why=f"its {what} '{node.name}' is of type {node.type}, which the Open Inference Protocol cannot carry",
        next_step="export it with plain tensors of bool, integers, float16/32/64 or strings",
    )


def _declared(shape: Sequence[int | str | None]) -> tuple[int | str | None, ...] | None:
    # onnxruntime answers [] both for a scalar and for a tensor without a declared shape: nothing can be checked then.
    return tuple(shape) or None


def _matrix(rows: Sequence[Mapping[Any, float]]) -> Array:
    """Turn [{class: probability}] into a matrix, columns in the order of the (sorted) classes."""
    return np.array([list(row.values()) for row in rows], np.float32)


def _zeros(spec: TensorSpec) -> Array:
    dtype = DATATYPES[spec.datatype].dtype
    shape = [max(size, 1) for size in spec.dimensions()]
    return np.full(shape, "", dtype) if spec.datatype == "BYTES" else np.zeros(shape, dtype)
