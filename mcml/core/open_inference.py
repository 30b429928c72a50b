"""The gRPC form of the Open Inference Protocol (v2) and of health checks: names of methods, and classes of messages.

The classes are made at run time of `protocol/descriptors.binpb` (a FileDescriptorSet of the .proto files beside it), so they fit any
protobuf that is installed; in a pool of their own, so they do not clash with those of another client library in the same process.
"""

from functools import cache
from pathlib import Path
from typing import Any

SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"
INFER = f"/{SERVICE}/ModelInfer"

ROUTE_HEADER = "x-mcml-route"
"""Metadata with which a client names the route, and our router the route that it chose."""

MODEL_HEADER = "x-mcml-model"
"""Metadata in which our router names the model that it sends a request to."""


@cache
def descriptors() -> bytes:
    """Return the serialized FileDescriptorSet."""
    return (Path(__file__).parent / "protocol" / "descriptors.binpb").read_bytes()


@cache
def message(name: str) -> Any:
    """Return the class of a message, by its full name or that within `inference` (`ModelInferRequest`).

    Raises ModuleNotFoundError where protobuf is not installed (it comes with `mcml[serve]`), KeyError for an unknown name.
    """
    from google.protobuf.message_factory import GetMessageClass

    return GetMessageClass(_pool().FindMessageTypeByName(name if "." in name else f"inference.{name}"))


@cache
def _pool() -> Any:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool

    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptors()).file:
        pool.Add(file)
    return pool
