"""`mcml pipeline`: train, evaluate and package a model."""

from pathlib import Path
from typing import Annotated

import typer

from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml pipeline train tumor --dataset breast-cancer",
    "mcml pipeline train digits --dataset digits --algorithm logistic-regression --min-accuracy 0.95",
)
app = group("pipeline", "Train, evaluate and package a model.", examples=EXAMPLES)


@command(app, "train", examples=EXAMPLES)
def train_model(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    dataset: Annotated[str, typer.Option(help="breast-cancer, digits, iris or wine: real data that scikit-learn ships.")] = "breast-cancer",
    algorithm: Annotated[str, typer.Option(help="random-forest, gradient-boosting or logistic-regression.")] = "random-forest",
    out: Annotated[Path | None, typer.Option(help="Folder of the package.  [default: models/NAME]", show_default=False)] = None,
    version: Annotated[str, typer.Option(help="Version of the package.")] = "1",
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 7,
    min_accuracy: Annotated[float, typer.Option(min=0, max=1, help="Write nothing below this accuracy on held-out rows.")] = 0.0,
) -> Document:
    """Train a classifier, measure it on rows it never saw, and write it as an ONNX package that `mcml deploy` takes."""
    from mcml.core.fact import Fact
    from mcml.pipeline import recipe, train, views, write

    folder = out or session.config.project / "models" / name
    data = recipe.load(dataset)
    trained = train.train(data, algorithm, seed=seed, min_accuracy=min_accuracy, reporter=session.reporter)
    package = write.write_package(folder, write.Label(name, version, algorithm, seed), data, trained)
    facts = {"model": name, "version": version, "digest": package.digest, "dataset": dataset, "seconds": round(trained.seconds, 3)}
    session.store.append(Fact("pipeline.trained", "pipeline", facts=facts | trained.as_dict()))
    return views.trained_model(package, str(folder), trained)
