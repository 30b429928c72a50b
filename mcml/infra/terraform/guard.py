"""Started between mcml and Terraform: when mcml dies, however it dies, Terraform gets one SIGINT and saves its state.

`python -S -E guard.py ARGV...` runs the argv with our stdout and stderr, hands on every SIGINT and SIGTERM as one SIGINT, and ends with its
exit code. Its stdin is a pipe that mcml holds open: the end of it means that mcml is gone. (A parent-death signal of the kernel would
come once for each thread of mcml, and on a second SIGINT Terraform gives up at once.) It imports nothing of the house: it starts in
milliseconds, once a run.
"""

import os
import select
import signal
import sys
from types import FrameType

CANNOT_START = 127
"""As a shell says it."""


class Guard:
    """Watches one program."""

    def __init__(self) -> None:
        self.child = 0
        self.asked = False
        self.wake, waker = os.pipe()
        for end in (self.wake, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.interrupt)

    def interrupt(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Send SIGINT to the program, or remember to when it has not started."""
        self.asked = True
        if self.child:
            os.kill(self.child, signal.SIGINT)

    def run(self, argv: list[str]) -> int:
        """Run a program to its end; return its exit code, 128 + the number of the signal that killed it, or CANNOT_START."""
        try:
            self.child = os.posix_spawn(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)])
        except OSError as failed:
            sys.stderr.write(f"cannot start {argv[0]}: {failed}\n")
            return CANNOT_START
        if self.asked:
            self.interrupt()
        code = self._wait()
        return code if code >= 0 else 128 - code

    def _wait(self) -> int:
        mcml = sys.stdin.fileno()
        watched = [mcml, self.wake]
        while True:
            ready = select.select(watched, [], [])[0]
            ended, status = os.waitpid(self.child, os.WNOHANG)
            if ended:
                self.child = 0
                return os.waitstatus_to_exitcode(status)
            if self.wake in ready:
                os.read(self.wake, 512)
            if mcml in ready and not os.read(mcml, 512):
                watched = [self.wake]
                self.interrupt()


if __name__ == "__main__":
    raise SystemExit(Guard().run(sys.argv[1:]))
