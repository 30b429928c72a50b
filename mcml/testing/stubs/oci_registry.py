"""An OCI registry in memory, after the specification: strict where a client can be wrong.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md

    with OciRegistryStub(login=("me", "secret"), challenge="bearer") as stub:
        client = make_client(stub.url)                      # http://127.0.0.1:PORT
    assert stub.tags("models/fraud") == {"v1": "sha256:..."}

It takes uploads by POST, PATCH and PUT and in one POST, checks every digest, every size, and every blob that a manifest names, refuses
manifests of other media types, pages `tags/list` and `_catalog` as `n` says (at most `page`), and asks for a login by Basic, by Bearer
(tokens of its own endpoint, each for one scope), or not at all. With `known` a push into another repository is refused, as ECR does.
Not modelled: mounts from other repositories (the upload begins instead, as the specification allows), referrers, deletes.
"""

import threading
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from types import TracebackType

from mcml.testing.stubs.oci_holdings import Holdings
from mcml.testing.stubs.oci_requests import IDLE_SECONDS, Handler


@dataclass(kw_only=True, eq=False)
class OciRegistryStub(Holdings):
    """Listens from construction until `close`, or the end of a `with` block."""

    def __post_init__(self) -> None:
        """Begin to listen."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"stub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(IDLE_SECONDS)

    def __enter__(self) -> "OciRegistryStub":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()
