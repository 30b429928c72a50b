"""What a request for a model means to SageMaker: its container and its production variant."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mcml.core.errors import InvalidRequest, Usage
from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.aws.session import Session
from mcml.providers.oci_layer import pack

RESOURCES = ("machine", "replicas", "image")
MACHINE, REPLICAS = "ml.m5.large", "1"
PIECE_BYTES = 1 << 20


def container(session: Session, request: EndpointRequest) -> dict[str, Any]:
    """Return the container of a version; a folder is copied to the staging area first. Raises InvalidRequest, Usage, NotFound."""
    machine_and_count(request.name, request.resources)
    about: dict[str, Any] = {"Environment": dict(request.environment)} if request.environment else {}
    source, image = request.source, request.resources.get("image") or session.settings.serving_image
    folder = Path(source)
    if not source.startswith("s3://") and not folder.exists():
        if _is_path(source):
            raise InvalidRequest(f"cannot deploy {request.name}", why=f"there is no folder {source}")
        return {"Image": source, **about}
    if not image:
        step = "set serving_image in [providers.aws] of mcml.toml, or image in the model's resources"
        raise Usage(f"cannot deploy {request.name}", why="no image is named that could serve it on SageMaker", next_step=step)
    if not source.startswith("s3://"):
        source = _staged(session, request, folder)
    return {"Image": image, **_data(source), **about}


def variant_config(request: EndpointRequest, name: str, model: str, weight: float) -> dict[str, Any]:
    """Return the production variant of a version. Raises InvalidRequest for a count that is none."""
    machine, count = machine_and_count(request.name, request.resources)
    return {
        "VariantName": name,
        "ModelName": model,
        "InitialInstanceCount": count,
        "InstanceType": machine,
        "InitialVariantWeight": float(weight),
    }


def machine_and_count(model: str, resources: Mapping[str, str]) -> tuple[str, int]:
    """Return the type of the instances of a version, and how many there are.

    Raises InvalidRequest for a count that is none, and for a resource that SageMaker does not know.
    """
    odd = sorted(set(resources) - set(RESOURCES))
    if odd:
        why = f"SageMaker knows no resource {odd[0]!r}; it knows {', '.join(RESOURCES)}"
        raise InvalidRequest(f"cannot deploy {model}", why=why, next_step="models.NAME.resources.TARGET in mcml.toml")
    replicas = resources.get("replicas", REPLICAS)
    if not replicas.isdigit() or int(replicas) < 1:
        why = f"replicas is {replicas!r}, not a number of 1 or more"
        raise InvalidRequest(f"cannot deploy {model}", why=why, next_step='write it as replicas = "2"')
    return resources.get("machine", MACHINE), int(replicas)


def staging(session: Session, what: str) -> tuple[str, str]:
    """Return the bucket and the prefix (ending in '/', or empty) of the staging area. Raises Usage when none is set."""
    bucket, _, prefix = session.settings.staging.removeprefix("s3://").partition("/")
    if not bucket:
        step = 'set staging = "s3://BUCKET/PREFIX" in [providers.aws] of mcml.toml'
        raise Usage(f"cannot {what}", why="SageMaker reads and writes S3, and no staging area is named", next_step=step)
    return bucket, f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""


def _staged(session: Session, request: EndpointRequest, folder: Path) -> str:
    """Copy a package to the staging area, where it stays under its digest; return its address."""
    bucket, prefix = staging(session, f"deploy {request.name}")
    key = f"{prefix}models/{request.name}/{request.digest}.tar.gz"
    with tempfile.TemporaryDirectory(prefix="mcml-model-") as here:
        layer = pack(folder, Path(here) / "model.tar.gz")
        if layer.package_digest != request.digest:
            why = f"the files in {folder} do not have the digest {request.digest[:12]} that was asked for"
            raise InvalidRequest(f"cannot deploy {request.name}", why=why, next_step="let nobody write there, and deploy again")
        S3ObjectStore(session).write(bucket, key, _pieces(layer.path))
    return f"s3://{bucket}/{key}"


def _data(source: str) -> Mapping[str, Any]:
    if not source.endswith("/"):
        return {"ModelDataUrl": source}
    return {"ModelDataSource": {"S3DataSource": {"S3Uri": source, "S3DataType": "S3Prefix", "CompressionType": "None"}}}


def _is_path(source: str) -> bool:
    return source.startswith(("/", ".", "~"))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while piece := source.read(PIECE_BYTES):
            yield piece
