"""What can go wrong with one request to a `FaultProxy`, and what the proxy notes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message


@dataclass(frozen=True)
class Pass:
    """The request and its answer go through."""


@dataclass(frozen=True)
class Refuse:
    """The port refuses connections (ECONNREFUSED) for so many seconds, from the moment this is the next fault; takes no request."""

    seconds: float = 0.2


@dataclass(frozen=True)
class Reset:
    """The connection is reset after the whole request has been read; with `reaches_server` the server has done its work by then."""

    reaches_server: bool = False


@dataclass(frozen=True)
class Delay:
    """The answer comes so many seconds late, or never if the client hangs up; the server has done its work before the wait."""

    seconds: float
    reaches_server: bool = True


@dataclass(frozen=True)
class HalfBody:
    """The answer has all its headers and this share of its body (never the last byte), a pause, and a closed connection."""

    share: float = 0.5
    pause: float = 0.0


@dataclass(frozen=True)
class Answer:
    """This answer instead of the server's; with `reaches_server` the server has done its work, and nobody hears what it said."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    reaches_server: bool = False


Fault = Pass | Refuse | Reset | Delay | HalfBody | Answer


@dataclass
class Request:
    """One request as the client sent it; `size` in bytes of its body, `reached` when the server has got it, `fault` what it met.

    `headers` are found in any case ("Range", "range"); one that was not sent is None.
    """

    method: str
    path: str
    headers: Message = field(repr=False)
    size: int = 0
    reached: bool = False
    fault: Fault = field(default_factory=Pass)
