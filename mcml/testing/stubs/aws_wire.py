"""How the services of AWS write requests and answers: JSON, query and EC2 query, by the SDK's service models, server's side.

https://smithy.io/2.0/aws/protocols/index.html
"""

import base64
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.model import OperationModel, ServiceModel

IDLE_SECONDS = 60.0
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class AwsRequest:
    """A request as it came."""

    method: str
    path: str
    headers: Message = field(repr=False)
    body: bytes


@dataclass(frozen=True)
class Wire:
    """Which operation a request asks for, and how its parameters and its answer are written."""

    operation: str
    content_type: str
    decode: Callable[[OperationModel, AwsRequest], dict[str, Any]]
    encode: Callable[[OperationModel, dict[str, Any]], bytes]
    error: Callable[[str, str], bytes]


def wire_of(model: ServiceModel, request: AwsRequest) -> Wire | None:
    """Return how a request is written if it is one to this service, else None."""
    prefix = model.metadata.get("targetPrefix")
    service, _, operation = request.headers.get("X-Amz-Target", "").rpartition(".")
    if service and service == prefix:
        return Wire(operation, f"application/x-amz-json-{model.metadata['jsonVersion']}", _read_json, _write_json, _json_error)
    if request.headers.get("Content-Type", "").startswith(_FORM):
        form = dict(parse_qsl(request.body.decode()))
        if form.get("Version") == model.api_version and form.get("Action") in model.operation_names:
            flat = model.metadata["protocol"] == "ec2"
            return Wire(form["Action"], "text/xml", _read_form, _write_ec2 if flat else _write_query, _ec2_error if flat else _query_error)
    if model.metadata["protocol"] == "rest-json":
        for name in model.operation_names:
            http = model.operation_model(name).http
            if (http["method"], http["requestUri"]) == (request.method, request.path):
                return Wire(name, "application/json", _read_json, _write_json, _json_error)
    return None


def make_handler(answer: Callable[[AwsRequest], tuple[int, str, bytes]]) -> type[BaseHTTPRequestHandler]:
    """Return a handler class for `http.server` that answers every request with what the function returns."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = IDLE_SECONDS

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a request line may hold a signature."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status, kind, said = answer(AwsRequest(self.command, self.path, self.headers, body))
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(said)), "x-amzn-RequestId": "stub"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

    return Handler


def _read_json(_: OperationModel, request: AwsRequest) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(request.body or b"{}")
    return read


def _write_json(_: OperationModel, answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, Decimal):
        return float(value)
    return base64.b64encode(value).decode()


def _json_error(code: str, message: str) -> bytes:
    return json.dumps({"__type": code, "message": message}).encode()


def _read_form(operation: OperationModel, request: AwsRequest) -> dict[str, Any]:
    """Read `A.member.1.B=x` as a tree, then as the operation's input shape; what the shape lacks stays, so that it is refused."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(request.body.decode(), keep_blank_values=True):
        *parents, last = name.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = value
    del tree["Action"], tree["Version"]
    ec2 = operation.service_model.metadata["protocol"] == "ec2"
    read: dict[str, Any] = _from_form(tree, operation.input_shape, ec2) if operation.input_shape else tree
    return read


def _from_form(tree: Any, shape: Any, ec2: bool) -> Any:
    if shape.type_name == "structure":
        names = {_form_name(name, member, ec2): name for name, member in shape.members.items()}
        return {
            names.get(key, key): _from_form(part, shape.members[names[key]], ec2) if key in names else part for key, part in tree.items()
        }
    if shape.type_name == "list":
        flat = ec2 or shape.serialization.get("flattened")
        items = tree if flat or not tree else tree[shape.member.serialization.get("name", "member")]
        return [_from_form(items[number], shape.member, ec2) for number in sorted(items, key=int)] if items else []
    if shape.type_name == "map":
        return {entry["key"]: _from_form(entry["value"], shape.value, ec2) for entry in tree.get("entry", tree).values()}
    return _SCALARS.get(shape.type_name, str)(tree)


def _form_name(name: str, member: Any, ec2: bool) -> str:
    told = member.serialization.get("queryName") if ec2 else None
    if told:
        return str(told)
    if member.type_name == "list" and not ec2 and member.serialization.get("flattened"):
        return str(member.member.serialization.get("name", name))
    wire = str(member.serialization.get("name", name))
    return wire[0].upper() + wire[1:] if ec2 else wire


_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": lambda text: text == "true",
}


def _write_query(operation: OperationModel, answer: dict[str, Any]) -> bytes:
    shape = operation.output_shape
    inner = "".join(_xml_members(answer, shape)) if shape is not None else ""
    wrapper = shape.serialization.get("resultWrapper") if shape is not None else None
    result = f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner
    metadata = "<ResponseMetadata><RequestId>stub</RequestId></ResponseMetadata>"
    return f"<{operation.name}Response>{result}{metadata}</{operation.name}Response>".encode()


def _write_ec2(operation: OperationModel, answer: dict[str, Any]) -> bytes:
    inner = "".join(_xml_members(answer, operation.output_shape)) if operation.output_shape is not None else ""
    return f"<{operation.name}Response><requestId>stub</requestId>{inner}</{operation.name}Response>".encode()


def _xml_members(value: Mapping[str, Any], shape: Any) -> Iterator[str]:
    for name, part in value.items():
        member = shape.members[name]
        wire = member.serialization.get("name", name)
        if member.type_name == "list" and member.serialization.get("flattened"):
            wire = member.member.serialization.get("name", wire)
            yield from (f"<{wire}>{_xml(one, member.member)}</{wire}>" for one in part)
        else:
            yield f"<{wire}>{_xml(part, member)}</{wire}>"


def _xml(value: Any, shape: Any) -> str:
    if shape.type_name == "structure":
        return "".join(_xml_members(value, shape))
    if shape.type_name == "list":
        item = shape.member.serialization.get("name", "member")
        return "".join(f"<{item}>{_xml(one, shape.member)}</{item}>" for one in value)
    if shape.type_name == "map":
        return "".join(f"<entry><key>{escape(key)}</key><value>{_xml(part, shape.value)}</value></entry>" for key, part in value.items())
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return escape(str(value).lower() if isinstance(value, bool) else str(value))


def _query_error(code: str, message: str) -> bytes:
    body = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return f"<ErrorResponse>{body}<RequestId>stub</RequestId></ErrorResponse>".encode()


def _ec2_error(code: str, message: str) -> bytes:
    errors = f"<Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors>"
    return f"<Response>{errors}<RequestID>stub</RequestID></Response>".encode()
