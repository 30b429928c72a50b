"""The descriptors are those of the .proto files, and their classes stand beside those of another library."""

import pytest

from mcml.core.open_inference import SERVICE, descriptors, message


def test_the_descriptors_are_made_of_the_proto_files(tmp_path: object) -> None:
    """When this fails after a change of a .proto file:

    cd mcml/core/protocol && python -m grpc_tools.protoc -I . --descriptor_set_out=descriptors.binpb inference.proto health.proto
    """
    from pathlib import Path

    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    protoc = pytest.importorskip("grpc_tools.protoc")
    folder, made = Path("mcml/core/protocol").resolve(), Path(str(tmp_path)) / "made.binpb"
    assert protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={made}", "inference.proto", "health.proto"]) == 0
    assert FileDescriptorSet.FromString(made.read_bytes()) == FileDescriptorSet.FromString(descriptors())


def test_messages_are_found_by_their_name() -> None:
    asked = message("ModelInferRequest")(model_name="fraud", inputs=[{"name": "x", "shape": [1, 2]}])
    assert message("inference.ModelInferRequest").FromString(asked.SerializeToString()) == asked
    assert message("grpc.health.v1.HealthCheckResponse")(status="SERVING").SerializeToString() == b"\x08\x01"
    with pytest.raises(KeyError):
        message("Nothing")


def test_they_live_in_a_pool_of_their_own() -> None:
    """tritonclient and others register messages of the same names in protobuf's default pool; a clash would end the process."""
    from google.protobuf import descriptor_pool
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    message("ModelInferRequest")
    other = FileDescriptorProto(name="other.proto", package="inference")
    other.message_type.add(name="ModelInferRequest")
    descriptor_pool.Default().Add(other)
    assert descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest").fields == []


def test_the_service_is_the_protocols() -> None:
    pool = message("ModelInferRequest").DESCRIPTOR.file.pool
    methods = [method.name for method in pool.FindServiceByName(SERVICE).methods]
    assert methods == ["ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"]
