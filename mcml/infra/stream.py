"""What of Terraform's `-json` stream is handed on to a program that reads along (pure).

https://developer.hashicorp.com/terraform/internals/machine-readable-ui. Terraform masks what is marked sensitive; left out is what it does
not mask, or nobody needs: what provisioners write, the values of outputs, and the lines of source around a diagnostic.
"""

from collections.abc import Mapping
from typing import Any

PASSED = ("@level", "@message", "@timestamp", "type", "terraform", "tofu", "ui", "change", "changes", "hook")
DIAGNOSTIC = ("severity", "summary", "detail", "address", "range")
PROVISIONER = "provisioner error"
"""How the summary ends of a diagnostic whose detail is the command of a provisioner, and what that wrote."""
OUTPUT = ("sensitive", "action")


def handed_on(said: Mapping[str, Any]) -> dict[str, object] | None:
    """Return the fields of one event that are handed on; None for one that is not."""
    if said.get("type") == "provision_progress":
        return None
    fields: dict[str, object] = {name: said[name] for name in PASSED if name in said}
    if "diagnostic" in said:
        found = _only(said["diagnostic"], DIAGNOSTIC)
        if str(found.get("summary", "")).endswith(PROVISIONER):
            del found["detail"]
        fields["diagnostic"] = found
    if isinstance(outputs := said.get("outputs"), Mapping):
        fields["outputs"] = {name: _only(about, OUTPUT) for name, about in outputs.items()}
    return fields


def _only(value: Any, names: tuple[str, ...]) -> dict[str, object]:
    return {name: value[name] for name in names if name in value} if isinstance(value, Mapping) else {}
