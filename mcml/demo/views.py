"""Documents of the demo."""

import shlex

from mcml.core.view import Document, Section, Text
from mcml.demo import script
from mcml.demo.play import Stage


def played(stage: Stage, *, keep: bool) -> Document:
    """Show what was run as commands to repeat, the time it took, and how to clean up."""
    items = [{"name": shlex.join(("mcml", *arguments)), "seconds": round(seconds, 2)} for arguments, seconds in stage.ran]
    clean = [shlex.join(("mcml", *arguments)) for arguments in script.CLEAN_UP.commands]
    repeat = [f"cd {stage.folder}", *(str(item["name"]) for item in items[1:] if item["name"] not in clean)]
    total = sum(seconds for _, seconds in stage.ran)
    ending = "it is still running: stop it with" if keep else "nothing is running any more; after repeating the commands, stop it with"
    return Document(
        "Demo",
        items,
        (
            Section(f"The demo took {total:.0f} s. The same by hand, one by one", (Text("\n".join(repeat), verbatim=True),)),
            Section(f"To clean up ({ending})", (Text("\n".join([*clean, f"cd .. && rm -rf {stage.folder}"]), verbatim=True),)),
        ),
    )
