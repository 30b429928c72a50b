"""Tags as AWS writes them, and the two of our own: `managed-by` on all that mcml makes, `mcml-token` on what one request made."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

OURS = {"managed-by": "mcml"}
TOKEN = "mcml-token"  # noqa: S105 - a tag's name


def tags_of(listed: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Return `[{"Key": ..., "Value": ...}]` as a mapping."""
    return {tag["Key"]: tag.get("Value", "") for tag in listed or ()}


def tag_list(*parts: Mapping[str, str]) -> list[dict[str, str]]:
    """Return mappings as AWS takes them, sorted; the later ones win."""
    merged = {key: value for part in parts for key, value in part.items()}
    return [{"Key": key, "Value": value} for key, value in sorted(merged.items())]


def has_all(tags: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    """Tell whether tags hold all the wanted ones."""
    return all(tags.get(key) == value for key, value in (wanted or {}).items())


def tag_filters(wanted: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """Return filters of EC2 and Auto Scaling for these tags."""
    return [{"Name": f"tag:{key}", "Values": [_literal(value)]} for key, value in (wanted or {}).items()]


def short(token: str) -> str:
    """Return what stands for a token of ours where AWS allows 64 characters."""
    return hashlib.sha256(token.encode()).hexdigest()


def _literal(value: str) -> str:
    return value.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")  # a filter's value may hold wildcards
