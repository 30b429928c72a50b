"""The little model server of `upstream.py` with gRPC beside it: `python grpc_upstream.py PORT NAME GRPC_PORT`.

ModelInfer answers with the outputs `NAME` (the server's name) and what it was told in metadata. The mode `grpc` is the status it answers.
"""

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio

from mcml.core.open_inference import HEALTH_SERVICE, SERVICE, message
from tests.route.upstream import Server

Server.mode["grpc"] = 0
CODES = {code.value[0]: code for code in grpc.StatusCode}


async def infer(body: bytes, context: Any) -> bytes:
    asked = message("ModelInferRequest").FromString(body)
    await asyncio.sleep(Server.mode["delay"])
    if Server.mode["grpc"]:
        await context.abort(CODES[int(Server.mode["grpc"])], "as the mode says")
    answer = message("ModelInferResponse")(model_name=asked.model_name, model_version="1", id=Server.name)
    for key, value in context.invocation_metadata():
        answer.parameters[key].string_param = value if isinstance(value, str) else value.hex()
    answer.parameters["bytes"].int64_param = len(body)
    return bytes(answer.SerializeToString())


async def stream(requests: Any, context: Any) -> Any:
    async for body in requests:
        asked = message("ModelInferRequest").FromString(body)
        yield message("ModelInferResponse")(model_name=asked.model_name, id=f"{Server.name}:{asked.id}").SerializeToString()


async def ready(body: bytes, context: Any) -> bytes:
    return bytes(message("ServerReadyResponse")(ready=Server.mode["ready"] == 200).SerializeToString())


async def model_ready(body: bytes, context: Any) -> bytes:
    return bytes(message("ModelReadyResponse")(ready=True).SerializeToString())


async def metadata(body: bytes, context: Any) -> bytes:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    return bytes(message("ModelMetadataResponse")(name="fraud", versions=["1"], inputs=inputs).SerializeToString())


async def check(body: bytes, context: Any) -> bytes:
    status = "SERVING" if Server.mode["ready"] == 200 else "NOT_SERVING"
    return bytes(message("grpc.health.v1.HealthCheckResponse")(status=status).SerializeToString())


class Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    handlers = {  # noqa: RUF012
        f"/{SERVICE}/ModelInfer": grpc.unary_unary_rpc_method_handler(infer),
        f"/{SERVICE}/ModelStreamInfer": grpc.stream_stream_rpc_method_handler(stream),
        f"/{SERVICE}/ServerReady": grpc.unary_unary_rpc_method_handler(ready),
        f"/{SERVICE}/ModelReady": grpc.unary_unary_rpc_method_handler(model_ready),
        f"/{SERVICE}/ModelMetadata": grpc.unary_unary_rpc_method_handler(metadata),
        f"/{HEALTH_SERVICE}/Check": grpc.unary_unary_rpc_method_handler(check),
    }

    def service(self, handler_call_details: Any) -> Any:
        return self.handlers.get(handler_call_details.method)


async def main() -> None:
    Server.name = sys.argv[2]
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    beside = grpc.aio.server(options=options)
    beside.add_generic_rpc_handlers((Methods(),))
    beside.add_insecure_port(f"127.0.0.1:{sys.argv[3]}")
    await beside.start()
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", int(sys.argv[1]))
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
