"""Identity on AWS: who STS says we are, and whether credentials, region and clock are right."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcml.core.errors import McmlError, NotAuthenticated
from mcml.providers.api.identity import Check, Identity, Who
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.error_table import SET_CLOCK, skew_of
from mcml.providers.aws.session import Session
from mcml.providers.resilience import Policy


def open_identity(ctx: ProviderContext) -> Identity:
    """Return who we are on AWS."""
    return AwsIdentity(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class AwsIdentity:
    """The account is the AWS account, the principal the ARN of the user or of the assumed role."""

    session: Session

    def whoami(self) -> Who:
        """Ask STS (GetCallerIdentity needs no permission). Raises NotAuthenticated, Unavailable."""
        method = self._method()
        return self._who(self._ask(), method)

    def check(self) -> list[Check]:
        """Look at the credentials and who they are, at this machine's clock, and at the region."""
        return [*self._login(), self._region()]

    def _ask(self) -> Any:
        return self.session.call("cannot tell who we are on AWS", lambda: self.session.client("sts").get_caller_identity())

    def _method(self) -> str:
        found = self.session.call("cannot find AWS credentials", self.session.credentials)
        if found is None:
            why = "there are no credentials in the environment, in ~/.aws or on the machine"
            raise NotAuthenticated("cannot find AWS credentials", why=why, next_step=self.session.login_command())
        return str(found.method)

    def _who(self, answer: Any, method: str) -> Who:
        profile = self.session.settings.profile
        return Who(answer["Account"], answer["Arn"], method + (f", profile {profile}" if profile else ""))

    def _login(self) -> Iterator[Check]:
        try:
            method = self._method()
        except McmlError as failed:
            yield _failed("credentials", failed)
            return
        yield Check("credentials", True, f"found: {method}")
        try:
            answer = self._ask()
        except McmlError as failed:
            yield _failed("identity", failed)
            return
        who, skew = self._who(answer, method), skew_of(answer, self.session.ctx.clock())
        yield Check("identity", True, f"account {who.account}, {who.principal}")
        yield Check("clock", not skew, skew or "it agrees with AWS's", SET_CLOCK if skew else "")

    def _region(self) -> Check:
        try:
            region = self.session.call("cannot tell the region", lambda: self.session.region)
        except McmlError as failed:
            return _failed("region", failed)
        if not region:
            fix = "aws configure set region REGION  (or set region in [providers.aws] of mcml.toml)"
            return Check("region", False, "none is chosen", fix)
        return Check("region", True, region)


def _failed(name: str, failed: McmlError) -> Check:
    return Check(name, False, f"{failed.message}: {failed.why}", failed.next_step or "mcml doctor")
