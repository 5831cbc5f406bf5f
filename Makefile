# fraudd: everything a checkout needs. `make help` lists the targets.

PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash

# Processes that share the tests. They wait a lot, so one more than there are cores.
WORKERS ?= $(shell expr $$(nproc) + 1)
PYTEST := $(BIN)/pytest
SIDE_BY_SIDE := $(PYTEST) -n $(WORKERS)
# These measure time, and would measure what runs beside them.
ALONE := tests/chaos tests/integration/test_attack_limits.py
SHARED := $(addprefix tests/,unit simulation contracts integration docs acceptance) $(ALONE:%=--ignore=%)
TOOLS := $(addprefix .tools/,moto/installed schemathesis/installed cfn-lint/installed programs)

.PHONY: help setup hooks run stack check check-format check-types check-unit format test test-all \
  test-mysql test-systemd simulate mutants chaos fuzz prepare measure backfill-20000 bench-stall \
  bench-http profile clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try it
run: setup ## run everything on this machine: http://127.0.0.1:8080 (HTTP_PORT, AWS_PORT, MYSQL_PORT)
	@$(BIN)/fraudd demo

stack: setup ## run everything but the daemon, to start daemons by hand
	@$(BIN)/fraudd demo --stack-only

##@ Develop
setup: .venv/installed .tools/emulator/installed ## install fraudd and the AWS emulator into this folder

hooks: ## let git check format, lint and imports before each commit
	git config core.hooksPath .githooks

check: .venv/installed-test ## check format, lint, imports, types; run the unit tests (20 seconds)
	@$(MAKE) --no-print-directory -j2 -Otarget check-types check-unit check-format

check-format: .venv/installed-test
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo

check-types: .venv/installed-test
	@$(BIN)/mypy

check-unit: .venv/installed-test
	@$(PYTEST) -q tests/unit --hypothesis-profile=quick

format: .venv/installed-test ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

##@ Test
test: ## run everything that CI runs (10 minutes on two cores)
	@$(MAKE) --no-print-directory -j3 -Oline prepare check-format check-types
	@$(SIDE_BY_SIDE) $(SHARED)
	@$(PYTEST) $(ALONE)
	@$(PYTEST) tests/systemd

# The tests that are marked as slow run only in `make test-all`:
# - The second emulator of AWS is 40 times as slow as the first.
# - Each misconfiguration is planted alone. `make test` plants several at a time.
# - Thousands of requests are fuzzed, and chaos lasts for minutes.
test-all: prepare check-format check-types ## run all tests, the slow ones too (40 minutes)
	@$(SIDE_BY_SIDE) $(SHARED) -m 'slow or not slow'
	@$(BIN)/python -m tests.simulation --seeds 1000
	@$(PYTEST) $(ALONE) -m 'slow or not slow'
	@$(PYTEST) tests/systemd

# One after the other: some tests change the server for all, as `SET GLOBAL` does.
test-mysql: setup .venv/installed-test .tools/moto/installed ## run the database and end-to-end tests on a MySQL: URL=mysql://root@127.0.0.1:3306
	@[ -n "$(URL)" ] || { echo "make test-mysql: say which MySQL, as URL=mysql://root@127.0.0.1:3306; CONTRIBUTING.md says how to get one"; exit 2; }
	@FRAUDD_TEST_MYSQL='$(URL)' $(PYTEST) tests/integration tests/mysql tests/acceptance

test-systemd: setup .venv/installed-test ## install the package under a real systemd and run it there (root; 2 minutes)
	@$(PYTEST) tests/systemd

simulate: .venv/installed-test ## run the flows in a world that fails: SEEDS=20000, or SEED=7 alone
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000))

mutants: .venv/installed-test ## break fraudd on purpose, and see that the simulation notices
	@$(BIN)/python -m tests.simulation.mutants

chaos: setup .venv/installed-test ## kill, pause and cut off the real daemon, the slow tests too (10 minutes)
	@$(PYTEST) tests/chaos -m 'slow or not slow'

fuzz: setup .venv/installed-test .tools/schemathesis/installed ## try the HTTP API in thousands of ways, by its OpenAPI document
	@$(PYTEST) tests/integration/test_fuzz.py -m 'slow or not slow'

backfill-20000: setup .venv/installed-test ## backfill 20,000 ids on real components, killed in the middle (10 minutes)
	@$(PYTEST) tests/chaos/test_backfill.py -m slow -s

##@ Measure
measure: setup .venv/installed-test ## measure the main job on the full demo platform (3 minutes)
	@$(BIN)/python -m tests.bench.measure

bench-stall: setup .venv/installed-test ## measure whether a shop of 400,000 orders holds up all others (2 minutes)
	@$(BIN)/python -m tests.bench.stall

bench-http: setup .venv/installed-test ## measure look-ups against one GetItem a request (7 minutes)
	@$(BIN)/python -m tests.bench.http --plot docs/benchmarks.svg

profile: setup .venv/installed-test ## profile the daemon under load into .local/profile.svg (1 minute)
	@$(BIN)/python -m tests.bench.profile

# What `make test` needs, installed side by side.
prepare: setup .venv/installed-test $(TOOLS)

.venv/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fraudd needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing fraudd into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet -c constraints.txt -e '.[daemon]'
	@touch $@

.venv/installed-test: .venv/installed
	@echo "installing what the tests need into .venv"
	@$(BIN)/pip install --quiet -c constraints.txt -e '.[daemon,test]'
	@touch $@

.tools/emulator/installed: constraints-emulator.txt
	@echo "installing the AWS emulator into .tools"
	@$(PYTHON) -m venv .tools/emulator
	@.tools/emulator/bin/pip install --quiet -c constraints-emulator.txt ministack
	@touch $@

.tools/moto/installed: constraints-moto.txt
	@echo "installing a second AWS emulator into .tools, for the contract tests"
	@$(PYTHON) -m venv .tools/moto
	@.tools/moto/bin/pip install --quiet -c constraints-moto.txt moto flask flask-cors
	@touch $@

.tools/schemathesis/installed: constraints-schemathesis.txt
	@echo "installing a fuzzer of HTTP APIs into .tools"
	@$(PYTHON) -m venv .tools/schemathesis
	@.tools/schemathesis/bin/pip install --quiet -c constraints-schemathesis.txt schemathesis
	@touch $@

.tools/cfn-lint/installed: constraints-cfn-lint.txt
	@echo "installing a linter of CloudFormation templates into .tools"
	@$(PYTHON) -m venv .tools/cfn-lint
	@.tools/cfn-lint/bin/pip install --quiet -c constraints-cfn-lint.txt cfn-lint
	@touch $@

.tools/programs: | .venv/installed-test
	@echo "unpacking MariaDB and Prometheus' promtool into .tools"
	@$(BIN)/python -m tests.stack.programs >$@

include packaging/install.mk

##@ Clean
clean: ## remove what `make run` made: database, model, emulator state
	rm -rf .local build dist *.egg-info

distclean: clean ## remove what was installed, too
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis
