# Needs python3 (>= 3.11) with pip, and make. Everything else is installed into .venv on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help env demo test test-all lint format bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(READY) ## make .venv and install neq into it (done by the other targets when needed)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "neq needs python 3.11 or later, found " + sys.version.split()[0] + "; name one: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' --constraint constraints.txt
	@touch $@

demo: $(READY) ## run the demo: figures, report and dataset in results/demo
	$(BIN)/neq run configs/demo.yaml

test: $(READY) ## run the test suite and print its slowest tests
	$(BIN)/python -m pytest

test-all: $(READY) ## run all tests, those that take minutes too, but not those that fetch gigabytes
	$(BIN)/python -m pytest -m "not network"

lint: $(READY) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## mend what can be mended of style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## run the benchmarks, one after another; not chaos.py, which needs a SLURM to break, and half an hour
	@set -e; for script in $(filter-out benchmarks/chaos.py benchmarks/allen_session.py,$(wildcard benchmarks/[a-z]*.py)); do echo "== $$script"; $(BIN)/python -m benchmarks.$$(basename $$script .py); done

clean: ## remove .venv and caches; results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
