"""The library of questions: the official use cases of FOCUS 1.4 as SQL on `focus_data_table`. Source and licence: NOTICE beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from mcml.core.errors import NotFound, Usage, did_you_mean

TIMES = {"since": datetime(1970, 1, 1, tzinfo=UTC), "until": datetime(9999, 1, 1, tzinfo=UTC)}
"""The parameters that are times, and what they are when nobody says: all there is."""


@dataclass(frozen=True)
class Question:
    """A question: `parameters` in the order of the `?` in `sql`. `changed`: how the SQL differs from the published one."""

    name: str
    title: str
    about: str
    source: str
    changed: str
    parameters: tuple[str, ...]
    sql: str

    @property
    def needs(self) -> tuple[str, ...]:
        """The parameters that have to be given: all but times."""
        return tuple(name for name in dict.fromkeys(self.parameters) if name not in TIMES)

    def bound(self, said: Mapping[str, str], times: Mapping[str, datetime | None]) -> list[str | datetime]:
        """Return the values of the `?`, in order. Raises Usage for a parameter that is missing, or that the question has not."""
        own = self.needs
        example = " ".join(f"--param {name}=VALUE" for name in own)
        unknown = [name for name in said if name not in own]
        if unknown:
            why = did_you_mean(unknown[0], own) or "it has no parameter but times" if own else "it has no parameter but times"
            raise Usage(f"{self.name} has no parameter {unknown[0]!r}", why=why, next_step=f"mcml cost ask {self.name} {example}".rstrip())
        missing = [name for name in own if name not in said]
        if missing:
            raise Usage(f"{self.name} needs {', '.join(missing)}", next_step=f"mcml cost ask {self.name} {example}")
        return [times.get(name) or TIMES[name] if name in TIMES else said[name] for name in self.parameters]


@cache
def questions() -> Mapping[str, Question]:
    """Return all questions by name."""
    content = json.loads(files("mcml.cost.questions").joinpath("focus_1_4_use_cases.json").read_text(encoding="utf-8"))
    listed = [Question(**{**raw, "parameters": tuple(raw["parameters"]), "sql": "\n".join(raw["sql"])}) for raw in content["questions"]]
    return {each.name: each for each in listed}


def find(name: str) -> Question:
    """Return the question of that name, or the only one that begins so. Raises NotFound."""
    known = questions()
    beginning = [each for each in known if each.startswith(name)]
    if name in known or len(beginning) == 1:
        return known[name if name in known else beginning[0]]
    why = f"it may be {', '.join(beginning[:4])}" if beginning else did_you_mean(name, known)
    raise NotFound(f"there is no question {name!r}", why=why, next_step="mcml cost ask")


def read_parameters(said: Sequence[str]) -> dict[str, str]:
    """Read `name=value` texts. Raises Usage for anything else."""
    pairs = [text.partition("=") for text in said]
    for name, sign, _ in pairs:
        if not name or not sign:
            raise Usage(f"cannot read the parameter {name!r}", why="expected NAME=VALUE", next_step="mcml cost ask --help")
    return {name: value for name, _, value in pairs}
