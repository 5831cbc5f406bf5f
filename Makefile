# fraudd: everything a checkout needs. `make help` lists the targets.

PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash

# The number of test processes: one more than there are cores, because tests wait a lot.
WORKERS ?= $(shell expr $$(nproc) + 1)
PYTEST := $(BIN)/pytest
SIDE_BY_SIDE := $(PYTEST) -n $(WORKERS)
# These tests measure time, so they run alone.
ALONE := tests/chaos tests/integration/test_attack_limits.py
SHARED := $(addprefix tests/,unit simulation contracts integration docs acceptance) $(ALONE:%=--ignore=%)
TOOLS := $(addprefix .tools/,moto/installed schemathesis/installed cfn-lint/installed programs)

.PHONY: help setup hooks run stack check check-alone check-format check-types check-unit format test test-all \
  test-mysql test-systemd simulate mutants chaos fuzz prepare measure backfill-20000 bench-stall \
  bench-http profile clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try it
run: setup ## run everything on this machine: http://127.0.0.1:8080 (HTTP_PORT, AWS_PORT, MYSQL_PORT)
	@$(BIN)/fraudd demo

stack: setup ## run everything except the daemon, and print the command that starts one
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
	@$(MAKE) --no-print-directory -j2 -Otarget check-alone test-systemd

# Both wait most of the time, so they share the two cores without harm.
check-alone:
	@$(PYTEST) $(ALONE)

# The tests that are marked as slow run only in `make test-all`:
# - The second emulator of AWS is 40 times as slow as the first.
# - Each misconfiguration is planted alone. `make test` plants several at a time.
# - Thousands of requests are fuzzed, and chaos lasts for minutes.
test-all: prepare .tools/dynamodb-local check-format check-types ## run all tests, including the slow ones (40 minutes)
	@$(SIDE_BY_SIDE) $(SHARED) -m 'slow or not slow'
	@$(BIN)/python -m tests.simulation --seeds 1000
	@$(PYTEST) $(ALONE) -m 'slow or not slow'
	@$(PYTEST) tests/systemd

# One after the other, because some tests change settings of the whole server (`SET GLOBAL`).
test-mysql: setup .venv/installed-test .tools/moto/installed ## run the database and end-to-end tests on MySQL (URL=mysql://root@127.0.0.1:3306)
	@[ -n "$(URL)" ] || { echo "make test-mysql: URL is not set. Run: make test-mysql URL=mysql://root@127.0.0.1:3306. CONTRIBUTING.md says how to start a MySQL"; exit 2; }
	@FRAUDD_TEST_MYSQL='$(URL)' $(PYTEST) tests/integration tests/mysql tests/acceptance

test-systemd: setup .venv/installed-test ## install the package under a real systemd and run it there (root; 2 minutes)
	@$(PYTEST) tests/systemd

simulate: .venv/installed-test ## run the engine in a simulation with failures (SEEDS=20000, or SEED=7 for one)
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000))

mutants: .venv/installed-test ## break fraudd on purpose, and check that the simulation detects it
	@$(BIN)/python -m tests.simulation.mutants

chaos: setup .venv/installed-test ## kill, pause and disconnect the real daemon, including the slow tests (10 minutes)
	@$(PYTEST) tests/chaos -m 'slow or not slow'

fuzz: setup .venv/installed-test .tools/schemathesis/installed ## send thousands of requests that are generated from the OpenAPI document
	@$(PYTEST) tests/integration/test_fuzz.py -m 'slow or not slow'

backfill-20000: setup .venv/installed-test ## backfill 20,000 IDs on real components, with a kill in the middle (10 minutes)
	@$(PYTEST) tests/chaos/test_backfill.py -m slow -s

##@ Measure
measure: setup .venv/installed-test ## score every shop of the demo platform, and measure quality, speed and memory (3 minutes)
	@$(BIN)/python -m tests.bench.measure

bench-stall: setup .venv/installed-test ## measure whether a shop with 400,000 orders delays other requests (2 minutes)
	@$(BIN)/python -m tests.bench.stall

bench-http: setup .venv/installed-test ## compare reads with a handler that calls GetItem for each request (7 minutes)
	@$(BIN)/python -m tests.bench.http --plot docs/benchmarks.svg

profile: setup .venv/installed-test ## profile the daemon under load into .local/profile.svg (1 minute)
	@$(BIN)/python -m tests.bench.profile

# Installs all tools of `make test`, in parallel.
prepare: setup .venv/installed-test $(TOOLS)

.venv/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fraudd needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing fraudd into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet -c constraints.txt -e '.[daemon]'
	@touch $@

.venv/installed-test: .venv/installed
	@echo "installing the packages of the tests into .venv"
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

# Amazon's own DynamoDB Local is in an npm package. Without npm or Java, its tests are skipped.
DYNAMODB_LOCAL := amplify-dynamodb-simulator-2.9.30
DYNAMODB_LOCAL_SHA256 := 3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9
.tools/dynamodb-local:
	@command -v npm >/dev/null && command -v java >/dev/null || { echo "DynamoDB Local is not installed: it needs npm and Java"; exit 0; }; \
	echo "unpacking DynamoDB Local into .tools"; mkdir -p $@.part && cd $@.part && \
	npm pack --silent $(subst simulator-,simulator@,$(DYNAMODB_LOCAL)) >/dev/null && \
	echo "$(DYNAMODB_LOCAL_SHA256)  $(DYNAMODB_LOCAL).tgz" | sha256sum --check --quiet && \
	tar xzf $(DYNAMODB_LOCAL).tgz && rm $(DYNAMODB_LOCAL).tgz && cd .. && mv dynamodb-local.part dynamodb-local

.tools/schemathesis/installed: constraints-schemathesis.txt
	@echo "installing an HTTP API fuzzer into .tools"
	@$(PYTHON) -m venv .tools/schemathesis
	@.tools/schemathesis/bin/pip install --quiet -c constraints-schemathesis.txt schemathesis
	@touch $@

.tools/cfn-lint/installed: constraints-cfn-lint.txt
	@echo "installing a CloudFormation linter into .tools"
	@$(PYTHON) -m venv .tools/cfn-lint
	@.tools/cfn-lint/bin/pip install --quiet -c constraints-cfn-lint.txt cfn-lint
	@touch $@

.tools/programs: | .venv/installed-test
	@echo "unpacking MariaDB and Prometheus' promtool into .tools"
	@$(BIN)/python -m tests.stack.programs >$@

include packaging/install.mk

##@ Clean
clean: ## remove the data of `make run`: database, model, emulator state
	rm -rf .local build dist *.egg-info

distclean: clean ## also remove all installed packages and caches
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis
