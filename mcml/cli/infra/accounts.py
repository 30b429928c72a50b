"""What the verbs that look into the clouds' accounts share: whose things are looked for, and what opens an account."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mcml.cli.infra import common
from mcml.cli.session import Session

if TYPE_CHECKING:
    from mcml.infra.accounts import Account, Open, Place, Scope
    from mcml.infra.fleet import Fleet


@contextmanager
def fleet(session: Session, filters: Sequence[str] | None, *, writes: bool = False) -> Iterator["Fleet"]:
    """Yield the units that the filters mean, in a fleet that sees the states of all, so that what others hold is not taken for loose."""
    with common.fleet(session, filters, seeing=True, writes=writes) as opened:
        yield opened


def scope(session: Session) -> "Scope":
    """Return the tags of the environment in force."""
    from mcml.infra.accounts import Scope

    settings = session.settings
    google = str(settings.providers.get("gcp", {}).get("project", ""))
    return Scope(settings.name, settings.infra.environment, settings.infra.part, google)


def opener(session: Session) -> "Open":
    """Return what opens an account, each place once. It raises what the provider raises: NotAuthenticated, Usage."""
    from functools import cache

    from mcml.infra.accounts import Account
    from mcml.providers import discovery
    from mcml.providers.api.capability import BUCKETS, INVENTORY

    @cache
    def open_account(place: "Place") -> "Account":
        spec, context = discovery.spec(place.cloud), replace(session.context(place.cloud), region=place.region)
        inventory = discovery.open_capability(spec, INVENTORY, context)
        return Account(place, inventory, lambda: discovery.open_capability(spec, BUCKETS, context))

    return open_account
