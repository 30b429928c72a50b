"""Training on real data: what is measured is true, the ONNX file agrees, and nothing is written when something is wrong."""

import json
from pathlib import Path

import numpy
import pytest
from onnxruntime import InferenceSession

from mcml.core.errors import Conflict, McmlError, NotFound
from mcml.core.package import read_package
from mcml.core.report import Silent
from mcml.pipeline import recipe, train, write
from mcml.pipeline.recipe import Data
from mcml.testing.cli import run

pytestmark = pytest.mark.slow  # scikit-learn takes seconds to import in every worker


def trained(dataset: str = "breast-cancer", algorithm: str = "random-forest", *, min_accuracy: float = 0.0) -> tuple[Data, train.Trained]:
    data = recipe.load(dataset)
    return data, train.train(data, algorithm, seed=7, min_accuracy=min_accuracy, reporter=Silent())


@pytest.mark.parametrize(
    ("dataset", "rows", "features", "classes"), [("breast-cancer", 569, 30, 2), ("iris", 150, 4, 3), ("wine", 178, 13, 3)]
)
def test_data_sets_are_the_real_ones(dataset: str, rows: int, features: int, classes: int) -> None:
    data = recipe.load(dataset)
    assert data.samples.shape == (rows, features)
    assert (len(data.features), len(data.classes)) == (features, classes)


@pytest.mark.parametrize("algorithm", recipe.ALGORITHMS)
def test_metrics_are_measured_on_rows_never_seen(algorithm: str) -> None:
    data, result = trained("iris", algorithm)
    assert result.metrics.rows_trained + result.metrics.rows_tested == len(data.samples)
    assert result.metrics.rows_tested == 38
    assert result.metrics.accuracy > 0.85 > result.metrics.baseline
    assert result.parity.labels_equal == 1.0
    assert result.parity.max_probability_difference <= train.MAX_PROBABILITY_DIFFERENCE


def test_accuracy_is_what_the_onnx_file_reaches_on_the_same_rows() -> None:
    from sklearn.model_selection import train_test_split

    data, result = trained()
    _, held_out, _, expected = train_test_split(data.samples, data.labels, test_size=train.HOLDOUT, random_state=7, stratify=data.labels)
    labels, _ = InferenceSession(result.onnx, providers=["CPUExecutionProvider"]).run(None, {"input": held_out})
    assert float(numpy.mean(labels == expected)) == pytest.approx(result.metrics.accuracy)


def test_a_model_that_is_not_good_enough_is_refused() -> None:
    with pytest.raises(McmlError, match="not good enough"):
        trained("iris", min_accuracy=0.9999)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(NotFound) as raised:
        recipe.load("breast-cancr")
    assert "breast-cancer" in raised.value.why
    with pytest.raises(NotFound, match="no algorithm named 'forest'"):
        recipe.estimator("forest", 1)


def test_the_same_seed_is_the_same_package(tmp_path: Path) -> None:
    label = write.Label("flower", "3", "logistic-regression", 7)
    digests = set()
    for name in ("a", "b"):
        data, result = trained("iris", "logistic-regression")
        digests.add(write.write_package(tmp_path / name, label, data, result).digest)
    assert len(digests) == 1


def test_a_package_says_what_it_is_and_a_new_one_replaces_it(tmp_path: Path) -> None:
    data, result = trained("iris", "logistic-regression")
    folder = tmp_path / "flower"
    write.write_package(folder, write.Label("flower", "1", "logistic-regression", 7), data, result)
    write.write_package(folder, write.Label("flower", "2", "logistic-regression", 7), data, result)
    package = read_package(folder)
    assert (package.name, package.version) == ("flower", "2")
    assert package.about["classes"] == ["setosa", "versicolor", "virginica"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flower"]


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    data, result = trained("iris", "logistic-regression")
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(Conflict, match="is no model package"):
        write.write_package(tmp_path, write.Label("flower", "1", "logistic-regression", 7), data, result)
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_the_command_writes_the_package_and_the_fact(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    argv = ["pipeline", "train", "flower", "--dataset", "iris", "--algorithm", "logistic-regression", "-o", "json"]
    result = run(argv, cwd=tmp_path)
    assert result.code == 0, result.err
    item = json.loads(result.out)["items"][0]
    assert item["folder"] == str(tmp_path / "models" / "flower")
    assert set(item) == {"name", "version", "digest", "folder", "seconds", "metrics", "parity"}
    rows = json.loads(run(["journal", "list", "-o", "json"], cwd=tmp_path).out)["items"]
    assert [(row["kind"], row["facts"]["digest"]) for row in rows] == [("pipeline.trained", item["digest"])]
    refused = run([*argv, "--min-accuracy", "0.9999"], cwd=tmp_path)
    assert refused.code == 1
    assert read_package(tmp_path / "models" / "flower").digest == item["digest"]
