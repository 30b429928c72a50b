"""Train a classifier on a part of the data, measure it on the rest, and convert it to ONNX with proof that both agree."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from mcml.core.errors import McmlError
from mcml.core.report import Reporter
from mcml.pipeline.recipe import Data, estimator

HOLDOUT = 0.25
"""Share of the rows that training never sees."""

MAX_PROBABILITY_DIFFERENCE = 1e-4
"""ONNX computes in float32: probabilities may differ by rounding, and by no more than this."""


@dataclass(frozen=True)
class Metrics:
    """Measured on the held-out rows. `baseline` is the accuracy of always answering the commonest class of the training rows."""

    accuracy: float
    baseline: float
    f1_macro: float
    log_loss: float
    rows_trained: int
    rows_tested: int


@dataclass(frozen=True)
class Parity:
    """How far ONNX and the trained model agree on the held-out rows."""

    labels_equal: float
    max_probability_difference: float


@dataclass(frozen=True)
class Trained:
    """A trained model as ONNX bytes, with what was measured."""

    onnx: bytes
    metrics: Metrics
    parity: Parity
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """Return the measurements as JSON values."""
        return {"metrics": asdict(self.metrics), "parity": asdict(self.parity)}


def train(data: Data, algorithm: str, *, seed: int, min_accuracy: float, reporter: Reporter) -> Trained:
    """Train, evaluate and convert. The same seed gives the same model.

    Raises McmlError when the accuracy on the held-out rows is below `min_accuracy`, or when ONNX does not agree with the model.
    """
    from sklearn.model_selection import train_test_split

    began = time.monotonic()
    model = estimator(algorithm, seed)
    samples, held_out, labels, expected = train_test_split(
        data.samples, data.labels, test_size=HOLDOUT, random_state=seed, stratify=data.labels
    )
    reporter.start("train", f"{algorithm} on {data.name}: {len(samples)} rows x {len(data.features)} features")
    model.fit(samples, labels)
    metrics = _measure(model, samples, labels, held_out, expected)
    reporter.finish("train", f"accuracy {metrics.accuracy:.3f} on {metrics.rows_tested} rows never seen (baseline {metrics.baseline:.3f})")
    if metrics.accuracy < min_accuracy:
        raise McmlError(
            f"{algorithm} on {data.name} is not good enough",
            why=f"accuracy {metrics.accuracy:.3f} on held-out rows, {min_accuracy:.3f} wanted; nothing was written",
            next_step="mcml pipeline train --help",
        )
    reporter.start("package", "converting to ONNX")
    onnx = _convert(model, len(data.features))
    parity = _compare(model, onnx, held_out)
    reporter.finish("package", f"ONNX agrees on {parity.labels_equal:.1%} of the held-out rows, {len(onnx):,} bytes")
    return Trained(onnx, metrics, parity, time.monotonic() - began)


def _measure(model: Any, samples: Any, labels: Any, held_out: Any, expected: Any) -> Metrics:
    import numpy
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    predicted = model.predict(held_out)
    return Metrics(
        accuracy=float(accuracy_score(expected, predicted)),
        baseline=float(numpy.mean(expected == numpy.bincount(labels).argmax())),
        f1_macro=float(f1_score(expected, predicted, average="macro")),
        log_loss=float(log_loss(expected, model.predict_proba(held_out))),
        rows_trained=len(samples),
        rows_tested=len(held_out),
    )


def _convert(model: Any, features: int) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    converted = to_onnx(model, initial_types=[("input", FloatTensorType([None, features]))], options={id(model): {"zipmap": False}})
    data: bytes = converted.SerializeToString()
    return data


def _compare(model: Any, onnx: bytes, held_out: Any) -> Parity:
    import numpy
    from onnxruntime import InferenceSession

    session = InferenceSession(onnx, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {"input": held_out})
    parity = Parity(
        labels_equal=float(numpy.mean(labels == model.predict(held_out))),
        max_probability_difference=float(numpy.abs(probabilities - model.predict_proba(held_out)).max()),
    )
    if parity.labels_equal < 1.0 or parity.max_probability_difference > MAX_PROBABILITY_DIFFERENCE:
        raise McmlError(
            "the ONNX file does not say what the trained model says",
            why=f"labels equal on {parity.labels_equal:.2%} of the held-out rows, "
            f"probabilities differ by up to {parity.max_probability_difference:.2g}; nothing was written",
            next_step="mcml pipeline train with another --algorithm",
        )
    return parity
