# faafo-lab: `make` alone lists what there is to do.
SHELL := bash
PYTHON ?= $(firstword $(wildcard $(addsuffix /python3.11,$(subst :, ,$(PATH)))) python3)
VENV := .venv
BIN := $(VENV)/bin
# Modules, not console scripts: where the checkout's path has blanks or a dollar sign, pip writes scripts that can't run.
UV := $(BIN)/python -m uv
STAMP := $(VENV)/.installed
DEVELOP := $(VENV)/.develop
# The lab's state (its embedded cloud, its key pair) is in the checkout, not in your home.
export FAAFO_LAB_HOME ?= $(CURDIR)/.faafo-lab
# In a container you may have no home, or one that you may not write to (docker run --user).
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export HOME := $(FAAFO_LAB_HOME)
endif
# Instances are many small processes: without Python's bytecode files each would take three times as long to start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install develop run lab test bench interop coverage notebooks lint lock clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Install the packages of the first prerequisite, a lock file: uv takes seconds, pip a minute.
define install_locked
@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[0-9.]*' requirements.lock)"
@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r $<
endef

install: $(STAMP)  ## set up the virtual environment alone (.venv, locked versions)

$(STAMP): binder/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"faafo-lab needs Python 3.11 or newer and found {v[0]}.{v[1]}: install it, or name one with make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python has no venv module: install it (Debian and Ubuntu: apt install python3-venv), then run make again."; exit 1; }
	@echo "Setting up $(VENV) (a minute or so the first time) …"
	@$(PYTHON) -m venv $(VENV)
	$(install_locked)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python -m pip uninstall --quiet --yes uv
	@touch $@

develop: $(DEVELOP)  ## add the tools for tests, lint, benchmarks and stored notebooks

$(DEVELOP): requirements.lock $(STAMP)
	@echo "Adding the developer's tools to $(VENV) …"
	$(install_locked)
	@touch $@

run: install  ## the workbook's scaling-out on the embedded cloud, through each library (one: make run BACKENDS=shade)
	@$(BIN)/python -m faafo_lab.workbook run $(BACKENDS)

lab: install  ## open JupyterLab on your copies of the chapters
	@$(BIN)/python -m faafo_lab.workbook lab

test: develop  ## every test (some: make test ARGS="tests/app -k worker")
	@$(BIN)/python -m tests $(ARGS)

bench: develop  ## measure: a table, and build/bench.json (PARTS="scaling …": those parts alone)
	@$(BIN)/python benchmarks/bench.py $(PARTS)

interop: develop  ## suites that others wrote, on an embedded cloud (SUITES="tempest rclone"; some tests: ARGS=text, LIST=FILE)
	@$(BIN)/python -m interop $(addprefix --suite ,$(SUITES)) $(if $(LIST),--list $(LIST)) $(ARGS)

coverage: install  ## write what the embedded cloud implements to its COVERAGE.md
	@$(BIN)/python -m faafo_lab.cloud.emulator.coverage

notebooks: develop  ## run every notebook again and store its outputs
	@$(BIN)/python -m faafo_lab.workbook store

lint: develop  ## ruff and mypy (strict)
	@$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check . && $(BIN)/python -m mypy

lock: develop  ## update the locked versions (do not edit them by hand)
	@$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml --output-file requirements.lock
	@$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --constraint requirements.lock pyproject.toml --output-file binder/requirements.txt
	@$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --constraint requirements.lock --group app --output-file faafo_lab/app/requirements.txt
	@for each in interop/suites/*/requirements.in; do $(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header "$$each" --output-file "$${each%.in}.txt" || exit; done

clean:  ## stop the lab's embedded cloud and remove everything that make created, except your copies of the chapters
	@if [ -e $(STAMP) ]; then $(BIN)/python -m faafo_lab.cli cloud stop || true; fi
	rm -rf $(VENV) build *.egg-info
	@if [ -d .faafo-lab ]; then find .faafo-lab -mindepth 1 -maxdepth 1 ! -name workbook -exec rm -rf {} +; fi
	@rmdir .faafo-lab 2>/dev/null || [ ! -d .faafo-lab ] || echo "Your copies of the chapters are kept: .faafo-lab/workbook"
