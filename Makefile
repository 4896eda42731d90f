# Everything sets itself up: a virtual environment in .venv, installed from constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Tests start many processes that import Talkoot, also where the environment forbids to store it compiled.
export PYTHONDONTWRITEBYTECODE =
# Half of the time of the tests is waiting, so more of them than cores run at once; each has one core for its sums.
BESIDE ?= 4
PYTEST = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(BESIDE) --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help demo check quick test test-all lint types docs bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 14

demo: .venv/base ## six lenders learn together on this machine; ends with a report to open
	@$(BIN)/talkoot demo

check: .venv/dev ## for whoever edits: lint, types and the quick tests of what runs without engines, two minutes
	@$(MAKE) --no-print-directory -j3 lint types quick

quick: BESIDE = 2 # they hardly wait, and each process imports all libraries
quick: .venv/dev
	@$(PYTEST) -m "not slow and not wide" --hypothesis-profile few tests/test_structure.py $(addprefix tests/,core guards data learners watch) \
		--ignore tests/learners/deep

test: .venv/dev ## lint, types, docs and tests, a quarter of an hour on 2 cores
	@$(MAKE) --no-print-directory -j2 lint types docs
	@$(PYTEST) -m "not slow"

test-all: .venv/dev ## the same with the long checks: memory of big files, killed parents, new examples of the laws
	@$(MAKE) --no-print-directory -j2 lint types docs
	@$(PYTEST) --hypothesis-profile new

lint: .venv/dev ## style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/dev ## static types
	@$(BIN)/mypy

docs: .venv/dev ## the documentation, into site/; fails on a broken link or a name without a page
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: .venv/bench ## Talkoot beside its peers, an hour on a quiet machine, into benchmarks/results/
	@$(BIN)/python benchmarks/classical.py
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/deep.py
	@$(BIN)/python benchmarks/slow_link.py
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/secure_sum.py
	@$(BIN)/python benchmarks/transformer.py

clean: ## remove what was set up
	rm -rf .venv site runs .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/base: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Setting up .venv (a minute or two, once)..."
	@$(PIP) -e .
	@touch $@

.venv/dev: .venv/base
	@$(PIP) -e '.[test,lint,docs,torch,ray,federation,sql,redis,kafka]'
	@touch $@

.venv/bench: .venv/dev
	@$(PIP) -e '.[bench]'
	@touch $@
