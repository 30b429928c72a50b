"""Where things lie: the project folder (found upwards, like git), its state folder, and the files that ship beside the package."""

import os
from pathlib import Path

CONFIG_NAME = "mcml.toml"
STATE_NAME = ".mcml"


def find_project(start: Path) -> Path | None:
    """Return the nearest folder at or above `start` that holds an mcml.toml, or None."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / CONFIG_NAME).is_file():
            return folder
    return None


def user_config() -> Path:
    """Return the path of the user's configuration file (it may not exist)."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else _home() / ".config") / "mcml" / "config.toml"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a container's uid without a passwd entry, and no HOME
        return Path("/")


def state_folder(project: Path) -> Path:
    """Return the project's state folder, `.mcml` beside mcml.toml; everything in it was made by mcml."""
    return project / STATE_NAME


def shipped(name: str) -> Path:
    """Return a folder that ships beside the package: `terraform`, `runbooks`, `policies` or `completions`.

    A wheel carries them inside the package, an editable install reads the checkout. Raises FileNotFoundError when neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_shipped" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{name} is missing from this installation of mcml")
