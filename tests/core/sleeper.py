"""A program for the process tests: it says that it is ready (by making a file), then sleeps as it is told to.

    python sleeper.py READY [stubborn] [child] [stubborn-child] [go]

stubborn: ignores SIGTERM; child: has a child that sleeps too (stubborn-child: and ignores SIGTERM); READY gets all pids; go: ends at once
after that.
"""

import os
import signal
import sys
import time
from pathlib import Path


def _child(*, stubborn: bool) -> int:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else signal.SIG_DFL)
        time.sleep(60)
        os._exit(0)
    return pid


def main() -> None:
    ready, words = Path(sys.argv[1]), sys.argv[2:]
    print("sleeping", flush=True)
    pids = [os.getpid()]
    if "child" in words or "stubborn-child" in words:
        pids.append(_child(stubborn="stubborn-child" in words))
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(0.05)  # the child has set its signals too
    ready.with_suffix(".part").write_text(" ".join(map(str, pids)))
    ready.with_suffix(".part").rename(ready)
    if "go" not in words:
        time.sleep(60)


if __name__ == "__main__":
    main()
