"""What can be trained on what: the data sets that scikit-learn ships, and the algorithms, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcml.core.errors import unknown


@dataclass(frozen=True)
class Data:
    """Samples (float32, rows x features), labels (int64), and the names of features and classes."""

    name: str
    samples: Any
    labels: Any
    features: tuple[str, ...]
    classes: tuple[str, ...]


DATASETS = {
    "breast-cancer": "load_breast_cancer",
    "digits": "load_digits",
    "iris": "load_iris",
    "wine": "load_wine",
}
"""Name to the loader in sklearn.datasets; all of them are real data inside the wheel."""

ALGORITHMS = ("random-forest", "logistic-regression", "gradient-boosting")


def load(name: str) -> Data:
    """Load a data set. Raises NotFound with the nearest name."""
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS, next_step="mcml pipeline train --help")
    import numpy
    from sklearn import datasets

    loader: Callable[[], Any] = getattr(datasets, DATASETS[name])
    bunch = loader()
    return Data(
        name=name,
        samples=bunch.data.astype(numpy.float32),
        labels=bunch.target.astype(numpy.int64),
        features=tuple(str(feature) for feature in bunch.feature_names),
        classes=tuple(str(label) for label in bunch.target_names),
    )


def estimator(algorithm: str, seed: int) -> Any:
    """Return an unfitted classifier. Raises NotFound with the nearest name."""
    if algorithm == "random-forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(n_estimators=100, random_state=seed)
    if algorithm == "gradient-boosting":
        from sklearn.ensemble import GradientBoostingClassifier

        return GradientBoostingClassifier(random_state=seed)
    if algorithm == "logistic-regression":
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    raise unknown("algorithm", algorithm, ALGORITHMS, next_step="mcml pipeline train --help")
