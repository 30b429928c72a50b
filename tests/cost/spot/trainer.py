"""A training process for tests: `python trainer.py FOLDER STEPS SECONDS EVERY` does steps of so many seconds, and saves after every few.

It goes on from FOLDER/checkpoint.json, replaces that and FOLDER/progress in one step, and adds a line to FOLDER/starts for every start.
"""

import json
import os
import sys
import time
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Write a file in one step; two processes may do so at once."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


def main(folder: Path, steps: int, seconds: float, every: int) -> None:
    """Train."""
    checkpoint = folder / "checkpoint.json"
    step = json.loads(checkpoint.read_text())["step"] if checkpoint.exists() else 0
    with (folder / "starts").open("a") as starts:
        starts.write(f"{os.getpid()} {step}\n")
    while step < steps:
        time.sleep(seconds)
        step += 1
        if step % every == 0 or step == steps:
            replace(checkpoint, json.dumps({"step": step}))
            replace(folder / "progress", repr(step / steps))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
