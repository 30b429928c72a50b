"""SageMaker's control plane: https://docs.aws.amazon.com/sagemaker/latest/APIReference/Welcome.html. Its names, errors and long waits.

SageMaker answers ValidationException for a name that is not there, for one that is taken, and for a change while another one runs; only
the text tells which, so it is read here and nowhere else.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, QuotaExceeded
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import Session
from mcml.providers.aws.tags import tags_of

POLL_SECONDS = 10.0
LONGEST_NAME = 63
GONE = re.compile(r"Could not find|resource not found|does not exist", re.IGNORECASE)
_TAKEN = re.compile(r"already exist|Cannot create already|must be unique|in-progress|in progress", re.IGNORECASE)
_FULL = re.compile(r"InsufficientInstanceCapacity|CapacityError|Insufficient capacity|ResourceLimitExceeded|service limit", re.IGNORECASE)
_VALID = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


class SageMaker:
    """Calls of one session, with their errors in our words."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def ask(self, doing: str, operation: str, **asked: Any) -> Any:
        """Make a call. Raises NotFound and Conflict where the text of the refusal says so, else as the error table."""
        try:
            return self.session.call(doing, lambda: getattr(self.session.client("sagemaker"), operation)(**asked))
        except InvalidRequest as refused:
            kind = NotFound if GONE.search(refused.why) else Conflict if _TAKEN.search(refused.why) else None
            if kind is None:
                raise
            raise kind(refused.message, why=refused.why, next_step=refused.next_step) from refused.__cause__

    def find(self, doing: str, operation: str, **asked: Any) -> Any:
        """Make a call; None when what it names is not there."""
        try:
            return self.ask(doing, operation, **asked)
        except NotFound:
            return None

    def pages(self, doing: str, operation: str, result: str, **asked: Any) -> Iterator[Any]:
        """Yield the items of a listing."""
        return paged(self.session, doing, "sagemaker", operation, result, **asked)

    def tags(self, doing: str, arn: str) -> dict[str, str]:
        """Return the tags of a resource; those of one that is gone are none."""
        try:
            return tags_of(self.pages(doing, "list_tags", "Tags", ResourceArn=arn))
        except InvalidRequest as refused:
            if GONE.search(refused.why):
                return {}
            raise

    def wait(self, seconds: float = POLL_SECONDS) -> float:
        """Let some time pass, and return how much."""
        self.session.policy.sleep(seconds)
        return seconds


def failure(doing: str, reason: str, next_step: str) -> McmlError:
    """Return what the FailureReason of an endpoint or a job means."""
    kind = QuotaExceeded if _FULL.search(reason) else InvalidRequest
    return kind(doing, why=reason or "SageMaker gives no reason", next_step=next_step)


def digest_of(*parts: str) -> str:
    """Return what stands for texts in a name."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def slug(text: str, longest: int) -> str:
    """Return letters, digits and single hyphens of a text, in lower case: ARNs are in lower case whatever the name is."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:longest].strip("-") or "x"


def prefix_of(target: str) -> str:
    """Return how the names of all endpoints of a target begin."""
    return f"mcml-{digest_of(target)[:6]}-"


def endpoint_name(target: str, model: str) -> str:
    """Return the name of a model's endpoint: at most 45 characters, so that those of its models and configurations can begin with it."""
    return f"{prefix_of(target)}{slug(model, 24)}-{digest_of(target, model)[:8]}"


def variant_name(version: str) -> str:
    """Return the name of a version's production variant: the version itself where SageMaker takes it."""
    return version if _VALID.fullmatch(version) and len(version) <= LONGEST_NAME else f"{slug(version, 40)}-{digest_of(version)[:8]}"


def percents(weights: Mapping[str, float]) -> dict[str, int]:
    """Return shares that add up to 100, by the largest remainder (the earlier of equals first); without any weight, all to the last."""
    total = sum(weights.values())
    if not weights:
        return {}
    if total <= 0:
        return dict.fromkeys(weights, 0) | {list(weights)[-1]: 100}
    exact = {name: weight * 100 / total for name, weight in weights.items()}
    shares = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: -(exact[name] - shares[name]))[: 100 - sum(shares.values())]:
        shares[name] += 1
    return shares
