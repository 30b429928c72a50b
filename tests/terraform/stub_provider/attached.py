"""The stub inside the test process, which Terraform attaches to: a command then starts no provider, where a plan starts three."""

import atexit
import json
import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import grpc

from tests.terraform.stub_provider.__main__ import handlers
from tests.terraform.stub_provider.provider import Provider, read


@cache
def reattach(source: str, schema: Path, more: Path | None = None) -> dict[str, Any]:
    """Serve a stub of `hashicorp/NAME` until this process ends; return its entry of TF_REATTACH_PROVIDERS.

    https://developer.hashicorp.com/terraform/plugin/debugging: `Test` says that the process is not Terraform's to end.
    """
    told = json.loads(more.read_text()) if more else {}
    server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    provider, *_ = handlers(Provider(read(schema), **told), threading.Event())  # not the two that end the process and carry its output
    server.add_generic_rpc_handlers((provider,))
    folder = tempfile.mkdtemp(prefix="stub-provider-")
    socket = f"{folder}/s"
    server.add_insecure_port(f"unix://{socket}")
    server.start()

    def end() -> None:
        server.stop(0).wait()
        shutil.rmtree(folder)

    atexit.register(end)
    how = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True}
    return {f"registry.terraform.io/{source}": {**how, "Addr": {"Network": "unix", "String": socket}}}
