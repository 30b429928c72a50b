"""Who we are: whoever the settings say, as long as the file can be opened."""

from dataclasses import dataclass

from mcml.core.errors import McmlError
from mcml.providers.api.identity import Check, Identity, Who
from mcml.providers.api.spec import ProviderContext
from mcml_nimbus.database import Database, open_database


def open_identity(ctx: ProviderContext) -> Identity:
    """Return who we are."""
    return NimbusIdentity(open_database(ctx), ctx.settings.owner)


@dataclass(frozen=True)
class NimbusIdentity:
    """The account is the file."""

    database: Database
    owner: str

    def whoami(self) -> Who:
        """Return the file and the owner. Raises Unavailable."""
        with self.database.open():
            return Who(str(self.database.path), self.owner, "a file")

    def check(self) -> list[Check]:
        """Look whether the file can be opened."""
        try:
            self.whoami()
        except McmlError as failed:
            return [Check("file", False, f"{failed.message}: {failed.why}", failed.next_step)]
        return [Check("file", True, str(self.database.path))]
