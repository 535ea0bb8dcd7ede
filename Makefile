# Two commands do everything on a fresh machine: `make demo` and `make test`. See README.md.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:  ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements-dev.lock pyproject.toml
	@echo "==> environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY)  ## Only the environment

demo: $(READY)  ## A platform under load, an alert, a proven fix (ONCE=1: end then; SCENARIO=?: other ways to break it)
	@tests/servers/install.sh clickhouse-modern || true
	@$(BIN)/python -m rehearsal $(if $(ONCE),--once) $(if $(PORT),--port $(PORT)) $(if $(SCENARIO),--scenario '$(SCENARIO)')

servers: $(READY)  ## The real servers that tests want
	@tests/servers/install.sh

test: $(READY) servers  ## Every test and check (STRICT=1: a missing server fails; JOBS=3 side by side)
	@$(MAKE) --no-print-directory check
	@$(BIN)/pytest -q -n $(or $(JOBS),3) --dist worksteal $(or $(ARGS),--ignore tests/e2e)
	@$(if $(ARGS),,$(BIN)/pytest -q tests/e2e)  # real traffic against its deadlines: alone on the machine

simulate: $(READY)  ## Thousands of random lives of incidents, crashes and outages included (SEQUENCES=10000)
	@jobs=$$(nproc); each=$$(( ($(or $(SEQUENCES),10000) + jobs - 1) / jobs )); running=(); \
	for job in $$(seq $$jobs); do \
	  PARAMEDIC_SEQUENCES=$$each $(BIN)/pytest -q -s -x --hypothesis-seed=$$(( $${SEED:-$$RANDOM} + job )) \
	    tests/path/test_machine.py & running+=($$!); \
	done; \
	failed=0; for one in $${running[@]}; do wait $$one || failed=1; done; exit $$failed

check: $(READY)  ## Lint, types, import contracts, playbooks
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/paramedic check

bench: $(READY)  ## Intake against a bare handler, diagnosis against its slowest probe, start, memory
	@$(BIN)/python -m tests.bench

MUTANTS := $(VENV)/.mutants
$(MUTANTS): requirements-mutants.lock $(READY)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutants.lock
	@touch $@

mutants: $(MUTANTS)  ## Break what thinks in 1,600 ways and count what no test notices (ONLY='service.guard.*')
	@$(if $(ONLY),,rm -rf mutants)  # mutmut keeps verdicts from before a test was changed
	@nice $(BIN)/mutmut run --max-children $(or $(JOBS),2) $(if $(ONLY),'$(ONLY)')
	@$(BIN)/python -m tests.mutants $(if $(ONLY),--part)

manifests: $(READY)  ## Renew what is made: rights, objects of rules and routes, dashboards, reference
	@$(BIN)/paramedic rbac > deploy/base/rbac.yaml
	@$(BIN)/paramedic reference page > docs/reference.md
	@$(BIN)/python -m rehearsal.dashboards
	@$(BIN)/python alerting/manifests.py

pictures: $(READY)  ## Draw docs/dashboards anew, over a rehearsed night
	@$(BIN)/python -m tests.dashboards

LOCK := uv pip compile -q --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header
lock:  ## Renew the locks (needs uv): what runs, what also tests, what also makes mutants
	$(LOCK) --extra postgres pyproject.toml -o requirements.lock
	$(LOCK) --extra postgres --extra demo --extra test -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(LOCK) --all-extras -c requirements-dev.lock pyproject.toml -o requirements-mutants.lock

clean:  ## Remove everything that was made here
	rm -rf $(VENV) .servers .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info var mutants

.PHONY: help setup demo servers test simulate check bench mutants manifests pictures lock clean
