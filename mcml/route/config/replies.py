"""What Envoy answers itself, as the error object of the v2 protocol."""

from mcml.route.config.aside import replies as refused_checks
from mcml.route.config.grpc import grpc_replies
from mcml.route.config.values import TYPE, Front, Json, header, named

_MIB = 1024 * 1024


def local_replies(front: Front) -> Json:
    """Turn what Envoy itself answers into the error object of the v2 protocol, with words instead of Envoy's internals."""
    failed = {"response_flag_filter": {"flags": ["UF", "UC", "UR", "UH", "UO", "URX", "LR", "NC"]}}
    kept, most = front.buffer_limit // _MIB, front.body_limit // _MIB
    mappers = [
        _mapper(_said_by_route(), "%LOCAL_REPLY_BODY%"),
        _mapper(_status("EQ", 400), "the request is not valid HTTP, or its path or headers are not safe"),
        _mapper(
            _status("EQ", 401),
            "this router asks for an API key, in the header x-api-key or authorization: Bearer; who runs it makes one with: "
            "mcml route keys add NAME",
            **{"www-authenticate": 'Bearer realm="mcml"'},
        ),
        _mapper(_detail("upgrade_failed"), "this router takes no upgrade of a connection to another protocol but websocket"),
        _mapper(
            _status("EQ", 403), "this API key is not for this model; who runs the router sees what it is for with: mcml route keys list"
        ),
        _mapper(_status("EQ", 408), "the request did not arrive in time"),
        _mapper(_status("EQ", 413), f"the request body is larger than {most} MiB"),
        _mapper(_status("EQ", 429), "too many requests with this API key or to this model; the header retry-after says when to try again"),
        _mapper(_status("EQ", 431), "the request headers are too large"),
        _mapper(_status("EQ", 504), "no backend answered within the route's timeout"),
        {
            **_mapper(_status("EQ", 507), f"a backend failed, and the body is too large to be sent to another one (above {kept} MiB)"),
            "status_code": 503,
        },
        _mapper(failed, "no backend of this model could answer; all that were tried refused, failed or broke off"),
        _mapper(_status("GE", 400), "%LOCAL_REPLY_BODY%"),
    ]
    return {"mappers": [*(grpc_replies(mappers) if front.grpc else ()), *refused_checks(front.aside), *mappers]}


def _said_by_route() -> Json:
    """Match what an entry of the route table answers itself: it has the words already."""
    return _detail("direct_response")


def _detail(name: str) -> Json:
    """Match errors by Envoy's own name of what happened (%RESPONSE_CODE_DETAILS%)."""
    cel = {"@type": TYPE + "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"}
    cel["expression"] = f"response.code >= 400 && response.code_details == '{name}'"
    return {"extension_filter": named("envoy.access_loggers.extension_filters.cel", cel)}


def _status(op: str, status: int) -> Json:
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": status, "runtime_key": "mcml.unused"}}}}


def _mapper(matching: Json, error: str, **headers: str) -> Json:
    body = {"error": error, "code": "%RESPONSE_CODE%", "request_id": "%REQ(X-REQUEST-ID)%"}
    added = [header(key, value, replace=True) for key, value in headers.items()]
    return {"filter": matching, "body_format_override": {"json_format": body}, **({"headers_to_add": added} if added else {})}
