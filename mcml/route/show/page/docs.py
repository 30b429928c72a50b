"""The page that shows the OpenAPI document to people: one part a route, without JavaScript; pure."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any

from mcml.route.show.page.html import asset

MOST_EXAMPLE = 1200
"""Characters of an example that are shown."""

Json = Mapping[str, Any]


def headers() -> tuple[tuple[str, str], ...]:
    """Return the headers of the page: a content security policy that lets in its own style and nothing else."""
    style = b64encode(sha256(asset("style.css").encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return (("content-security-policy", policy),)


def page(document: Json) -> str:
    """Return the page of an OpenAPI document as `openapi.document` makes it."""
    info = document["info"]
    groups: dict[str, list[tuple[str, str, Json]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            groups[operation["tags"][0]].append((method.upper(), path, operation))
    parts = "".join(_group(name, operations, document) for name, operations in groups.items())
    key = '<p class="soft">Every request needs an API key, in the header x-api-key or as a bearer token.</p>'
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<style>{asset("style.css")}</style></head><body><header><h1>{escape(info["title"])}</h1>'
        f'<span class="soft">{escape(info["summary"])} <a href="/v2/openapi.json">OpenAPI {escape(document["openapi"])}</a></span></header>'
        f"<main>{key if document.get('security') else ''}{parts}</main><footer>mcml {escape(info['version'])}</footer></body></html>"
    )


def _group(name: str, operations: Sequence[tuple[str, str, Json]], document: Json) -> str:
    rows = "".join(_row(method, path, operation) for method, path, operation in operations)
    table = _table(("Call", "Does", "Headers", "Answers"), rows)
    schemas = document["components"]["schemas"]
    tensors = "".join(_tensors(side, schemas.get(f"{name}.{which}")) for side, which in (("inputs", "Request"), ("outputs", "Answer")))
    return f'<section class="card"><h2>{escape(name)}</h2>{table}{tensors}{"".join(_examples(operations))}</section>'


def _table(heads: Sequence[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(method: str, path: str, operation: Json) -> str:
    headers = [one["name"] + ("" if one.get("required") else "?") for one in operation.get("parameters", ()) if one["in"] == "header"]
    cells = [
        f"<code>{method} {escape(path)}</code>", escape(operation["summary"]), escape(", ".join(headers)), ", ".join(operation["responses"])
    ]  # fmt: skip
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _tensors(side: str, schema: Json | None) -> str:
    """Show the tensors of one side of a route; nothing where the model has not told them."""
    items = schema["properties"][side]["items"] if schema else {}
    known = [one["properties"] for one in items.get("anyOf", [items]) if "properties" in one]
    if not known:
        return ""
    rows = "".join(f"<tr><td>{escape(one['name']['const'])}</td>{_kind(one)}</tr>" for one in known)
    return f"<h3>{side}</h3>{_table(('Name', 'Datatype', 'Shape'), rows)}"


def _kind(tensor: Json) -> str:
    return f"<td>{escape(tensor['datatype']['const'])}</td><td>{_shape(tensor['shape'])}</td>"


def _shape(shape: Json) -> str:
    sizes = [str(one.get("const", "any")) for one in shape.get("prefixItems", ())]
    return f"[{', '.join(sizes)}]" if sizes else "any"


def _examples(operations: Sequence[tuple[str, str, Json]]) -> Iterator[str]:
    for method, path, operation in operations:
        example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        if example is not None and "{" not in path:
            body = json.dumps(example)
            body = body if len(body) <= MOST_EXAMPLE else f"{body[:MOST_EXAMPLE]}…"
            text = f"{method} {path}\ncontent-type: application/json\n\n{body}"
            yield f'<h3>example</h3><div class="scroll"><pre>{escape(text)}</pre></div>'
