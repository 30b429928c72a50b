"""A model package: a folder with `model.onnx` and, if somebody wrote it, a `model.json` that says what it is.

    model.onnx   the network, with its input and output names, types and shapes
    model.json   {"name", "version", "runtime": "onnx", "description", "metrics": {...}, "training": {...}, "tokens": {...}}   (every
                 key optional; `tokens` says which tensors the server counts tokens in: see `mcml.serving.tokens`)

Any folder with a `model.onnx` can be deployed; `mcml pipeline train` writes both files.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcml.core.canonical import canonical_json
from mcml.core.errors import InvalidRequest, NotFound
from mcml.core.files import read_json

MODEL_FILE = "model.onnx"
ABOUT_FILE = "model.json"


@dataclass(frozen=True)
class ModelPackage:
    """A package on disk. `digest` is the SHA-256 over its files' names and bytes: the same digest is the same model."""

    name: str
    version: str
    digest: str
    folder: Path
    about: Mapping[str, object]


def read_package(folder: Path, *, name: str = "") -> ModelPackage:
    """Read a model package. `name` overrides the one in model.json; the folder's name is the last resort.

    Raises NotFound without a `model.onnx`, InvalidRequest for a broken `model.json`.
    """
    if not (folder / MODEL_FILE).is_file():
        raise NotFound(
            f"{folder} is not a model package",
            why=f"it holds no {MODEL_FILE}",
            next_step="export the model to ONNX into that folder, or run: mcml pipeline train --help",
        )
    try:
        about = read_json(folder / ABOUT_FILE)
    except (ValueError, OSError) as broken:
        raise _bad_about(folder, str(broken)) from broken
    about = {} if about is None else about
    if not isinstance(about, dict):
        raise _bad_about(folder, "it is JSON, but not an object")
    return ModelPackage(
        name=name or str(about.get("name") or folder.resolve().name),
        version=str(about.get("version") or "1"),
        digest=folder_digest(folder),
        folder=folder,
        about=about,
    )


def _bad_about(folder: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"cannot read {folder / ABOUT_FILE}", why=why, next_step=f"mend it or delete it: {MODEL_FILE} is enough")


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 over the sorted relative names and contents of all files below a folder (dot-files left out)."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        with path.open("rb") as source:
            content = hashlib.file_digest(source, "sha256").hexdigest()
        whole.update(os.fsencode(relative.as_posix()) + f"\0{content}\n".encode())
    return whole.hexdigest()


def version_end(digest: str, resources: Mapping[str, str]) -> str:
    """Return how the name of a deployed version ends: eight digits of the package's digest, and six of its resources where it has any."""
    return f"{digest[:8]}-{hashlib.sha256(canonical_json(resources).encode()).hexdigest()[:6]}" if resources else digest[:8]
