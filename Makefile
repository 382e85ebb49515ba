# Everything that one does here; `make` alone lists it. It needs make and Python 3.11, nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PEERS  := $(VENV)/.peers
ARGS   ?=
QUICK  ?=
WORKERS ?= 3
MIDDLE ?=

DEMO := $(BIN)/python -m consumers.demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast check lint types imports format guards bench profile torture services clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## run the reference application (BROKER=rabbitmq: over a private RabbitMQ)
ifeq ($(BROKER),)
	@$(DEMO) $(ARGS)
else ifeq ($(BROKER),rabbitmq)
	@$(BIN)/python -m tests.support.servers run --only rabbitmq -- $(DEMO) $(ARGS)
else
	@echo "BROKER=$(BROKER) is not known; leave it out, or say BROKER=rabbitmq" >&2; exit 2
endif

test: $(STAMP) ## run all tests, on servers of their own (ARGS='tests/store -x')
	@$(BIN)/python -m tests.support.servers install
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(STAMP) ## run the tests that need no server
	@$(BIN)/pytest -m "not postgres and not rabbitmq" $(ARGS)

check: lint types imports ## lint, types and imports: what CI runs before the tests

lint: $(STAMP) ## look for faults and for code out of format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(STAMP) ## check the types
	@$(BIN)/mypy

imports: $(STAMP) ## check that imports run downwards only
	@$(BIN)/lint-imports

format: $(STAMP) ## bring the code into format
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

guards: $(STAMP) ## remove each guard of a promise in turn, and see that a test fails
	@$(BIN)/python -m tests.support.servers install
	@$(BIN)/python -m tests.support.servers run -- $(BIN)/python -m tests.guards $(ARGS)

bench: $(PEERS) ## measure beside peers, and write docs/performance.md (QUICK=1 or MIDDLE=1: less, printed only)
	@$(BIN)/python -m tests.support.servers install
	@$(BIN)/python -m tests.support.servers run -- $(BIN)/python -m benchmarks run --extent $(if $(QUICK),quick,$(if $(MIDDLE),middle,full)) $(ARGS)

profile: $(PEERS) ## show where the time of one consumer goes (ARGS='--rows 1,3 --top 40')
	@$(BIN)/python -m tests.support.servers install
	@$(BIN)/python -m tests.support.servers run -- $(BIN)/python -m benchmarks profile $(ARGS)

TORTURE := $(if $(LONG),long,run $(if $(DURATION),--duration $(DURATION)) $(if $(FAULTS),--faults $(FAULTS)) \
	$(if $(filter-out rabbitmq,$(BROKER)),--broker $(BROKER)) $(if $(REPORT),--keep))

torture: $(STAMP) ## faults under load (DURATION=60 SEED=1 RATE=100 FAULTS=kill,freeze BROKER=postgres REPORT=1; LONG=1)
	@$(BIN)/python -m tests.support.servers install
	@$(BIN)/python -m tests.faults $(TORTURE) $(if $(SEED),--seed $(SEED)) $(if $(RATE),--rate $(RATE)) $(ARGS)

services: $(STAMP) ## start PostgreSQL and RabbitMQ for development, until Ctrl-C
	@$(BIN)/python -m tests.support.servers run

clean: ## remove the environment, caches and build results (data in .mqjobs/ stays)
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find mqjobs topics consumers benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mqjobs needs Python 3.11 or later, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1); say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable '.[embedded,dashboard,metrics,tracing,speed]' --group dev
	@touch $@

$(PEERS): $(STAMP)
	@$(BIN)/python -m pip install --quiet --group bench
	@touch $@
