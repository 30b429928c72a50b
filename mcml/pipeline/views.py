"""Documents of the pipeline room."""

from mcml.core.package import ModelPackage
from mcml.core.view import Document, Pairs
from mcml.pipeline.train import Trained


def trained_model(package: ModelPackage, folder: str, trained: Trained) -> Document:
    """Show what was trained, how good it is, and where it lies."""
    item = {
        "name": package.name,
        "version": package.version,
        "digest": package.digest,
        "folder": folder,
        "seconds": round(trained.seconds, 3),
        **trained.as_dict(),
    }
    metrics = trained.metrics
    pairs = (
        ("model", f"{package.name} {package.version}"),
        ("folder", folder),
        ("digest", package.digest[:12]),
        ("accuracy", f"{metrics.accuracy:.4f} (always the commonest class: {metrics.baseline:.4f})"),
        ("F1, macro", f"{metrics.f1_macro:.4f}"),
        ("log loss", f"{metrics.log_loss:.4f}"),
        ("rows", f"{metrics.rows_trained} trained, {metrics.rows_tested} tested"),
        ("ONNX parity", f"{trained.parity.labels_equal:.1%} of labels, probability within {trained.parity.max_probability_difference:.1g}"),
    )
    return Document("TrainedModel", (item,), (Pairs(pairs),))
