"""What the tests of gRPC need beside `rig`: model servers that speak it, and calls through the router."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from mcml.core.backend import Backend
from mcml.core.open_inference import INFER, SERVICE, message
from mcml.core.process import free_port
from tests.route.rig import Upstream

ROOT = Path(__file__).parents[2]
Metadata = Sequence[tuple[str, str]]


class GrpcUpstream(Upstream):
    """A model server that also speaks gRPC."""

    def __init__(self, target: str, **more: Any) -> None:
        self.grpc_port = free_port()
        super().__init__(target, **more)

    @property
    def backend(self) -> Backend:
        return replace(super().backend, grpc_port=self.grpc_port)

    def start(self) -> None:
        name = f"{self.model}@{self.target}"
        argv = [sys.executable, "-m", "tests.route.grpc_upstream", str(self.port), name, str(self.grpc_port)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        with self.process.stdout as said:
            assert said.readline() == b"listening\n"


@dataclass(frozen=True)
class Call:
    """What came of a call: the name of its status, the words of that, the message, and the metadata before it."""

    code: str
    words: str = ""
    message: Any = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def told(self) -> dict[str, str]:
        """The metadata that the model server was given."""
        return {key: value.string_param for key, value in self.message.parameters.items()}


class Client:
    """Calls on one connection."""

    def __init__(self, port: int, authority: bytes = b"") -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        address = f"127.0.0.1:{port}"
        self.channel = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(authority), options)
            if authority
            else grpc.insecure_channel(address, options)
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def call(self, method: str, metadata: Metadata = (), *, timeout: float = 30.0, **fields: Any) -> Call:
        answer = message(f"{method}Response").FromString
        ask = self.channel.unary_unary(f"/{SERVICE}/{method}", message(f"{method}Request").SerializeToString, answer)
        began = time.monotonic()
        try:
            found, call = ask.with_call(message(f"{method}Request")(**fields), metadata=metadata, timeout=timeout)
        except grpc.RpcError as failed:
            # a refusal without a message has only what comes after it
            told = _texts([*(failed.initial_metadata() or ()), *(failed.trailing_metadata() or ())])
            return Call(failed.code().name, failed.details(), None, told, time.monotonic() - began)
        return Call("OK", "", found, _texts(call.initial_metadata()), time.monotonic() - began)

    def infer(self, model: str = "fraud", *, size: int = 0, metadata: Metadata = ()) -> Call:
        return self.call("ModelInfer", metadata, model_name=model, raw_input_contents=[b"0" * size] if size else [])


def _texts(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def load(port: int, calls: int, *, concurrency: int = 16, model: str = "fraud", halfway: Callable[[], None] | None = None) -> list[Call]:
    """Make so many calls at once over one connection; `halfway` runs after half of them, in a thread."""
    return asyncio.run(_load(port, calls, concurrency, model, halfway))


async def _load(port: int, calls: int, concurrency: int, model: str, halfway: Callable[[], None] | None) -> list[Call]:
    body = message("ModelInferRequest")(model_name=model).SerializeToString()
    answer = message("ModelInferResponse").FromString
    done: list[Call] = []
    left = calls

    async def work(infer: Any) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            if halfway and left == calls // 2:
                asyncio.get_running_loop().run_in_executor(None, halfway)
            began = time.monotonic()
            try:
                call = infer(body, timeout=30)
                found = answer(await call)
                done.append(Call("OK", "", found, _texts(await call.initial_metadata()), time.monotonic() - began))
            except grpc.RpcError as failed:
                done.append(Call(failed.code().name, failed.details(), seconds=time.monotonic() - began))

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await asyncio.gather(*(work(channel.unary_unary(INFER)) for _ in range(concurrency)))
    return done
