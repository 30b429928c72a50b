"""What a command may ask for, made at the moment it is asked: configuration, store, providers, progress, questions."""

import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mcml.core import exits
from mcml.core.clock import Clock, utc_now
from mcml.core.report import Reporter
from mcml.ui import progress, prompt
from mcml.ui.streams import Streams, standard

if TYPE_CHECKING:
    from mcml.core.schema import Settings
    from mcml.core.settings import Config
    from mcml.core.view import Document
    from mcml.providers.api.capability import Capability
    from mcml.providers.api.spec import ProviderContext
    from mcml.providers.resilience import Budget
    from mcml.store.db import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Common:
    """The options that every command has. `timeout` is in seconds."""

    output: str = "table"
    quiet: bool = False
    debug: bool = False
    profile: str = ""
    timeout: float | None = None
    dry_run: bool = False
    yes: bool = False


class Session:
    """One run of one command."""

    def __init__(self, common: Common, *, streams: Streams | None = None, clock: Clock = utc_now) -> None:
        self.common = common
        self.clock = clock
        self.streams = streams or standard()
        self.exit_code = exits.DONE
        self._began = time.monotonic()
        self._cleanup = ExitStack()

    @property
    def dry_run(self) -> bool:
        """True when nothing may be changed."""
        return self.common.dry_run

    @property
    def timeout(self) -> float | None:
        """Seconds that are left of --timeout, or None without one."""
        if self.common.timeout is None:
            return None
        return max(0.0, self.common.timeout - (time.monotonic() - self._began))

    @cached_property
    def config(self) -> "Config":
        """The configuration of the folder we are in. Raises NotFound outside a project, Usage when it is wrong."""
        from mcml.cli.protocols import checked
        from mcml.core.settings import load

        return checked(load(Path.cwd(), profile=self.common.profile))

    @cached_property
    def _budget(self) -> "Budget":
        from mcml.providers.resilience import Budget

        return Budget()

    @property
    def settings(self) -> "Settings":
        """The settings of the project."""
        return self.config.settings

    @cached_property
    def store(self) -> "Store":
        """The journal and incidents; closed when the command ends."""
        from mcml.store.db import Store

        return self._cleanup.enter_context(Store(self.config.store_url))

    @cached_property
    def reporter(self) -> Reporter:
        """Progress on stderr."""
        told = progress.reporter(self.streams, quiet=self.common.quiet)
        self._cleanup.callback(progress.close, told)
        return told

    @cached_property
    def events(self) -> Reporter:
        """Progress for a command whose events a program may want to read: with -o json JSON lines on stderr, else as always."""
        return progress.JsonLines(self.streams, self.clock) if self.common.output == "json" and not self.common.quiet else self.reporter

    def context(self, provider: str, target: str = "") -> "ProviderContext":
        """Return the context of a provider: its validated settings and its state folder. Raises Usage for wrong settings."""
        from mcml.cli.providers import context

        return context(self.config, provider, target, self.clock, self._budget)

    def open(self, capability: "Capability[T]", target: str) -> T:
        """Open a capability on a target. Raises NotFound for the target or provider, ProviderCannot."""
        from mcml.core.errors import unknown
        from mcml.providers import discovery

        if target not in self.settings.targets:
            raise unknown("target", target, self.settings.targets, next_step="mcml config show")
        provider = self.settings.targets[target].provider
        return discovery.open_capability(discovery.spec(provider), capability, self.context(provider, target))

    def open_provider(self, capability: "Capability[T]", provider: str) -> T:
        """Open a capability of a provider's whole account."""
        from mcml.providers import discovery

        return discovery.open_capability(discovery.spec(provider), capability, self.context(provider))

    def confirm(self, question: str) -> None:
        """Ask y/N; returns on yes. Raises Usage when nobody can answer and --yes is missing, Interrupted on no."""
        self._before_question()
        prompt.confirm(question, self.streams, yes=self.common.yes)

    def confirm_by_name(self, question: str, name: str) -> None:
        """Ask to type a name before something is destroyed."""
        self._before_question()
        prompt.confirm_by_name(question, name, self.streams, yes=self.common.yes)

    def show(self, document: "Document") -> None:
        """Write a document to stdout in the wanted form."""
        from mcml.ui import render

        self._settle()
        render.show(document, self.common.output, self.streams, self.clock(), typed(sys.argv[1:]))

    def stdout_write(self, text: str) -> None:
        """Write text that is no document (a script, a schema) to stdout."""
        self._settle()
        self.streams.out.write(text)
        self.streams.out.flush()

    def note(self, text: str) -> None:
        """Say a sentence on stderr, unless -q."""
        if not self.common.quiet:
            self.reporter.note(text)

    def close(self) -> None:
        """Give everything back."""
        self._cleanup.close()

    def _before_question(self) -> None:
        self._settle()
        if self.config.profile:
            self.note(f"profile: {self.config.profile}")

    def _settle(self) -> None:
        if "reporter" in self.__dict__:
            progress.close(self.reporter)


def typed(words: Sequence[str]) -> str:
    """Return the command line as a page may show it; a job's own command, behind `--`, may hold a secret and is left out."""
    mine = [*words[: words.index("--")], "--", "..."] if "--" in words else list(words)
    return shlex.join(["mcml", *mine])
