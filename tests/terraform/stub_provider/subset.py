"""Cut a provider's schema down to what modules use: `python -m tests.terraform.stub_provider.subset FULL.json.gz OUT.json MODULE...`

FULL is what `terraform providers schema -json` prints, gzipped. Types are taken from the modules' own `resource`, `data` and `ephemeral`
blocks; descriptions are left out, and a nested type becomes the type of its values (so what is optional in it is no longer told).
"""

import gzip
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

KINDS = {"resource": "resource_schemas", "data": "data_source_schemas", "ephemeral": "ephemeral_resource_schemas"}
BLOCK = re.compile(r'^\s*(resource|data|ephemeral) "(\w+)" "', re.MULTILINE)


def used(modules: Iterable[Path]) -> dict[str, set[str]]:
    """Return the types that the modules use, by the schema's own word for their kind."""
    found: dict[str, set[str]] = {kind: set() for kind in KINDS.values()}
    for module in modules:
        for path in module.rglob("*.tf"):
            for word, name in BLOCK.findall(path.read_text()):
                found[KINDS[word]].add(name)
    return found


def cut(full: Mapping[str, Any], wanted: Mapping[str, set[str]]) -> dict[str, Any]:
    """Return the schema of one provider with the wanted types only."""
    ((source, schema),) = full["provider_schemas"].items()
    kept = {kind: {name: _bare(found) for name, found in sorted(schema.get(kind, {}).items()) if name in wanted[kind]} for kind in wanted}
    return {"format_version": full["format_version"], "provider_schemas": {source: {"provider": _bare(schema["provider"]), **kept}}}


def _bare(found: Any) -> Any:
    """Return it without descriptions; an attribute that is named so stays."""
    if not isinstance(found, dict):
        return found
    kept = {}
    for key, value in found.items():
        if key == "nested_type":
            kept["type"] = _type(value)
        elif key in ("attributes", "block_types"):
            kept[key] = {name: _bare(inner) for name, inner in value.items()}
        elif key not in ("description", "description_kind"):
            kept[key] = _bare(value)
    return kept


def _type(nested: Mapping[str, Any]) -> Any:
    kinds = {name: found["type"] if "type" in found else _type(found["nested_type"]) for name, found in nested["attributes"].items()}
    mode = nested["nesting_mode"]
    return ["object", kinds] if mode == "single" else [mode, ["object", kinds]]


def main(full: str, out: str, *modules: str) -> int:
    """Write the subset, one type a line, so that a change of it can be read."""
    with gzip.open(full) as file:
        made = cut(json.load(file), used(map(Path, modules)))
    ((source, schema),) = made["provider_schemas"].items()
    kinds = []
    for kind in KINDS.values():
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found, sort_keys=True)}" for name, found in schema[kind].items())
        kinds.append(f"{json.dumps(kind)}: {{\n{lines}\n}}")
    head = f'{{"format_version": {json.dumps(made["format_version"])}, "provider_schemas": {{{json.dumps(source)}: {{\n'
    provider = f'"provider": {json.dumps(schema["provider"], sort_keys=True)}'
    Path(out).write_text(head + ",\n".join([provider, *kinds]) + "\n}}}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
