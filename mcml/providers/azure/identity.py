"""Identity on Azure: the subscription and the principal of our token, or the storage account whose key the environment holds."""

from dataclasses import dataclass
from typing import Any

from mcml.core.errors import McmlError, NotAuthenticated
from mcml.providers.api.identity import Check, Identity, Who
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.credentials import STORAGE_SCOPE, claims_of
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy


def open_identity(ctx: ProviderContext) -> Identity:
    """Return who we are in Azure; nothing is asked yet."""
    return AzureIdentity(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class AzureIdentity:
    """A login (user, service principal, managed identity), or the key of a storage account."""

    session: Session

    def whoami(self) -> Who:
        """Return the subscription (the tenant where none is set) and the principal, from the token's own claims.

        With the key of a storage account in the environment the principal is that account, and the service is asked whether the key is
        good. Raises NotAuthenticated, Unavailable.
        """
        by_key = self._by_key()
        return by_key if by_key is not None else self._by_token()

    def check(self) -> list[Check]:
        """Look at the login, its tenant, the subscription, and whether the storage account answers us."""
        try:
            who = self.whoami()
        except McmlError as failed:
            return [_failed("login", failed), self._subscription()]
        login = Check("login", True, f"{who.principal} by {who.method}")
        return [login, self._subscription(), self._storage()]

    def _by_key(self) -> Who | None:
        if not self.session.names_account:
            return None
        account = self.session.account()
        key = self.session.key_of(account)
        if key is None:
            return None
        self.session.call(f"log in to storage account {account}", self.session.service(account).get_account_information)
        return Who(self.session.subscription or account, f"storage account {account}", f"account key in {key.source}")

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

    def _subscription(self) -> Check:
        named = self.session.subscription
        fix = "set subscription in [providers.azure] of mcml.toml, or AZURE_SUBSCRIPTION_ID (az account list)"
        return Check("subscription", bool(named), named or "none is set", "" if named else fix)

    def _storage(self) -> Check:
        """List one container: it needs the data role, which an owner of the account does not have by itself."""
        try:
            account = self.session.account()
            pages = self.session.service(account).list_containers(results_per_page=1).by_page()
            self.session.call(f"list the containers of storage account {account}", lambda: next(pages, None))
        except McmlError as failed:
            return _failed("storage account", failed)
        return Check("storage account", True, f"{account} answers")


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
