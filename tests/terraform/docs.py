"""The tables of a module's README, made from its variables and outputs."""

import re
from collections.abc import Iterator
from pathlib import Path


def blocks(path: Path, kind: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every top-level block of a kind; `terraform fmt` guarantees where it ends."""
    for found in re.finditer(rf'^{kind} "(?P<name>\w+)" {{\n(?P<body>.*?)^}}$', path.read_text(), re.MULTILINE | re.DOTALL):
        yield found["name"], found["body"]


def argument(body: str, name: str) -> str:
    """Return an argument's expression on one line; empty when it is not set."""
    found = re.search(rf"^  {name} += (.*?)(?=^  \w|^$|\Z)", body, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _on_one_line(found: re.Match[str]) -> str:
    return ", " if found[0] == " " else found[0]


def inputs(module: Path) -> str:
    """Return the table of inputs."""
    rows = ["| name | type | default | what it is |", "| --- | --- | --- | --- |"]
    for name, body in blocks(module / "variables.tf", "variable"):
        default = argument(body, "default")
        kind = re.sub(r"({ | }|(?<=[^,{(]) (?=\w+ = ))", _on_one_line, argument(body, "type"))
        rows.append(f"| `{name}` | `{kind}` | {f'`{default}`' if default else 'required'} | {argument(body, 'description')[1:-1]} |")
    return "\n".join(rows)


def outputs(module: Path) -> str:
    """Return the table of outputs."""
    found = [f"| `{name}` | {argument(body, 'description')[1:-1]} |" for name, body in blocks(module / "outputs.tf", "output")]
    return "\n".join(["| name | what it is |", "| --- | --- |", *found])


def filled(module: Path) -> str:
    """Return the README with its tables as they should be."""
    text = (module / "README.md").read_text()
    for name, table in (("inputs", inputs(module)), ("outputs", outputs(module))):
        before, _, rest = text.partition(f"<!-- {name} -->")
        text = f"{before}<!-- {name} -->\n\n{table}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


if __name__ == "__main__":
    from mcml.core.paths import shipped

    for readme in shipped("terraform").rglob("README.md"):
        readme.write_text(filled(readme.parent))
