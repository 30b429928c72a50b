"""One text for one value: the canonical JSON whose bytes are hashed, for journal rows and plan digests."""

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import PurePath

from mcml.core.clock import rfc3339
from mcml.core.secret import Secret

_SURROGATE = re.compile("[\ud800-\udfff]")


def canonical_json(value: object) -> str:
    """Write a value as canonical JSON: sorted keys, no spaces, UTF-8 as it is; an undecodable byte of a file name is escaped.

    Times, dates, decimals and paths become text, a secret `[hidden]`. Raises ValueError for what has no one text: NaN and
    infinities, a naive time, a set, any other object, a value that contains itself.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, RecursionError) as wrong:
        raise ValueError(str(wrong)) from wrong
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | PurePath | Secret):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is not a JSON value")
