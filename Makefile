# The two commands of the README are `make demo` and `make test`; each sets up all that it needs.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

LAYERCACHE_LAB ?= $(CURDIR)/.lab
export LAYERCACHE_LAB
# Go, where this machine has none, comes from the lab.
export PATH := $(PATH):$(LAYERCACHE_LAB)/bin

# What pip reads from the environment about indexes and certificates is the machine's business and stays;
# what would send packages somewhere else than into our environments, or refuse an editable project, goes.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_HASHES PIP_CONSTRAINT PIP_REQUIREMENT PIP_EDITABLE \
	PIP_NO_DEPS PIP_NO_BINARY PIP_ONLY_BINARY PIP_DRY_RUN PIP_IGNORE_INSTALLED PIP_NO_BUILD_ISOLATION PIP_PYTHON \
	PIP_REQUIRE_VIRTUALENV PYTHONHOME PYTHONPATH

# Where Python may not keep what it compiled, each of the thousands of `layercache` that the tests start compiles anew.
unexport PYTHONDONTWRITEBYTECODE

# The lab's set-up waits for the network and the disk while linters compute.
MAKEFLAGS += --jobs=2

python := .venv/bin/python
pytest := $(python) -m pytest
WORKERS ?= auto
parallel := --numprocesses $(WORKERS) --dist worksteal

.PHONY: help
help:
	@echo 'make demo       watch a cold, an emptied, a warm and a changed build of a real application'
	@echo 'make test       lint, types and tests with real engines (at most an hour on 2 cores)'
	@echo 'make test-all   the same with every row of the scenario suite on every engine'
	@echo 'make test-unit  what needs nothing but Python, in seconds'
	@echo 'make lint       ruff, mypy, import-linter, shellcheck, actionlint, zizmor'
	@echo 'make bench      measure, and write the table of docs/performance.md'

.venv/.stamp: requirements/dev.txt pyproject.toml tests/lab/venv
	tests/lab/venv

.PHONY: lab
lab: .venv/.stamp
	$(python) -m tests.lab.install

.PHONY: lint
lint: .venv/.stamp
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/shellcheck tests/lab/venv tests/lab/in-root tests/lab/own-blobs tests/e2e/action/empty-engine .ci/run
	$(python) -m tests.lab.install linters
	actionlint -shellcheck .venv/bin/shellcheck
	.venv/bin/zizmor --quiet --offline .

.PHONY: demo
demo: .venv/.stamp
	$(python) -m tests.lab.demo

.PHONY: test-unit
test-unit: .venv/.stamp
	$(pytest) tests/unit

.PHONY: test
test: lab lint
	$(pytest) $(parallel)

.PHONY: test-all
test-all: lab lint
	$(pytest) $(parallel) --all-rows

.PHONY: bench
bench: lab
	$(python) -m benchmarks.bench
