"""How much memory a process has used at most; for tests that promise constant memory."""

from pathlib import Path


def peak_bytes() -> int:
    """Return the largest resident size this process has had since it was executed (Linux).

    `getrusage` is no use in a child process: its `ru_maxrss` begins with that of the process that forked it.
    """
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
