# Each target sets up what it needs in $(VENV). See `make help`.

VENV ?= .venv
ARGS ?=
# pytest-xdist: one process for each of two cores; each starts a server of its own.
WORKERS ?= 2
# Which tests `make test-all` selects, as a pytest marker expression; empty: all of them.
MARKERS ?=

PIP := $(VENV)/bin/python -m pip --disable-pip-version-check -qq
PYTEST := $(VENV)/bin/python -m pytest --no-header
# The tape of the demo. Its dependencies are not wanted and no extra can say so.
TAPE := mlfinpy==0.1.2
# What builds the package, also an editable one.
BACKEND := "hatchling>=1.25,<2" editables
# The versions of all that is installed; `make lock` writes it.
LOCK := requirements-dev.lock

# What `make setup` has installed is enough for the demo.
DEMO_STAMP := $(if $(wildcard $(VENV)/.stamp-dev),$(VENV)/.stamp-dev,$(VENV)/.stamp-demo)

.DEFAULT_GOAL := help
.PHONY: help setup quick test test-all lint types bench bench-large bench-peers docs docs-site demo goldens wheelhouse lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '%-18s %s\n' "$$target" "$$text"; done

# The last file that the making of an environment writes.
$(VENV)/bin/pip:
	@python="$$(PYTHON='$(PYTHON)' tools/find-python)" && echo "$(VENV): $$("$$python" -V)" && "$$python" -m venv $(VENV)
	@echo '*' > $(VENV)/.gitignore

# Modules are compiled when they are first imported: most never are, and to compile them all takes 30 s.
$(VENV)/.stamp-dev: pyproject.toml $(LOCK) | $(VENV)/bin/pip
	@echo "$(VENV): installing the project and its tools"
	@$(PIP) install --no-compile --require-hashes --requirement $(LOCK)
	@$(PIP) install --no-deps --editable .
	@$(PIP) install --no-deps $(TAPE)
	@touch $@

$(VENV)/.stamp-demo: pyproject.toml | $(VENV)/bin/pip
	@echo "$(VENV): installing the project and the demo's tape"
	@$(PIP) install --editable '.[demo,ui]'
	@$(PIP) install --no-deps $(TAPE)
	@touch $@

$(VENV)/.stamp-peers: $(VENV)/.stamp-dev
	@echo "$(VENV): installing the peers of the benchmarks"
	@$(PIP) install --editable '.[peers]'
	@touch $@

setup: $(VENV)/.stamp-dev ## the virtual environment, with everything a developer needs

quick: $(VENV)/.stamp-dev ## in under a minute: unit tests, the contract in memory, the rules of this project
	@$(VENV)/bin/python -m tools.lint
	@HYPOTHESIS_PROFILE=default $(PYTEST) -q -n $(WORKERS) -m "not full and not server" tests/unit tests/contract $(ARGS)

test: $(VENV)/.stamp-dev ## every test once, at small sizes
	@HYPOTHESIS_PROFILE=default $(PYTEST) -n $(WORKERS) -m "not full" $(ARGS)

test-all: $(VENV)/.stamp-dev ## the full sizes and more random examples too
	@HYPOTHESIS_PROFILE=full $(PYTEST) -n $(WORKERS) -m "$(MARKERS)" $(ARGS)

lint: $(VENV)/.stamp-dev ## ruff: rules and format; the rules of this project (tools/lint)
	@$(VENV)/bin/ruff check --output-format concise .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/python -m tools.lint

types: $(VENV)/.stamp-dev ## mypy --strict
	@$(VENV)/bin/mypy

bench: $(VENV)/.stamp-dev ## the store beside the limits of the machine; ARGS=--quick: under a minute
	@$(VENV)/bin/python -m benchmarks $(ARGS)

bench-large: $(VENV)/.stamp-dev ## the same figures as the log grows to 20 million events: needs 20 GB
	@$(VENV)/bin/python -m benchmarks --large $(ARGS)

bench-peers: $(VENV)/.stamp-peers ## our writers beside those of other event stores in Python
	@$(VENV)/bin/python -m benchmarks.peers $(ARGS)

docs: $(VENV)/.stamp-dev ## run every snippet of the README and the documentation
	@$(PYTEST) tests/docs $(ARGS)

docs-site: $(VENV)/.stamp-dev ## the documentation as a site, with the API reference: build/site
	@$(VENV)/bin/python -m tools.site

demo: $(DEMO_STAMP) ## a real tape of trades through the whole store
	@$(VENV)/bin/eventstore demo --report build/demo/tear_sheet.html $(ARGS)

goldens: $(VENV)/.stamp-dev ## write the statements that templates make, for a review to see what changed
	@$(VENV)/bin/python -m tools.statements

wheelhouse: | $(VENV)/bin/pip ## all that `make demo` and `make setup` install, in build/wheelhouse, for machines without PyPI
	@$(PIP) download --dest build/wheelhouse --require-hashes --requirement $(LOCK)
	@$(PIP) download --dest build/wheelhouse --no-deps $(TAPE)
	@$(PIP) download --dest build/wheelhouse $(BACKEND)

lock: ## write requirements-dev.lock as pyproject.toml says; ARGS=--upgrade: with the newest versions
	@tools/lock $(ARGS)

clean: ## remove what the other targets made
	@rm -rf $(VENV) .venv-newest build dist .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
