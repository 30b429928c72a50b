"""Exit codes of every command; `mcml help exit-codes` prints this table and one test pins each line."""

DONE = 0
FAILED = 1
USAGE = 2
DIFFERENCES = 3
NOT_AUTHENTICATED = 4
NOT_FOUND = 5
PROVIDER_CANNOT = 6
PARTLY_DONE = 7
STILL_RUNNING = 8
BUG = 70
INTERRUPTED = 130

MEANING = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "wrong usage: a flag, an argument, or a question nobody could answer",
    DIFFERENCES: "differences found (only with --detailed-exitcode)",
    NOT_AUTHENTICATED: "not authenticated",
    NOT_FOUND: "not found",
    PROVIDER_CANNOT: "the provider cannot do this",
    PARTLY_DONE: "partly done: run the same command again to continue",
    STILL_RUNNING: "still running when --timeout ran out",
    BUG: "a bug in mcml",
    INTERRUPTED: "interrupted",
}
