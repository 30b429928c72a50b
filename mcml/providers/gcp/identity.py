"""Identity on Google Cloud: the project, the principal of Google's default credentials, and what keeps mcml from working there."""

from typing import Any

from requests import RequestException

from mcml.core.errors import McmlError
from mcml.providers.api.identity import Check, Identity, Who
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp import credentials as own
from mcml.providers.gcp.error_table import LOGIN, SET_CLOCK
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy

CHOOSE_PROJECT = "gcloud config set project PROJECT"
OAUTH = "https://oauth2.googleapis.com"


def open_identity(ctx: ProviderContext) -> Identity:
    """Return who we are at Google."""
    return GcpIdentity(Session(ctx, policy=Policy(budget=ctx.budget)))


class GcpIdentity:
    """The project is the account; a token is fetched before anything is said, so what is said is true."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._name = ""

    def whoami(self) -> Who:
        """Return the project, the email of the principal and how it logged in. Raises NotAuthenticated, Unavailable."""
        found = self._session.call("cannot log in to Google Cloud", self._log_in)
        project = self._session.project()
        self._name = self._name or own.principal(found.credentials) or self._ask_google(found.credentials)
        return Who(account=project, principal=self._name, method=found.method)

    def check(self) -> list[Check]:
        """Look at the credentials; when they hold, at the project, at Cloud Storage in it, and at this machine's clock."""
        try:
            found = self._session.call("cannot log in to Google Cloud", self._log_in)
        except McmlError as failed:
            return [_failed("credentials", failed, LOGIN), *self._clock()]
        try:
            who = self.whoami()
        except McmlError as failed:
            return [Check("credentials", True, f"found: {found.method}"), _failed("project", failed, CHOOSE_PROJECT), *self._clock()]
        login = Check("credentials", True, f"{who.principal} ({who.method})")
        return [login, Check("project", True, who.account), self._storage(who.account), *self._clock()]

    def _log_in(self) -> own.Found:
        found = self._session.found
        if not found.credentials.valid:
            found.credentials.refresh(self._session.ask_for_token)
        return found

    def _ask_google(self, credentials: Any) -> str:
        """Ask whose the token is, once and without insisting: a user's own credentials do not know it. The token goes in the body."""
        url = f"{self._session.settings.endpoint or OAUTH}/tokeninfo"
        try:
            form = {"access_token": credentials.token}
            answer = self._session.plain_http.post(url, data=form, timeout=self._session.timeout)
            email = answer.json().get("email", "") if answer.ok else ""
        except (RequestException, AttributeError):
            email = ""
        return str(email) or own.UNKNOWN_USER

    def _storage(self, project: str) -> Check:
        session = self._session
        try:
            session.call(
                f"cannot list the buckets of project {project!r}",
                lambda: next(session.storage.list_buckets(max_results=1, project=project, **session.options).pages, None),
            )
        except McmlError as failed:
            return _failed("storage", failed, f"gcloud services enable storage.googleapis.com --project={project}")
        return Check("storage", True, f"buckets of project {project} can be listed")

    def _clock(self) -> list[Check]:
        """Compare with what Google's answers told; nothing when there was no answer."""
        skew = self._session.clue.skew
        check = Check("clock", not skew, skew or "it agrees with Google's", SET_CLOCK if skew else "")
        return [check] if self._session.clue.dated else []


def _failed(name: str, failed: McmlError, fix: str) -> Check:
    return Check(name, False, f"{failed.message}: {failed.why}", failed.next_step or fix)
