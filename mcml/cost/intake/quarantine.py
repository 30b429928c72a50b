"""Rows in quarantine: what makes a command fail for them, and which command ingests their delivery anew; pure."""

import re
import shlex
from collections.abc import Collection, Sequence
from datetime import timedelta

from mcml.core.clock import parse_rfc3339
from mcml.core.errors import McmlError
from mcml.store.ledger.cover import ESTIMATE
from mcml.store.ledger.intake import Ingested
from mcml.store.ledger.manifest import Delivery, typed

_MANIFEST = re.compile(r"(?i)(?:metadata/billing_period=|\d{8}-\d{8}/).*manifest\.json$")
SAMPLE_NAME = "FOCUS sample"
LATEST = timedelta(days=7)
"""How far back a provider is asked when nobody says."""


def refuse(results: Sequence[Ingested], *, dry_run: bool) -> None:
    """Raise McmlError when rows are in quarantine, or would be; all others are booked by then."""
    held = [each.delivery for each in results if each.delivery.quarantined]
    if not held:
        return
    said = ", ".join(f"{each.quarantined} of {each.origin}" for each in held)
    if dry_run:
        step = "mend what is told of them in the export, or ingest without --strict"
        raise McmlError(f"rows would go into quarantine: {said}", why="they break a rule; a dry run books nothing", next_step=step)
    why = "they break a rule and are in no sum; all others are booked"
    raise McmlError(f"rows are in quarantine: {said}", why=why, next_step="mcml cost quarantine")


def again(delivery: Delivery, providers: Collection[str]) -> str:
    """Return the command that ingests a delivery anew: a provider's, the sample, what lies in a bucket, or files as one types them here."""
    origin = delivery.origin
    if origin in providers:
        begin = parse_rfc3339(delivery.begin) if delivery.begin else parse_rfc3339(delivery.at) - LATEST
        return f"mcml cost ingest --provider {origin} --since {begin:%Y-%m-%d}"
    if origin == SAMPLE_NAME:
        return "mcml cost ingest --sample"
    if origin.startswith(f"{ESTIMATE}:"):
        return f"mcml cost estimate --provider {origin.removeprefix(f'{ESTIMATE}:')}"
    files = typed(delivery.given) or ([origin] if "://" in origin else origin.split(", "))
    return shlex.join(["mcml", "cost", "ingest", *(_MANIFEST.sub("", file) if "://" in file else file for file in files)])
