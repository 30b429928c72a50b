"""`python -m mcml` is `mcml`."""

from mcml.cli.main import run

run()
