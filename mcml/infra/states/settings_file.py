"""Files of `name = value` lines in the flat part of Terraform's language, as `terraform init -backend-config=FILE` reads them (pure).

A value is a string, a number, true, false, null, or a list or an object of these
(https://developer.hashicorp.com/terraform/language/syntax/configuration); an expression is refused.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(
    r"[ \t\r]*(?:(?P<comment>(?:#|//)[^\n]*)|(?P<string>\"(?:[^\"\\\n]|\\.)*\")|(?P<word>[A-Za-z0-9_.+-]+)|(?P<mark>[=\[\]{},\n]))"
)
NUMBER = re.compile(r"-?\d+(\.\d+)?")
WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


def parse(text: str) -> dict[str, object]:
    """Read settings by name. Raises ValueError that names the line of what is none."""
    return _Reader(list(_tokens(text))).settings()


def render(settings: Mapping[str, object]) -> str:
    """Write settings, one a line, so that `parse` reads the same."""
    width = max((len(name) for name in settings), default=0)
    return "".join(f"{name:<{width}} = {_written(value)}\n" for name, value in settings.items())


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{name} = {_written(below)}" for name, below in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written(below) for below in value)}]"
    return json.dumps(value).replace("${", "$${").replace("%{", "%%{")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    position, line, end = 0, 1, len(text.rstrip())
    while position < end:
        found = TOKEN.match(text, position)
        if not found:
            raise ValueError(f"line {line}: cannot read {text[position:end].partition(chr(10))[0].strip()[:40]!r}")
        if found.lastgroup and found.lastgroup != "comment":
            yield _Token(found.lastgroup, found[found.lastgroup], line)
        line += found[0].count("\n")
        position = found.end()
    yield _Token("mark", "\n", line)


class _Reader:
    """Takes token after token."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.left = tokens[::-1]

    def settings(self) -> dict[str, object]:
        """Read to the end: one setting a line."""
        found: dict[str, object] = {}
        self._skip("\n")
        while self.left:
            name, value = self._setting()
            if name in found:
                raise ValueError(f"{name} is there twice")
            found[name] = value
            self._take("\n")
            self._skip("\n")
        return found

    def _setting(self) -> tuple[str, object]:
        named = self._take()
        if named.kind == "mark":
            raise ValueError(f"line {named.line}: expected a name, not {named.text!r}")
        self._take("=")
        return (_string(named) if named.kind == "string" else named.text), self._value()

    def _value(self) -> object:
        token = self._take()
        if token.kind == "string":
            return _string(token)
        if token.text == "[":
            return self._until("]", self._value)
        if token.text == "{":
            return dict(self._until("}", self._setting))
        if NUMBER.fullmatch(token.text):
            return json.loads(token.text)
        if token.text not in WORDS:
            raise ValueError(f"line {token.line}: expected a value, not {token.text!r}")
        return WORDS[token.text]

    def _until(self, end: str, read: Any) -> list[Any]:
        found = []
        self._skip("\n")
        while not self._next(end):
            found.append(read())
            self._skip(",", "\n")
        self._take(end)
        return found

    def _next(self, text: str) -> bool:
        return bool(self.left) and (self.left[-1].kind, self.left[-1].text) == ("mark", text)

    def _skip(self, *marks: str) -> None:
        while any(self._next(mark) for mark in marks):
            self.left.pop()

    def _take(self, mark: str = "") -> _Token:
        token = self.left.pop() if self.left else _Token("end", "the end", 0)
        if token.kind == "end" or (mark and (token.kind, token.text) != ("mark", mark)):
            place = f"line {token.line}: " if token.line else ""
            wanted = "the end of the line" if mark == "\n" else repr(mark) if mark else "more"
            raise ValueError(f"{place}expected {wanted}, not {token.text!r}")
        return token


def _string(token: _Token) -> str:
    """A string of Terraform without an expression in it; its escapes are those of JSON, but for `$${` and `%%{`."""
    text = token.text.replace("$${", "\0dollar").replace("%%{", "\0percent")
    if "${" in text or "%{" in text:
        raise ValueError(f"line {token.line}: {token.text} has an expression in it")
    return str(json.loads(text, strict=False)).replace("\0dollar", "${").replace("\0percent", "%{")
