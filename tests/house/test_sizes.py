"""The sizes that keep the house readable, and what the door of every room says."""

import ast
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.test_startup import HEAVY

PACKAGE = Path(__file__).parents[2] / "mcml"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted(path.parent for path in FILES if path.name == "__init__.py")


def shown(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def function_sizes() -> dict[str, int]:
    """The lines of every function, from `def` to its end, its docstring among them."""
    sizes: dict[str, int] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                sizes[f"{shown(path)}:{node.lineno} {node.name}"] = (node.end_lineno or node.lineno) - node.lineno + 1
    return sizes


def test_no_function_is_longer_than_60_lines() -> None:
    assert {where: size for where, size in function_sizes().items() if size > 60} == {}


def test_most_functions_are_short() -> None:
    sizes = sorted(function_sizes().values())
    assert statistics.median(sizes) <= 10
    assert sizes[len(sizes) * 9 // 10] <= 40


def test_no_file_is_longer_than_400_lines() -> None:
    sizes = {shown(path): len(path.read_bytes().splitlines()) for path in FILES}
    assert {where: size for where, size in sizes.items() if size > 400} == {}


@pytest.mark.parametrize("room", ROOMS, ids=shown)
def test_a_room_opens_with_a_sentence_that_says_what_belongs_in_it(room: Path) -> None:
    tree = ast.parse((room / "__init__.py").read_bytes())
    words = (ast.get_docstring(tree) or "").strip()
    assert words, f"{shown(room)}/__init__.py has no docstring"
    assert words.split("\n\n")[0].endswith(".")


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in FILES}
    assert sorted(shown(folder) for folder in folders if not (folder / "__init__.py").is_file()) in (
        [],
        ["mcml/store/migrations/versions"],  # Alembic finds its versions by their file
    )


def test_the_doors_of_all_rooms_import_nothing_heavy() -> None:
    names = [".".join(room.relative_to(PACKAGE.parent).parts) for room in ROOMS]
    code = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name, found in sys.modules.items() if getattr(found, '__file__', None)})))"
    )
    ended = subprocess.run([sys.executable, "-c", code, json.dumps(names)], capture_output=True, text=True, check=True)
    assert set(json.loads(ended.stdout)) & HEAVY == set()
