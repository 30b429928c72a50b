"""Write a trained model as a package, whole or not at all; an older package in the same place is replaced in one step."""

from dataclasses import dataclass
from pathlib import Path

from mcml.core.errors import Conflict
from mcml.core.files import staged_folder, write_json
from mcml.core.package import ABOUT_FILE, MODEL_FILE, ModelPackage, read_package
from mcml.pipeline.recipe import Data
from mcml.pipeline.train import Trained


@dataclass(frozen=True)
class Label:
    """What a package says about itself: the model's name, its version, how it was made."""

    name: str
    version: str
    algorithm: str
    seed: int


def write_package(folder: Path, label: Label, data: Data, trained: Trained) -> ModelPackage:
    """Write the package and return it. Raises Conflict when the folder exists and is no model package."""
    if folder.exists() and not (folder / MODEL_FILE).is_file() and any(folder.iterdir()):
        raise Conflict(f"{folder} exists and is no model package", why="it would be overwritten", next_step="choose another --out")
    about = {
        "name": label.name,
        "version": label.version,
        "runtime": "onnx",
        "description": f"{label.algorithm} on {data.name}",
        "training": {"dataset": data.name, "algorithm": label.algorithm, "seed": label.seed},
        "features": list(data.features),
        "classes": list(data.classes),
        **trained.as_dict(),
    }
    with staged_folder(folder, replace=True) as stage:
        (stage / MODEL_FILE).write_bytes(trained.onnx)
        write_json(stage / ABOUT_FILE, about)
    return read_package(folder, name=label.name)
