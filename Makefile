# The two that matter: `make demo` and `make test`. Everything else is for people who change mcml.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   ?= mcml-demo
JOBS   ?= 4

.PHONY: demo test test-fast lint bench docs lock clean install help

help:
	@echo "make demo | test | test-fast | lint | bench | docs | lock | clean"

install: $(READY)

$(READY): requirements.lock pyproject.toml CHANGELOG.md
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mcml needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies into $(VENV) (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)
	@$(BIN)/mcml demo --folder $(DEMO)

# Thousands of these tests run real processes against real clocks; one that needs a second try does not fail the run,
# but is named at its end (RERUN): it is a defect, of the test or of mcml, and to be mended.
test: $(READY)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal --reruns 1 -r aR

test-fast: $(READY)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal -m "not slow and not cloud"

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(READY)
	@$(BIN)/python -m tests.bench

# README tables, help texts and completions that are made from the code; the tests fail when they are stale
docs: $(READY)
	@$(BIN)/python -m tests.house.generate

lock: $(READY)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock

clean:
	@rm -rf $(VENV) .bench .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
