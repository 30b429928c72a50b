"""`python -m mcml.serving`: argv in, exit code out."""

import argparse
import contextlib
import gc
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mcml.core import exits
from mcml.core.errors import McmlError
from mcml.core.package import ModelPackage, read_package

if TYPE_CHECKING:
    from mcml.serving.app import App
    from mcml.serving.grpc_service import GrpcServer
    from mcml.serving.model import Model


def parser() -> argparse.ArgumentParser:
    """Return the command line of the server."""
    made = argparse.ArgumentParser(
        prog="python -m mcml.serving",
        description="Serve one ONNX model over the Open Inference Protocol (v2).",
        epilog="Example: python -m mcml.serving --model models/fraud --port 8080",
    )
    made.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="the model package: a folder with a model.onnx")
    made.add_argument("--name", default="", help="serve it under this name (default: as model.json or the folder says)")
    made.add_argument("--version", default="", help="the version to answer with (default: as model.json says, else 1)")
    made.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    made.add_argument("--port", type=_port, default=8080, help="TCP port, 0 for any free one (default: 8080)")
    made.add_argument("--grpc-port", type=_port, default=0, metavar="PORT", help="TCP port for gRPC too, 0 for none (default: 0)")
    made.add_argument("--usage-file", type=Path, metavar="FILE", help="append what the process uses, a JSON line at a time")
    made.add_argument("--usage-interval", type=_positive, default=1.0, metavar="SECONDS", help="between two lines (default: 1)")
    made.add_argument("--max-body", type=_count, default=8_388_608, metavar="BYTES", help="largest request body (default: 8 MiB)")
    made.add_argument("--threads", type=_count, default=1, metavar="N", help="CPU threads for one request (default: 1)")
    made.add_argument("--drain", type=_positive, default=5.0, metavar="SECONDS", help="for requests in flight at SIGTERM (default: 5)")
    made.add_argument("--access-log", action="store_true", help="write a JSON line for every request to stdout")
    return made


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        package = read_package(arguments.model, name=arguments.name)
        return _run(arguments, replace(package, version=arguments.version or package.version))
    except McmlError as failure:
        _say("; ".join(filter(None, (failure.message, failure.why, failure.next_step and f"try: {failure.next_step}"))))
        return failure.exit_code


def _run(arguments: argparse.Namespace, package: ModelPackage) -> int:
    try:
        from mcml.serving.app import App
        from mcml.serving.metrics import Metrics
        from mcml.serving.model import load_model
        from mcml.serving.server import hold_signals, listen, serve, take_port
        from mcml.serving.usage import UsageLog
    except ModuleNotFoundError as missing:
        raise McmlError(f"the model server needs {missing.name}", next_step="pip install 'mcml[serve]'") from missing

    with contextlib.closing(take_port(arguments.host, arguments.port)) as sock:
        if arguments.grpc_port:
            take_port(arguments.host, arguments.grpc_port).close()  # better said before the model is loaded than after
        model = load_model(package, threads=arguments.threads)
        metrics = Metrics({"name": package.name, "version": package.version, "digest": package.digest})
        app = App(model, metrics, max_body=arguments.max_body, access=_write_out if arguments.access_log else None)
        app.warm_up()
        beside = _grpc(arguments, app, model) if arguments.grpc_port else None
        usage = None
        if arguments.usage_file:
            about = {"model": package.name, "version": package.version, "digest": package.digest}
            usage = UsageLog(arguments.usage_file, metrics, about, interval=arguments.usage_interval, warn=_say)
        came = hold_signals()
        listen(sock)
        gc.collect()
        gc.freeze()  # what start-up made stays for good: the collector need not look at it again
        if usage:
            usage.start()
        host, port = sock.getsockname()[:2]
        also = f" and grpc://{_address(host, arguments.grpc_port)}" if beside else ""
        _say(f"model {package.name} version {package.version} on http://{_address(host, port)}{also}")
        serve(sock, app, metrics, drain=arguments.drain, came=came, beside=beside)
        app.close()
        if usage:
            usage.stop()
    if app.cut_off:
        # A run inside onnxruntime cannot be called off, and the interpreter would wait for its thread.
        _say(f"cut off {app.cut_off} requests that still ran after {arguments.drain:g} seconds")
        os._exit(exits.DONE)
    return exits.DONE


def _grpc(arguments: argparse.Namespace, app: "App", model: "Model") -> "GrpcServer":
    try:
        from mcml.serving.grpc_service import GrpcServer
    except ModuleNotFoundError as missing:
        raise McmlError(f"gRPC needs {missing.name}", next_step="pip install 'mcml[serve]', or leave --grpc-port out") from missing
    address = _address(arguments.host, arguments.grpc_port)
    return GrpcServer(app, model, address=address, max_body=arguments.max_body, access=_write_out if arguments.access_log else None)


def _address(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _say(text: str) -> None:
    sys.stderr.write(f"mcml.serving: {' '.join(text.split())}\n")
    sys.stderr.flush()


def _write_out(line: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody reads the log any more: no reason to stop serving
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("expected a number from 0 to 65535")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected a whole number of at least 1")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError("expected a number of seconds above 0")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
