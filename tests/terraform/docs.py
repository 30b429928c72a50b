"""The tables of a module's README, made from its variables and outputs."""

import re
from collections.abc import Container, Iterator
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


def inputs(module: Path, names: Container[str] | None = None) -> str:
    """Return the table of inputs; of some of them only, where `names` says which."""
    rows = ["| name | type | default | what it is |", "| --- | --- | --- | --- |"]
    for name, body in blocks(module / "variables.tf", "variable"):
        if names is not None and name not in names:
            continue
        default = argument(body, "default")
        kind = re.sub(r"({ | }|(?<=[^,{(]) (?=\w+ = ))", _on_one_line, argument(body, "type"))
        rows.append(f"| `{name}` | `{kind}` | {f'`{default}`' if default else 'required'} | {argument(body, 'description')[1:-1]} |")
    return "\n".join(rows)


def outputs(module: Path) -> str:
    """Return the table of outputs."""
    found = [f"| `{name}` | {argument(body, 'description')[1:-1]} |" for name, body in blocks(module / "outputs.tf", "output")]
    return "\n".join(["| name | what it is |", "| --- | --- |", *found])


def settings(root: Path) -> dict[str, list[str]]:
    """Return what a root of `terraform/root` takes as `settings`: what may stand in each, by name."""
    (body,) = (body for name, body in blocks(root / "main.tf", "module") if name == "settings")
    known = body.partition("  known = {")[2].partition("}\n")[0]
    return {name: re.findall(r'"([^"]+)"', inside) for name, inside in re.findall(r"(\w+) += \[(.*?)\]", known)}


def module_of(root: Path) -> Path:
    """Return the module that a root is for: its only output is all that this one says."""
    ((name, _),) = blocks(root / "outputs.tf", "output")
    (body,) = (body for found, body in blocks(root / "main.tf", "module") if found == name)
    return root / argument(body, "source").strip('"')


def filled(module: Path) -> str:
    """Return the README with its tables as they should be."""
    text = (module / "README.md").read_text()
    tables = [("inputs", inputs(module)), ("outputs", outputs(module))]
    if "<!-- settings -->" in text:
        tables.append(("settings", inputs(module_of(module), settings(module))))
    for name, table in tables:
        before, _, rest = text.partition(f"<!-- {name} -->")
        text = f"{before}<!-- {name} -->\n\n{table}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


if __name__ == "__main__":
    from mcml.core.paths import shipped

    for readme in shipped("terraform").rglob("README.md"):
        readme.write_text(filled(readme.parent))
