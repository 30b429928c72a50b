"""The whole of mcml on one machine: `mcml` commands as child processes, nothing else; what it runs is what a person can type."""
