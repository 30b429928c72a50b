"""Look at a version that was started over gRPC, too, when a route of its model speaks it."""

from urllib.parse import urlsplit

from mcml.core.errors import McmlError
from mcml.core.open_inference import SERVICE, message
from mcml.providers.api.endpoint import InvokeTarget

SECONDS = 10.0


def verify_grpc(model: str, where: InvokeTarget, *, version: str) -> None:
    """Ask a started version over gRPC whether it is ready. Raises McmlError when it does not speak gRPC, or is not."""
    if not where.grpc_port:
        raise _bad(model, where, "it speaks HTTP only", next_step="pip install 'mcml[serve]', then deploy again")
    import grpc

    address = f"{urlsplit(where.url).hostname}:{where.grpc_port}"
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(f"/{SERVICE}/ModelReady", None, message("ModelReadyResponse").FromString)
        asked = message("ModelReadyRequest")(name=model, version=version).SerializeToString()
        try:
            ready: bool = ask(asked, timeout=SECONDS, wait_for_ready=True).ready
        except grpc.RpcError as failed:
            raise _bad(model, where, f"{address} answers {failed.code().name}: {failed.details()}") from failed
    if not ready:
        raise _bad(model, where, f"{address} answers that the model is not ready")


def _bad(model: str, where: InvokeTarget, why: str, *, next_step: str = "mcml deploy list") -> McmlError:
    what = f"{model} at {where.url} was started, and a route speaks gRPC, but it does not"
    return McmlError(what, why=why, next_step=next_step)
