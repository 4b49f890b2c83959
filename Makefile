# `make` alone lists the targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-loop check check-assets bench bench-serving clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(VENV)/.run ## run the main job on real flights, end to end; ARGS=--exit or --keep to say what then
	$(BIN)/ml-platform demo $(ARGS)

dev: $(VENV)/.run ## open Dagster's UI and MLflow's on what is there; Ctrl-C ends
	$(BIN)/ml-platform up

test: $(VENV)/.dev debian ## run all tests but those of the closed loop over days
	$(BIN)/python -m pytest -m "not loop"

test-loop: $(VENV)/.dev ## run those: live deployments, processes that are killed, broken data, a replay
	$(BIN)/python -m pytest -m loop

check: $(VENV)/.dev ## lint, types, architecture, declarations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/dg check yaml
	$(BIN)/dg check defs
	$(BIN)/dg list defs > /dev/null
	$(BIN)/dagster definitions validate -w workspace.yaml

check-assets: $(VENV)/.dev ## make a small lake of real days and evaluate the asset checks over it
	rm -rf build/lake-home
	ML_PLATFORM_HOME=build/lake-home $(BIN)/python -m ml_platform_tests.fixture_lake
	ML_PLATFORM_HOME=build/lake-home $(BIN)/ml-platform check-assets --junit build/asset-checks.xml

bench: $(VENV)/.dev ## measure: every figure against a peer or a limit in the same run
	$(BIN)/python -m benchmarks.model_quality
	$(BIN)/python -m benchmarks.lake_and_features

bench-serving: $(VENV)/.dev ## measure the scoring server against others; needs wrk and what make demo made
	$(BIN)/python -m benchmarks.serving $(ARGS)

clean: ## remove the environment and everything that was made
	rm -rf $(VENV) .ml_platform *.egg-info

# The environment in two steps: what runs, and what develops. A stamp says that a step is done for these files.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable '.[dev]'
	touch $@

# What the tests need and no Python package carries: a browser for the UI's, a Redis for the online store's.
.PHONY: debian
debian:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || $(INSTALL) PACKAGE=chromium
	@command -v redis-server >/dev/null || $(INSTALL) PACKAGE=redis-server

INSTALL = $(MAKE) --no-print-directory install

.PHONY: install
install:
	$(if $(filter 0,$(shell id -u)),,sudo) sh -c 'apt-get update -q && apt-get install -q -y --no-install-recommends $(PACKAGE)'
