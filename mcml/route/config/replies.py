"""What Envoy answers itself, as the error object of the v2 protocol."""

from mcml.route.config.values import BUFFER_LIMIT, Json


def local_replies() -> Json:
    """Turn what Envoy itself answers into the error object of the v2 protocol, with words instead of Envoy's internals."""
    failed = {"response_flag_filter": {"flags": ["UF", "UC", "UR", "UH", "UO", "URX", "LR", "NC"]}}
    return {
        "mappers": [
            _mapper(_status("EQ", 400), "the request is not valid HTTP, or its path or headers are not safe"),
            _mapper(_status("EQ", 413), f"the request body is larger than {BUFFER_LIMIT} bytes"),
            _mapper(_status("EQ", 431), "the request headers are too large"),
            _mapper(_status("EQ", 504), "no backend answered within the route's timeout"),
            _mapper(failed, "no backend of this model could answer; all that were tried refused, failed or broke off"),
            _mapper(_status("GE", 400), "%LOCAL_REPLY_BODY%"),
        ]
    }


def _status(op: str, status: int) -> Json:
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": status, "runtime_key": "mcml.unused"}}}}


def _mapper(matching: Json, error: str) -> Json:
    body = {"error": error, "code": "%RESPONSE_CODE%", "request_id": "%REQ(X-REQUEST-ID)%"}
    return {"filter": matching, "body_format_override": {"json_format": body}}
