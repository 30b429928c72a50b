"""Documents about API keys. The text of a key is in one of them, the one that is shown when it is made."""

from collections.abc import Container, Sequence
from datetime import datetime

from mcml.core.clock import rfc3339
from mcml.core.view import Column, Document, Level, Pairs, State, Status, Text, listing
from mcml.route.front.keys import Made
from mcml.store.route_keys import RouteKey

LEVELS: dict[str, Level] = {"valid": "ok", "not here": "warn", "expired": "idle", "revoked": "idle"}


def made(new: Made) -> Document:
    """Show a new key with its text."""
    text = new.text.reveal()
    item = {**_about(new.key), "text": text}
    blocks = (
        Text(text, verbatim=True),
        Pairs([("name", new.key.name), ("models", _routes(new.key)), ("limit", _rate(new.key) or "none"), ("expires", _ends(new.key))]),
        Text("This text is not shown again. Clients send it as the header x-api-key, or as authorization: Bearer."),
    )
    return Document("RouteKey", [item], blocks, name_key="text")


def planned(verb: str, name: str, routes: Sequence[str]) -> Document:
    """Show what would be done to a key."""
    item = {"name": name, "verb": verb, "models": list(routes), "dry_run": True}
    text = f"would {verb} the key {name} for {', '.join(routes) or 'all models'}"
    return Document("RouteKeyPlan", [item], (Status(State("plan", "idle"), text),))


def revoked(name: str, keys: Sequence[RouteKey]) -> Document:
    """Show which texts were taken back."""
    text = f"{name}: {len(keys)} {'text is' if len(keys) == 1 else 'texts are'} refused from now on"
    return Document("RouteKeyRevoked", [_about(key) for key in keys], (Status(State("revoked"), text),))


def taken_in(keys: Sequence[RouteKey]) -> Document:
    """Show whose texts this machine has now."""
    text = f"this machine has the text of {', '.join(key.name for key in keys)}"
    return Document("RouteKeyImported", [_about(key) for key in keys], (Status(State("imported"), text),))


def listing_of(keys: Sequence[RouteKey], here: Container[str], now: datetime, *, every: bool) -> Document:
    """List keys with their state: valid, not here (its text is on another machine), expired, revoked."""
    rows = [{**_about(key), "state": _state(key, here, now)} for key in keys if every or key.holds(now)]
    shown = [
        {**row, "state": State(str(row["state"]), LEVELS[str(row["state"])]), "models": _routes(key), "limit": _rate(key)}
        for row, key in zip(rows, [key for key in keys if every or key.holds(now)], strict=True)
    ]
    columns = (
        Column("name", "Name"),
        Column("state", "State", "state"),
        Column("hint", "Ends in"),
        Column("models", "Models"),
        Column("limit", "Limit"),
        Column("made_at", "Made", "time"),
        Column("made_by", "By"),
        Column("expires_at", "Expires", "time"),
    )
    document = listing("RouteKeys", columns, shown, empty="no key; next: mcml route keys add NAME")
    blocks = list(document.blocks)
    if any(row["state"] == "not here" for row in rows):
        blocks.append(Text("not here: another machine made it, this one's router refuses it; next: mcml route keys import"))
    return Document("RouteKeys", rows, blocks)


def _state(key: RouteKey, here: Container[str], now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if not key.holds(now):
        return "expired"
    return "valid" if key.digest in here else "not here"


def _about(key: RouteKey) -> dict[str, object]:
    return {
        "name": key.name,
        "hint": key.hint,
        "models": list(key.routes),
        "limit": {"requests": key.rate[0], "per_s": key.rate[1]} if key.rate else None,
        "made_at": rfc3339(key.made_at),
        "made_by": key.made_by,
        "expires_at": rfc3339(key.expires_at) if key.expires_at else None,
        "revoked_at": rfc3339(key.revoked_at) if key.revoked_at else None,
        "revoked_by": key.revoked_by,
    }


def _ends(key: RouteKey) -> str:
    return rfc3339(key.expires_at) if key.expires_at else "never"


def _routes(key: RouteKey) -> str:
    return ", ".join(key.routes) or "all"


def _rate(key: RouteKey) -> str:
    return f"{key.rate[0]} in {key.rate[1]:g} s" if key.rate else ""
