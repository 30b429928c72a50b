"""The table of words and the group that imports a word's module only when it is typed."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer._click import Command, Context, HelpFormatter
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


@dataclass(frozen=True)
class Word:
    """A word after `mcml`: the module whose `app` is its command, what it is for, and the heading it stands under in the help."""

    module: str
    summary: str
    heading: str


HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
LOOP = "The loop"
WORK = "Around it"
ABOUT = "About mcml"

WORDS = {
    "infra": Word("mcml.cli.infra", "Terraform: plan, apply, drift, destroy.", LOOP),
    "deploy": Word("mcml.cli.deploy", "A model onto its targets, checked, old version out last.", LOOP),
    "route": Word("mcml.cli.route", "One endpoint over all targets, failing over with no lost request.", LOOP),
    "cost": Word("mcml.cli.cost", "What it costs, per target, model and team.", LOOP),
    "incident": Word("mcml.cli.incident", "What is on fire, who has it, what changed before.", LOOP),
    "postmortem": Word("mcml.cli.postmortem", "Written from the facts the others recorded.", LOOP),
    "pipeline": Word("mcml.cli.pipeline", "Train, evaluate and package a model.", WORK),
    "data": Word("mcml.cli.data", "Objects and files in any cloud: list, copy, delete.", WORK),
    "journal": Word("mcml.cli.journal", "The one timeline: every change, hash-chained.", WORK),
    "init": Word("mcml.cli.init", "Write an mcml.toml.", ABOUT),
    "demo": Word("mcml.cli.demo", "The whole of mcml on this machine, for real.", ABOUT),
    "doctor": Word("mcml.cli.doctor", "What is missing, and the command that mends it.", ABOUT),
    "config": Word("mcml.cli.config", "The configuration in force, an example, its schema.", ABOUT),
    "plugins": Word("mcml.cli.plugins", "Providers and what they can do.", ABOUT),
    "help": Word("mcml.cli.help", "Topics: exit codes, environment, output.", ABOUT),
}


class ExamplesFirst:
    """Mixed into commands and groups: the help begins with what it does and examples, then usage and options."""

    examples: tuple[str, ...] = ()

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the help text."""
        assert isinstance(self, Command)  # noqa: S101 - narrows the mixin for the type checker
        self.format_help_text(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
            formatter.write("\n")
        self.format_usage(ctx, formatter)
        self.format_options(ctx, formatter)
        self.format_epilog(ctx, formatter)


class ExampleCommand(ExamplesFirst, TyperCommand):
    """A command whose help begins with its examples."""


class ExampleGroup(ExamplesFirst, TyperGroup):
    """A group whose help begins with its examples, and that may have a verb which is meant when none is typed."""

    default_verb = ""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Put the default verb in front where only options, or nothing, were typed."""
        if self.default_verb and (not args or (args[0].startswith("-") and args[0] not in ("-h", "--help"))):
            args = [self.default_verb, *args]
        return super().parse_args(ctx, args)


class LazyGroup(ExampleGroup):
    """The root: its commands are stubs from WORDS until one is typed."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, short_help=word.summary) for name, word in WORDS.items()}

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Import the module of the word that was typed."""
        if args and args[0] in WORDS:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, _: Context, formatter: HelpFormatter) -> None:
        """List the words under their headings."""
        for heading in dict.fromkeys(word.heading for word in WORDS.values()):
            with formatter.section(heading):
                formatter.write_dl([(name, word.summary) for name, word in WORDS.items() if word.heading == heading])


def load(name: str) -> Command:
    """Import a word's module and return its command, under the word's name."""
    command = get_command(import_module(WORDS[name].module).app)
    command.name = name
    return command


def group(name: str, summary: str, *, examples: tuple[str, ...] = (), default: str = "") -> typer.Typer:
    """Make the app of a word with verbs. `default` is the verb that the word alone means; without one it shows the help."""
    kind = type(f"{name.title()}Group", (ExampleGroup,), {"examples": examples, "default_verb": default})
    app = typer.Typer(
        name=name,
        help=summary,
        cls=kind,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=HELP,
    )
    app.callback()(_nothing)  # keeps a word with one verb a group
    return app


def single(name: str, summary: str) -> typer.Typer:
    """Make the app of a word without verbs; register its one command with `@command(app, name)`."""
    return typer.Typer(
        name=name,
        help=summary,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=HELP,
    )


def _nothing() -> None:
    return None
