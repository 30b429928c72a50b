"""Write what is made from the code: completions and the README's generated parts. `make docs` runs this, a test compares."""

from collections.abc import Mapping
from pathlib import Path

from typer._completion_shared import get_completion_script

from mcml.cli.main import COMPLETE
from mcml.core import exits
from mcml.core.errors import McmlError
from mcml.providers import discovery
from mcml.providers.api.capability import ALL, Support
from mcml.providers.api.spec import ProviderSpec

ROOT = Path(__file__).resolve().parents[2]
SHELLS = ("bash", "zsh", "fish")
BUILT_IN = ("local", "aws", "gcp", "azure")


def completions() -> dict[Path, str]:
    """Return the completion script of each shell."""
    return {
        ROOT / "completions" / f"mcml.{shell}": get_completion_script(prog_name="mcml", complete_var=COMPLETE, shell=shell) + "\n"
        for shell in SHELLS
    }


def capability_table() -> str:
    """Return the provider x capability table of the built-in providers, with every note below."""
    specs = {name: _spec(name) for name in BUILT_IN}
    lines = [f"| capability | what for | {' | '.join(specs)} |", f"| --- | --- |{' --- |' * len(specs)}"]
    notes = []
    for capability in ALL:
        cells = []
        for name, spec in specs.items():
            offer = spec.offer(capability)
            cells.append(offer.support.value)
            if offer.note and offer.support in (Support.PARTIAL, Support.IMPOSSIBLE):
                notes.append(f"- {name} {capability.name}, {offer.support.value}: {offer.note}")
        lines.append(f"| {capability.name} | {capability.summary} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *notes])


def _spec(name: str) -> ProviderSpec:
    found = discovery.spec(name)
    if isinstance(found, McmlError):
        raise found
    return found


def exit_codes() -> str:
    """Return the table of exit codes."""
    return "\n".join(["| code | meaning |", "| --- | --- |", *(f"| {code} | {meaning} |" for code, meaning in exits.MEANING.items())])


def readme() -> dict[Path, str]:
    """Return the README with its generated parts made anew."""
    path = ROOT / "README.md"
    parts: Mapping[str, str] = {"capabilities": capability_table(), "exit-codes": exit_codes()}
    text = path.read_text()
    for name, made in parts.items():
        begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"README.md has no place for {name!r}")
        text = f"{before}{begin}{made}\n{end}{after}"
    return {path: text}


def everything() -> dict[Path, str]:
    """Return every generated file with its content."""
    return completions() | readme()


if __name__ == "__main__":
    for path, content in everything().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
