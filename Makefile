# Studio. `make help` lists what there is; everything runs in .venv, which the first target builds.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PLUGINS := $(sort $(dir $(wildcard plugins/*/pyproject.toml plugins/providers/*/pyproject.toml)))
EDITABLE := -e '.[motor]' $(foreach plugin,$(PLUGINS),-e '$(plugin)[embedded,media]')
CHANGED = $$(git diff --name-only --diff-filter=d $(1) -- '*.py')

.PHONY: help setup demo run dev start build lint fix format format-staged format-changed check test coverage test-watch test-peers test-conformance test-mutants test-schemathesis bench constraints clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "Studio needs Python 3.11, 3.12 or 3.13 and found %d.%d. Name one: make PYTHON=python3.12" % v)'
	@echo "Making .venv and installing into it, once"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(STAMP): $(BIN)/uv pyproject.toml constraints.txt $(addsuffix pyproject.toml,$(PLUGINS))
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt $(EDITABLE) --group dev 2> >(grep -v 'does not have an extra' >&2)
	@touch $@

setup: $(STAMP)  ## Install everything and the git hooks
	@if git rev-parse --git-dir >/dev/null 2>&1; then $(BIN)/lefthook install; fi

demo: $(STAMP)  ## Make a film from the example story; the files land in out/
	@$(BIN)/studio demo

run: $(STAMP)  ## Start the server and its console on http://localhost:8081
	@$(BIN)/studio serve

dev: $(STAMP)  ## Start the server and restart it when a file changes
	@$(BIN)/watchfiles --filter python '$(BIN)/studio serve' studio plugins

start: $(STAMP)  ## Start the server with the production configuration
	@STUDIO_ENV=production $(BIN)/studio serve

build: $(STAMP)  ## Build every distribution into dist/
	@$(BIN)/uv build --quiet --all-packages --wheel --out-dir dist

lint: $(STAMP)  ## Look for faults; writes nothing
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy studio $(foreach plugin,$(PLUGINS),$(plugin))

fix: $(STAMP)  ## Mend what can be mended by itself, then format
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

format: $(STAMP)  ## Format everything
	@$(BIN)/ruff format .

format-staged: $(STAMP)  ## Check and format what is staged
	@files="$(call CHANGED,--cached)"; [ -z "$$files" ] || { $(BIN)/ruff check --fix $$files && $(BIN)/ruff format $$files; }

format-changed: $(STAMP)  ## Check and format what differs from main
	@files="$(call CHANGED,main)"; [ -z "$$files" ] || { $(BIN)/ruff check --fix $$files && $(BIN)/ruff format $$files; }

check: lint test  ## Everything that must be green before a commit

test: $(STAMP)  ## Run the tests
	@$(BIN)/pytest -q -n 2 --dist loadfile -m 'not peer' $(ARGS)

coverage: $(STAMP)  ## Run the tests and count the lines that ran, in out/coverage.json and on the terminal
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --group coverage
	@$(BIN)/pytest -q -n 2 --dist loadfile -m 'not peer' --cov --cov-report=json:out/coverage.json --cov-report=term:skip-covered $(ARGS)

test-watch: $(STAMP)  ## Run the tests whenever a file changes
	@$(BIN)/watchfiles --filter python '$(BIN)/pytest -q -x -m "not peer"' studio plugins tests

test-peers: $(STAMP)  ## Run the tests against real third-party software (installs what they need)
	@tests/peers/install && $(BIN)/pytest -q -m peer tests plugins

test-conformance: $(STAMP)  ## Print which promise each provider keeps; what cannot exist for one says why
	@$(BIN)/pytest -q -r f -p studio.testing.conformance_table tests/testing_kit $(wildcard plugins/*/tests/test_conformance.py plugins/providers/*/tests/test_conformance.py) $(ARGS)

test-mutants: $(STAMP)  ## Remove each guard in a copy and see that a test notices (ARGS='--only NAME')
	@$(BIN)/python tests/mutants/run.py $(ARGS)

test-schemathesis: $(STAMP)  ## Call the whole API with what Schemathesis makes up (CALLS=10000)
	@SCHEMATHESIS_CALLS=$(or $(CALLS),10000) $(BIN)/pytest -q -s -m peer tests/peers/test_schemathesis.py

bench: $(STAMP)  ## Measure against bare aiohttp and FastAPI in one run
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --group bench
	@$(BIN)/python bench/run.py $(ARGS)

constraints: $(STAMP)  ## Pin every dependency anew
	@$(BIN)/uv lock --quiet --upgrade && $(BIN)/uv export --quiet --all-packages --all-extras --all-groups --no-hashes --no-emit-workspace --no-annotate --no-header > constraints.txt

clean:  ## Remove what was built, made and measured (not the data in .studio)
	@rm -rf .venv dist build out .mypy_cache .ruff_cache .pytest_cache
