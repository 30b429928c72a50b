"""A moto server in a process of its own: `python moto_launcher.py PROOF`; prints its port, ends when its stdin does.

moto looks at If-None-Match and then writes, without a lock between: of many writers at once, more than one may be first. S3 is atomic
there, so here writes go one after another. GET /proof answers PROOF: whose server it is.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

StartResponse = Callable[..., Any]


class OneWriterAtATime:
    def __init__(self, proof: str) -> None:
        self.proof = proof
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/proof":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [self.proof.encode()]
        if "/eks/aws4_request" in environ.get("HTTP_AUTHORIZATION", ""):
            eks()
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self.moto(environ, start_response)  # type: ignore[no-any-return]
        if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:  # S3 keeps a checksum that comes alone, moto asks for its name beside it
            environ.setdefault("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", "SHA256")
        with self.lock:
            _, verb, *what = environ["PATH_INFO"].split("/")
            if verb in ("interrupt", "sold-out"):
                (ec2().interrupt if verb == "interrupt" else ec2().sold_out)(*what)
                start_response("200 OK", [("Content-Type", "text/plain")])
                return []
            if "/ec2/aws4_request" in environ.get("HTTP_AUTHORIZATION", ""):
                ec2()
            return list(self.moto(environ, start_response))


@cache
def ec2() -> Any:
    """moto's EC2 with our corrections (imported on use: it takes seconds)."""
    module = import_module("moto_ec2")
    module.install()
    return module


@cache
def eks() -> None:
    """Correct moto's EKS (imported on use: it takes a second)."""
    import_module("moto_eks").install()


def end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).with_name("moto_amis.json"))  # those that moto brings cost seconds
    handler = MotoRequestHandler
    handler.disable_nagle_algorithm = True
    server = make_server("127.0.0.1", 0, OneWriterAtATime(sys.argv[1]), threaded=True, request_handler=handler)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
