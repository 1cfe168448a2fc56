# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tools of the venv start each other by name (ansible-lint → ansible-config); sbin: ip, kea-dhcp4, kamailio.
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin:/sbin
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: packages $(VENV)/.ready ## Install what the rest needs: .venv from the locks, Debian packages (as root)

packages:
	@tools/debian-packages

$(VENV)/.ready: requirements/dev.txt service/pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}. Say: make PYTHON=python3.11 …")'
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation --editable service
	@touch $@

wheelhouse: $(VENV)/.ready ## Fetch the wheels an appliance without internet needs, into build/wheelhouse
	@$(BIN)/python -m tools.wheelhouse build/wheelhouse

demo: setup wheelhouse ## A whole site in network namespaces: DHCP, provisioning, phones that register (root)
	@$(BIN)/python -m demo

test: setup wheelhouse ## All tests that pass on this machine; says loudly what was skipped, and why
	@$(BIN)/python -m tools.run_tests

test-unit: $(VENV)/.ready ## The quick tests only: no root, no network
	@$(BIN)/python -m pytest -n auto tests/unit

molecule: setup wheelhouse ## One Molecule command by hand: make molecule DO="converge" (or login, verify, destroy …)
	@MOLECULE_GLOB='molecule/*/molecule.yml' $(BIN)/molecule $(or $(DO),test)

test-long: setup wheelhouse ## The proofs in full, minutes rather than seconds: races, kills, failovers, and what was counted
	@$(BIN)/python -m tools.run_tests long-proofs long-integration

lint: setup build ## Every gate: ruff, mypy, ansible-lint, ansible-test sanity, docs, changelog, licences
	@$(BIN)/python -m tools.gates

build: $(VENV)/.ready ## The collection's tarball, into build/
	@mkdir -p build
	@$(BIN)/ansible-galaxy collection build --force --output-path build

bench: setup wheelhouse ## Measure everything beside a peer or a physical limit; ONLY="firmware claims" measures less
	@PYTHONPATH=collections $(BIN)/python -m tests.bench $(ONLY)

lock: ## Write the locks in requirements/ anew (needs uv); OPTIONS=--upgrade for newer versions
	@requirements/lock $(OPTIONS)

clean: ## Remove everything that was made here
	rm -rf .venv .cache build .ansible .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help setup packages wheelhouse demo test test-unit molecule test-long lint build bench lock clean
