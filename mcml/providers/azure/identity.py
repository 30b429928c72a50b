"""Identity on Azure: the subscription and the principal of our token, or the storage account whose key the environment holds.

Resource Manager is asked about the subscription (its name, its state, whether the login sees it); with a storage account's key there is
nobody to ask it as, and the subscription is the one that is set.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from mcml.core.errors import McmlError, NotAuthenticated
from mcml.providers.api.identity import Check, Identity, Who
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.credentials import STORAGE_SCOPE, claims_of
from mcml.providers.azure.error_table import MOST_SKEW_SECONDS, SET_CLOCK, told_skew
from mcml.providers.azure.session import Session
from mcml.providers.azure.subscriptions import CHOOSE, subscription_of, subscriptions_of
from mcml.providers.resilience import Policy

MOST_SHOWN = 5  # of the subscriptions that the login sees


def open_identity(ctx: ProviderContext) -> Identity:
    """Return who we are in Azure; nothing is asked yet."""
    return AzureIdentity(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class AzureIdentity:
    """A login (user, service principal, managed identity), or the key of a storage account."""

    session: Session

    def whoami(self) -> Who:
        """Return the subscription with its name (the tenant where none is set) and the principal, from the token's own claims.

        With the key of a storage account in the environment the principal is that account, and the service is asked whether the key is
        good. Raises NotAuthenticated (also for a subscription that the login does not see), Unavailable.
        """
        by_key = self._by_key()
        if by_key is not None:
            return by_key[0]
        who = self._by_token()
        return replace(who, account=str(subscription_of(self.session)[0])) if self.session.subscription else who

    def check(self) -> list[Check]:
        """Look at the login, its tenant, the subscription, this machine's clock, and whether the storage account answers us."""
        try:
            by_key = self._by_key()
            who = by_key[0] if by_key is not None else self._by_token()
        except McmlError as failed:
            return [_failed("credentials", failed), self._named()]
        login = Check("credentials", True, f"{who.principal} ({who.method})")
        about = [self._named(), _clock(by_key[1])] if by_key is not None else self._subscription()
        return [login, *about, self._storage()]

    def _by_key(self) -> tuple[Who, float] | None:
        """Return who we are by a key, and by how many seconds our clock is ahead; None without a key."""
        if not self.session.names_account:
            return None
        account = self.session.account()
        key = self.session.key_of(account)
        if key is None:
            return None
        answer = self.session.call(f"log in to storage account {account}", self.session.service(account).get_account_information)
        who = Who(self.session.subscription or account, f"storage account {account}", f"account key in {key.source}")
        at = answer.get("date")
        return who, (self.session.clock() - at.astimezone(UTC)).total_seconds() if isinstance(at, datetime) else 0.0

    def _by_token(self) -> Who:
        token = self.session.call("log in to Azure", lambda: self.session.credential.get_token(STORAGE_SCOPE))
        claims = claims_of(token.token)
        tenant = str(claims.get("tid", ""))
        wanted = self.session.settings.tenant
        if wanted and tenant and "." not in wanted and wanted != tenant:
            why = f"the login is for tenant {tenant}, and {wanted} is set"
            raise NotAuthenticated("cannot log in to Azure", why=why, next_step=f"az login --tenant {wanted}")
        account = self.session.subscription or (f"tenant {tenant}" if tenant else "unknown")
        return Who(account, _principal(claims), f"Microsoft Entra token of a {_kind(claims)}")

    def _named(self) -> Check:
        """Look at the settings only."""
        named = self.session.subscription
        return Check("subscription", bool(named), named or "none is set", "" if named else CHOOSE)

    def _subscription(self) -> list[Check]:
        """Ask Azure about the subscription and the time; without one, which ones there are."""
        if not self.session.subscription:
            return [self._choice()]
        try:
            found, ahead = subscription_of(self.session)
        except McmlError as failed:
            return [_failed("subscription", failed)]
        ok = found.state in ("Enabled", "")
        fix = f"az account show --subscription {found.id}  (its owner mends it: https://portal.azure.com, Subscriptions)"
        return [Check("subscription", ok, f"{found} is {found.state.lower() or 'there'}", "" if ok else fix), _clock(ahead)]

    def _choice(self) -> Check:
        try:
            seen = subscriptions_of(self.session)
        except McmlError as failed:
            return Check("subscription", False, f"none is set; {failed.message}: {failed.why}", failed.next_step or CHOOSE)
        shown = ", ".join(str(one) for one in seen[:MOST_SHOWN]) + (f" and {len(seen) - MOST_SHOWN} more" if len(seen) > MOST_SHOWN else "")
        return Check("subscription", False, f"none is set; the login sees {shown or 'none'}", CHOOSE)

    def _storage(self) -> Check:
        """List one container: it needs the data role, which an owner of the account does not have by itself."""
        if not self.session.names_account:
            return Check("storage account", True, "none is named; az:// paths need one")
        try:
            account = self.session.account()
            pages = self.session.service(account).list_containers(results_per_page=1).by_page()
            self.session.call(f"list the containers of storage account {account}", lambda: next(pages, None))
        except McmlError as failed:
            return _failed("storage account", failed)
        return Check("storage account", True, f"{account} answers")


def _clock(ahead: float) -> Check:
    wrong = abs(ahead) > MOST_SKEW_SECONDS
    return Check("clock", not wrong, told_skew(ahead) if wrong else "it agrees with Azure's", SET_CLOCK if wrong else "")


def _principal(claims: dict[str, Any]) -> str:
    names = ("upn", "preferred_username", "unique_name", "email", "app_displayname", "appid", "azp", "oid", "sub")
    return next((str(claims[name]) for name in names if claims.get(name)), "unknown (the token cannot be read)")


def _kind(claims: dict[str, Any]) -> str:
    if claims.get("xms_mirid"):
        return "managed identity"
    if claims.get("idtyp") == "app" or ("upn" not in claims and claims.get("appidacr") in ("1", "2")):
        return "service principal"
    return "user"


def _failed(name: str, failed: McmlError) -> Check:
    return Check(name, False, f"{failed.message}: {failed.why}", failed.next_step or "mcml config show")
