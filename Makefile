# petro_models: `make help` lists the tasks.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A Python of 3.12 or later: name one with PYTHON=..., else the first found; uv serves where none is.
PYTHON ?= $(shell for p in python3.12 python3.13 python3.14 python3; do \
	if $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; \
	then command -v $$p; break; fi; done)
# Some test files compile many programs: a worker a core pays, more do not. A file stays with one.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: help setup demo test test-slow lint types unit notebooks bench bench-gpu clean

help:  ## list the tasks
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## make .venv with the pinned dependencies and the package

$(STAMP): pyproject.toml constraints.txt
	@if [ -n "$(PYTHON)" ]; then \
		[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV); \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check \
			--constraint constraints.txt --editable '.[dev]'; \
	elif command -v uv >/dev/null; then \
		[ -x $(BIN)/python ] || uv venv --quiet --python 3.12 $(VENV); \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; \
	else \
		echo "petro_models needs Python 3.12 or later, or uv, on the PATH" >&2; exit 1; \
	fi
	@touch $(STAMP)

demo: $(STAMP)  ## fit bundled and simulated data, write the reports to out/demo
	@$(BIN)/petro-models demo --out out/demo

test: lint types notebooks unit  ## lint, types, notebooks and tests but for the slow ones

lint: $(STAMP)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy
	$(BIN)/mypy

unit: $(STAMP)  ## the tests, all but the slow ones
	$(PYTEST) -m 'not slow'

test-slow: $(STAMP)  ## the slow tests: long recoveries and real maps
	$(PYTEST) -m slow

notebooks: $(STAMP)  ## run every notebook from top to bottom
	$(BIN)/python notebooks/run.py --check

bench: $(STAMP)  ## the benchmarks: speed against peers, cost against size, calibration
	$(BIN)/python benchmarks/mass_transfer.py
	$(BIN)/python benchmarks/calibration_mass_transfer.py
	$(BIN)/python benchmarks/phase_maps.py
	$(BIN)/python benchmarks/calibration_phase_maps.py
	$(BIN)/python benchmarks/histories.py
	$(BIN)/python benchmarks/scale.py

bench-gpu: $(STAMP)  ## the same numbers on a GPU and on the CPU: agreement and times
	$(BIN)/python benchmarks/gpu.py

clean:  ## remove what make made
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache
