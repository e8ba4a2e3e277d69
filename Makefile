# setup       everything needed to run and test       setup-dev  also docs, oracles, browsers
# run         the main job: embedded model and facts, result in runs/quickstart
# test        all quick tests                         test-all   also the embedded model and the kill storm
# Each target sets up what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/quickstart

.PHONY: setup setup-dev run test test-embedded test-long test-all lint format clean-run

setup: $(VENV)/.setup

$(VENV)/.setup: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

setup-dev: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,dev]'

run: setup
	$(BIN)/sixtyfold run --out $(OUT)

test: setup lint
	$(BIN)/python -m pytest -q -m "not embedded and not long"

lint: setup
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

test-embedded: setup
	$(BIN)/python -m pytest -q -m embedded

test-long: setup
	$(BIN)/python -m pytest -q -m long

test-all: test test-embedded test-long

clean-run:
	rm -rf $(OUT)
