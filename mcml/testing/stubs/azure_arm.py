"""A stub of Azure Resource Manager over HTTPS that takes and gives nothing but what the official SDK's own models know.

    with ArmStub(cert_file, key_file) as arm:                    # arm.url = "https://127.0.0.1:PORT"
        VM = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}"
        arm.on("GET", VM, lambda request: machines[request.parts["name"]], sdk="azure.mgmt.compute", answer="VirtualMachine")
        arm.on("PUT", VM, put, sdk="azure.mgmt.compute", body="VirtualMachine", answer="VirtualMachine")
        arm.on("GET", ".../virtualMachines", lambda request: arm.page(request, items, size=2), sdk=..., answer="[VirtualMachine]")
        ComputeManagementClient(credential, subscription, base_url=arm.url, credential_scopes=[...])

In tests/providers/azure the fixtures `arm` (this stub) and `arm_session` (our Session at it) do the rest.

`on`: the path template and the api-version must be those of an operation of the SDK package (`ValueError` at once if it has no such);
`body` and `answer` name models of that package ("VirtualMachine"; "[VirtualMachine]" is a page of them; "object" is not checked; "" is
none). What has no SDK: `sdk=""`, `api=` names the version ("" for any), and instead of names there are "object" and an `azure_models.Shape`
of one's own; `anonymous=True` is for what is asked without a token. A handler returns

    {...}                                                        # 200 with this body
    None                                                         # 204
    Reply(201, {...}, {"ETag": "..."})                           # a body of bytes goes out as it is
    arm.page(request, items, size=2)                             # a page and its nextLink
    arm.operation(request, done, ...)                            # a long-running operation: `done()` is called once, when it succeeds
    raise missing("virtualMachines/m1") / ArmError(409, "ScopeLocked", "...") / throttled(7)

`arm.fail(*errors, only=...)` answers the next requests with errors instead; `arm.requests` is the log (no token is kept in it).
A request that does not fit is answered with 400, an answer that does not fit and a path without a handler with 501; each is noted in
`arm.problems`, and leaving the `with` block raises AssertionError when some are left there: a test that provokes them clears the list.
"""

import json
import re
import ssl
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from mcml.testing.stubs.azure_arm_server import Reply, Request, Server
from mcml.testing.stubs.azure_models import Shape, model, normal, problems, routes
from mcml.testing.stubs.fault_kinds import Answer

__all__ = ["ArmError", "ArmStub", "Reply", "Request", "missing", "throttled"]


class ArmError(Exception):
    """An error in ARM's form: {"error": {"code", "message"}}."""

    def __init__(self, status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        body = {"error": {"code": code, "message": message or f"{code}, says the stub."}}
        self.reply = Reply(status, body, {"x-ms-failure-cause": "gateway", **(headers or {})})

    @property
    def fault(self) -> Answer:
        """The same as a fault for a FaultProxy's script."""
        headers = {"Content-Type": "application/json", **self.reply.headers}
        return Answer(self.reply.status, headers, json.dumps(self.reply.body).encode())


def missing(what: str) -> ArmError:
    """Return what ARM answers for a resource that is not there; `what` is its type and name."""
    return ArmError(404, "ResourceNotFound", f"The Resource '{what}' under resource group 'g' was not found.")


def throttled(seconds: int = 1, *, header: str = "Retry-After") -> ArmError:
    """Return ARM's 429, by default with its Retry-After in seconds; other services say it in a header of their own."""
    told = {header: str(seconds), "x-ms-ratelimit-remaining-subscription-reads": "0"}
    return ArmError(429, "TooManyRequests", "The request is being throttled.", told)


Handler = Callable[[Request], "dict[str, Any] | Reply | None"]


@dataclass(frozen=True)
class Route:
    """One operation: what its requests look like and who answers."""

    method: str
    template: str
    pattern: re.Pattern[str]
    handler: Handler
    versions: frozenset[str]
    body: Any
    answer: Any
    anonymous: bool


@dataclass
class _Operation:
    route: Route
    done: Callable[[], "dict[str, Any] | None"]
    polls: int
    retry_after: int
    failure: ArmError | None
    result: Any = None
    ended: bool = False


class ArmStub:
    """Listens on a free port of 127.0.0.1 from construction until `close`; one lock around all handlers."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self._routes: list[Route] = []
        self._errors: deque[ArmError] = deque()
        self._only: Callable[[Request], bool] | None = None
        self._operations: dict[str, _Operation] = {}
        self._lock = threading.RLock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = Server(self._take, context)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"

    def on(
        self,
        method: str,
        template: str,
        handler: Handler,
        *,
        sdk: str,
        body: str | Shape = "",
        answer: str | Shape = "",
        api: str = "",
        anonymous: bool = False,
    ) -> None:
        """Answer an operation; a later handler takes the place of an earlier one. Raises ValueError when the SDK has no such operation."""
        versions = frozenset({api} - {""})
        if sdk:
            known = routes(sdk).get((method, normal(template)), set())
            if not known:
                raise ValueError(f"{sdk} has no operation {method} {template}")
            if api and api not in known:
                raise ValueError(f"{sdk} sends {', '.join(sorted(known))} for {method} {template}, not {api}")
            versions = versions or frozenset(known)
        elif {name for name in (body, answer) if isinstance(name, str)} - {"", "object"}:
            raise ValueError("models come from an SDK package: name it")
        pattern = re.compile(_pattern(template), re.IGNORECASE)
        takes, gives = (name if isinstance(name, Shape) else model(sdk, name) if name else None for name in (body, answer))
        with self._lock:
            self._routes.insert(0, Route(method, template, pattern, handler, versions, takes, gives, anonymous))

    def fail(self, *errors: ArmError, only: Callable[[Request], bool] | None = None) -> None:
        """Answer the next requests (those that `only` picks) with these errors; the handlers do not see them."""
        with self._lock:
            self._errors, self._only = deque(errors), only

    def sent(self, method: str, part: str = "") -> list[Request]:
        """Return the requests so far of a method whose path has a part in it."""
        return [request for request in self.requests if request.method == method and part.lower() in request.path.lower()]

    def page(self, request: Request, items: Sequence[Any], *, size: int = 2) -> Reply:
        """Return the page that a request asks for, with the `nextLink` to the next one as ARM writes it."""
        start = int(request.query.get("$skiptoken", "0"))
        body: dict[str, Any] = {"value": list(items[start : start + size])}
        if start + size < len(items):
            query = urlencode({**request.query, "$skiptoken": start + size})
            body["nextLink"] = f"{request.origin}{request.path}?{query}"
        return Reply(200, body)

    def operation(
        self,
        request: Request,
        done: Callable[[], "dict[str, Any] | None"] = lambda: None,
        *,
        status: int = 202,
        body: Any = None,
        via: str = "async",
        polls: int = 1,
        retry_after: int = 0,
        failure: ArmError | None = None,
    ) -> Reply:
        """Begin a long-running operation: `polls` times InProgress, then `done()` is called and gives the result, or `failure` ends it.

        `via` is "async" (Azure-AsyncOperation; the client then reads the resource of a PUT or PATCH itself), "location" (Location
        answers 202 and then the result), or "both" (Azure-AsyncOperation for the state, Location for the result of a POST). `body`
        goes with the first answer.
        """
        name = str(uuid.uuid4())
        route = next(route for route in self._routes if route.method == request.method and route.pattern.fullmatch(request.path))
        self._operations[name] = _Operation(route, done, polls, retry_after, failure)
        base = f"{request.origin}/subscriptions/stub/providers/Microsoft.Stub/locations/here"
        version = f"?api-version={request.query.get('api-version', '')}"
        headers = {"Retry-After": str(retry_after)}
        if via in ("async", "both"):
            headers["Azure-AsyncOperation"] = f"{base}/operations/{name}{version}"
        if via in ("location", "both"):
            headers["Location"] = f"{base}/operationResults/{name}{version}"
        return Reply(status, body, headers)

    def close(self) -> None:
        """Stop listening, end every connection. Raises AssertionError when a request or an answer did not fit the SDK."""
        self._server.stop()
        assert not self.problems, "\n".join(self.problems)

    def __enter__(self) -> "ArmStub":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close; a failure inside the block is not covered up by what `close` has to say."""
        if kind is not None:
            self._server.stop()
            return
        self.close()

    def _take(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            try:
                reply = self._answer(request)
            except ArmError as error:
                reply = error.reply
            except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as bug:  # a handler's own
                reply = self._refusal(501, f"{request.method} {request.path}: the handler failed: {type(bug).__name__}: {bug}").reply
            request.status = reply.status
            return reply

    def _answer(self, request: Request) -> Reply:
        route = self._route(request)
        if not (route and route.anonymous) and not re.fullmatch(r"Bearer \S+", request.headers.get("authorization", "")):
            raise ArmError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        if self._errors and (self._only is None or self._only(request)):
            raise self._errors.popleft()
        polled = re.fullmatch(r"/subscriptions/stub/providers/Microsoft.Stub/locations/here/(operation\w+)/([\w-]+)", request.path)
        if polled and polled[2] in self._operations:
            return self._poll(self._operations[polled[2]], polled[2], polled[1])
        if route is None:
            raise self._refusal(501, f"no handler for {request.method} {request.path} (api-version {request.query.get('api-version')})")
        self._check_request(route, request)
        told = route.handler(request)
        reply = told if isinstance(told, Reply) else Reply(200 if told is not None else 204, told)
        return self._checked(route, reply)

    def _route(self, request: Request) -> Route | None:
        for route in self._routes:
            found = route.pattern.fullmatch(request.path) if route.method == request.method else None
            if found:
                request.parts = {_spelled(route.template)[name]: value for name, value in found.groupdict().items()}
                return route
        return None

    def _check_request(self, route: Route, request: Request) -> None:
        place = f"{route.method} {route.template}"
        version = request.query.get("api-version", "")
        if route.versions and version not in route.versions:
            self._refuse(400, f"{place}: api-version {version!r} where the SDK sends {', '.join(sorted(route.versions))}")
        if route.body is None and request.body not in (None, {}):
            self._refuse(400, f"{place}: it takes no body")
        if request.body is not None and "json" not in request.headers.get("content-type", ""):
            self._refuse(400, f"{place}: the body's content type is {request.headers.get('content-type')!r}")
        if route.body is not None:
            self._refuse(400, *(f"{place}: in the request, {told}" for told in problems(route.body, request.body, request=True)))

    def _checked(self, route: Route, reply: Reply) -> Reply:
        nothing = reply.body is None and (reply.status in (202, 204) or route.answer is None)
        if reply.status >= 400 or nothing or isinstance(reply.body, bytes):
            return reply
        place = f"{route.method} {route.template}"
        if route.answer is None:
            self._refuse(501, f"{place}: in our answer, a body where none should be")
        self._refuse(501, *(f"{place}: in our answer, {told}" for told in problems(route.answer, reply.body, request=False)))
        return reply

    def _refuse(self, status: int, *told: str) -> None:
        if told:
            raise self._refusal(status, *told)

    def _refusal(self, status: int, *told: str) -> ArmError:
        self.problems += told
        return ArmError(status, "StubRefused" if status == 400 else "StubHasNoAnswer", "; ".join(told))

    def _poll(self, operation: _Operation, name: str, kind: str) -> Reply:
        waiting = operation.polls > 0
        operation.polls -= 1 if waiting else 0
        if not waiting and not operation.ended:
            operation.ended = True
            operation.result = operation.done() if operation.failure is None else None
            if operation.result is not None:
                self._checked(operation.route, Reply(200, operation.result))
        headers = {"Retry-After": str(operation.retry_after)} if waiting else {}
        if kind == "operationResults":
            if operation.failure is not None and not waiting:
                return operation.failure.reply
            return Reply(202 if waiting else 200 if operation.result is not None else 204, None if waiting else operation.result, headers)
        state = "InProgress" if waiting else "Failed" if operation.failure is not None else "Succeeded"
        error = operation.failure.reply.body if operation.failure is not None and not waiting else {}
        return Reply(200, {"id": f"/operations/{name}", "name": name, "status": state, **error}, headers)


def _spelled(template: str) -> dict[str, str]:
    names = re.findall(r"\{(\w+)\}", template)
    return {f"p{index}": name for index, name in enumerate(names)}


def _pattern(template: str) -> str:
    """Return the template as an expression; a whole resource id may stand for a parameter that is called so, or `scope`."""
    parts = re.split(r"\{(\w+)\}", "/" + template.strip("/"))
    made = re.escape(parts[0])
    for index in range(1, len(parts), 2):
        whole = parts[index].lower() in ("scope", "resourceuri", "resource_uri", "resourceid", "resource_id")
        made += f"(?P<p{index // 2}>{'.+' if whole else '[^/]+'}){re.escape(parts[index + 1])}"
    return made
