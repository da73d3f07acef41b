# Needs GNU make, bash and Python 3.11 or newer with its venv module; everything else is set up in .venv
# the first time, and again when pyproject.toml changes.  Nothing outside this folder is written.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PRECIOUS: .venv-%/.installed
.PHONY: help demo test lint types tests others docs mutants bench bench-guard clean

# Test processes at a time, and the versions to test on, where the machine has them.
WORKERS ?= 2
VERSIONS ?= 3.11 3.12 3.13
# Which python makes .venv: python3 if it will do, else the newest that does; or the one you name, after "make clean":
# make test PYTHON=python3.13
PYTHON ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# The library is compiled once, not by each of the many commands that the tests start.
unexport PYTHONDONTWRITEBYTECODE

bin := .venv/bin
pytest = -m pytest -n $(WORKERS) --dist worksteal

# What a python must be able to do here.  Run, not only found: a version manager's shim may exist and fail.
usable := import sys, venv, ensurepip; sys.exit(1) if sys.version_info < (3, 11) else print(sys.executable)
# $(call find,NAMES): the first of these commands that will do, or nothing.
find = $(shell for p in $(1); do "$$p" -c '$(usable)' 2>/dev/null && break; done)
# python3.X by name, or where pyenv keeps it without showing it on PATH.
pyenv := $${PYENV_ROOT:-$${HOME:-/}/.pyenv}
named = python$(1) "$(pyenv)"/versions/$(1).*/bin/python$(1)
newest_first = $(foreach v,$(shell printf '%s\n' $(VERSIONS) | sort -rV),$(call named,$(v)))

# $(call make_venv,DIRECTORY,COMMANDS): an environment with this package, editable, and its tools.
define make_venv
@$(1)/bin/python -c 'import pip' 2>/dev/null || { \
  python='$(call find,$(2))'; \
  if [ -z "$$python" ]; then \
    echo 'setproto needs Python 3.11 or newer with venv and ensurepip (on Debian: apt-get install python3-venv)' >&2; \
    exit 1; \
  fi; \
  echo "setting up $(1) with $$python"; \
  "$$python" -m venv --clear $(1); \
}
@$(1)/bin/python -m pip install -q -e '.[dev]'
@touch $(1)/.installed
endef

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s  %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed ## one purchase in one process: keys, certificates, order, payment, and what each party saw
	@$(bin)/setproto demo

test: lint types tests others ## all that CI runs: lint, types, every test, then the quick tests on other Pythons

lint: .venv/.installed ## ruff: rules and format
	@$(bin)/ruff check
	@$(bin)/ruff format --check

types: .venv/.installed ## mypy, strict, over all packages
	@$(bin)/mypy

tests: .venv/.installed ## every test, on the Python of .venv
	@$(bin)/python $(pytest)

# The Pythons of VERSIONS that this machine has, but for the one in .venv.
other = $(filter-out $(shell $(bin)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'),$(VERSIONS))
found = $(strip $(foreach v,$(other),$(if $(call find,$(call named,$(v))),$(v))))
others: .venv/.installed
	@+found='$(found)'; for v in $$found; do $(MAKE) --no-print-directory tests-$$v; done

tests-%: .venv-%/.installed
	@echo "the quick tests on Python $*"
	@.venv-$*/bin/python $(pytest) -m 'not slow'

docs: .venv/.installed ## write docs/properties.md and docs/states.md from the tests and the transition tables
	@$(bin)/python -m tests.properties_document
	@$(bin)/python -m tests.states_document

mutants: .venv/.installed ## take each check out of the library, run the vectors, and write docs/mutants.md
	@$(bin)/python -m tests.mutation

bench: .venv/.installed ## measure everything and write benchmarks/report and the table in README.md: ten minutes, in quiet
	@$(bin)/setproto bench all --json benchmarks/report/report.json
	@$(bin)/python -m benchmarks.publish

# Against the committed report, by ratios to the raw cryptography, with room for another machine: what it finds is gross.
# Not part of "make test": a test must not fail because the machine is busy.
MARGIN ?= 1.5
bench-guard: .venv/.installed ## status 1 if a signature or a purchase has become much slower than in the committed report
	@mkdir -p build
	@for subject in signatures purchase; do \
	  $(bin)/setproto bench $$subject --quick --json build/guard-$$subject.json > build/guard-$$subject.txt; \
	  $(bin)/setproto bench compare benchmarks/report/report.json build/guard-$$subject.json --fail-above $(MARGIN); \
	done

clean: ## remove the environments, the caches, and what builds and the demo wrote
	rm -rf .venv .venv-* build dist demo *.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml
	$(call make_venv,.venv,$(or $(PYTHON),python3 $(newest_first)))

.venv-%/.installed: pyproject.toml
	$(call make_venv,.venv-$*,$(call named,$*))
