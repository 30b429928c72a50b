"""argv in, exit code out: one thin file per word typed after `mcml`; this room parses, calls another room and shows what it returns."""
