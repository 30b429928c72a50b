"""Tokens: which tensors of a model hold them, as its `model.json` says, and how many of them a request has. Pure; nothing is guessed.

    "tokens": {"input": {"mask": "attention_mask"}, "output": {"ids": "sequences", "pad_token_id": 0}}

`input` is about a tensor that the network takes, `output` about one that it answers; what is left out is not counted. `mask` counts the
values that are not 0: tokenizers of Hugging Face write 1 for a token and 0 for padding. `ids` counts all elements, but for those that are
`pad_token_id` (named as in transformers' generation config) where that is given. Both are tensors of integers, a mask may be BOOL too. What
the output repeats of the input is counted there again: name a tensor with the new tokens alone where the network has one.

The Open Inference Protocol has no word for this in a model's metadata. `input` and `output` are OpenTelemetry's (`gen_ai.token.type` in
the semantic conventions for generative AI, which also ask for no count where none is readily known).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcml.core.errors import InvalidRequest, did_you_mean
from mcml.core.package import ABOUT_FILE, ModelPackage
from mcml.serving.codec import DATATYPES, Array, TensorSpec

INTEGERS = tuple(name for name, kind in DATATYPES.items() if kind.dtype.kind in "iu")
_TAKES = {"mask": ("BOOL", *INTEGERS), "ids": INTEGERS}
_PADDING = "pad_token_id"


@dataclass(frozen=True, slots=True)
class Counter:
    """How the tokens of one side are counted: in which tensor, and the value in it that is none (None: all of them are tokens)."""

    tensor: str
    padding: int | None

    def count(self, array: Array) -> int:
        """Return how many tokens a tensor holds."""
        if self.padding is None:
            return array.size
        return int(np.count_nonzero(array if self.padding == 0 else array != self.padding))


@dataclass(frozen=True, slots=True)
class Tokens:
    """How tokens are counted that go in, and that come out; None where nothing is said about a side. One of the two is there."""

    input: Counter | None = None
    output: Counter | None = None

    def fetched(self, outputs: Sequence[str]) -> list[str]:
        """Return the outputs to compute for those that are asked for: what is counted comes last when nobody asked for it."""
        more = [self.output.tensor] if self.output and self.output.tensor not in outputs else []
        return [*outputs, *more]

    def count(self, feeds: Mapping[str, Array], answers: Mapping[str, Array]) -> tuple[int, int]:
        """Return the tokens of one run, input and output; 0 for a side that is not counted."""
        return (
            self.input.count(feeds[self.input.tensor]) if self.input else 0,
            self.output.count(answers[self.output.tensor]) if self.output else 0,
        )


def declared(package: ModelPackage, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]) -> Tokens | None:
    """Return what a package says of its tokens, for a network with these inputs and outputs; None when it says nothing.

    Raises InvalidRequest for a tensor that is not there or cannot hold tokens, and for words that are none.
    """
    said = package.about.get("tokens")
    if said is None:
        return None
    file = package.folder / ABOUT_FILE
    sides = _members(said, ("input", "output"), "tokens", '{"input": {"mask": "attention_mask"}}', file)
    if not sides:
        raise _refused(file, "tokens: expected 'input', 'output' or both")
    specs = {"input": inputs, "output": outputs}
    return Tokens(**{side: _counter(told, f"tokens.{side}", specs[side], file) for side, told in sides.items()})


def _counter(said: object, field: str, specs: Mapping[str, TensorSpec], file: Path) -> Counter:
    members = _members(said, (*_TAKES, _PADDING), field, '{"mask": "attention_mask"}', file)
    ways = [way for way in _TAKES if way in members]
    if len(ways) != 1:
        raise _refused(file, f"{field}: expected one of 'mask' and 'ids', with the name of a tensor")
    (way,) = ways
    name, padding = members[way], members.get(_PADDING)
    if _PADDING in members and (way == "mask" or type(padding) is not int):
        raise _refused(file, f"{field}.{_PADDING}: expected an integer, beside 'ids'")
    spec = specs.get(name) if isinstance(name, str) else None
    if spec is None:
        raise _refused(file, f"{field}.{way}: the network has no {field.partition('.')[2]} {name!r}; {did_you_mean(str(name), specs)}")
    if spec.datatype not in _TAKES[way]:
        takes = "integers or BOOL" if way == "mask" else "integers"
        raise _refused(file, f"{field}.{way}: expected a tensor of {takes}, '{name}' is {spec.datatype}")
    return Counter(spec.name, 0 if way == "mask" else padding if isinstance(padding, int) else None)


def _members(said: object, known: Iterable[str], field: str, example: str, file: Path) -> Mapping[str, object]:
    """Check that something is an object with no other members than these."""
    if not isinstance(said, dict):
        raise _refused(file, f"{field}: expected an object like {example}")
    for name in said:
        if name not in known:
            raise _refused(file, f"{field}: has no member {name!r}; {did_you_mean(str(name), known)}")
    return said


def _refused(file: Path, why: str) -> InvalidRequest:
    mend = "mend 'tokens' there, or delete it: then none are counted"
    return InvalidRequest(f"cannot count tokens as {file} says", why=why, next_step=mend)
