# `make run` and `make test` are all that a newcomer needs; both create .venv first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# The tests of a file share fixtures, so one process runs them all. tests/conftest.py puts the
# longest files first.
BY_FILE := --dist loadfile --no-loadscope-reorder
# Where the environment forbids byte code, each process would compile and parse the project again.
test quick proofs: export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help run demo test quick check proofs benchmarks format lock clean server deploy worker

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: $(VENV)/installed ## train on MNIST and report; ARGS="--iterations 1000" passes options on
	@$(BIN)/python flows/pipeline.py $(ARGS)

demo: $(VENV)/installed ## the same in about a minute, on small digits that need no network
	@$(BIN)/python flows/pipeline.py --source digits --iterations 1000 --learning-rate 1e-3 $(ARGS)

test: $(VENV)/installed-dev ## run the tests; all should pass on your machine
	@$(BIN)/pytest -n 4 $(BY_FILE) $(ARGS)  # four on two cores: many tests wait for servers

quick: $(VENV)/installed-dev ## run the short tests, without a server, the network and TensorFlow
	@$(BIN)/pytest -n 2 $(BY_FILE) -m "not (slow or server or network or tensorflow)" $(ARGS)

proofs: $(VENV)/installed-dev ## run longer tests: 10,000 edit sequences, 140 kills, every outage, a week
	@CACHE_SEQUENCES=10000 $(BIN)/pytest tests/engine/cache/test_properties.py $(ARGS)
	@PROOFS=1 KILLS=40 $(BIN)/pytest tests/flows/test_kills.py -s $(ARGS)
	@PROOFS=1 $(BIN)/pytest -m proof tests/flows/test_side_by_side.py tests/flows/test_interrupts.py tests/remote tests/runtime tests/e2e/test_mnist.py $(ARGS)
	@CHAMPION_KILLS=100 $(BIN)/pytest tests/champion/test_kills.py $(ARGS)
	@PROOFS=1 $(BIN)/pytest tests/e2e/test_deployments.py tests/e2e/test_outages.py tests/e2e/test_week.py -s $(ARGS)
	@MUTATIONS=1000000 $(BIN)/pytest tests/test_mutations.py -s $(ARGS)

# Scheduled retraining, on the server of `make server` unless PREFECT_API_URL names another.
deploy worker: export PREFECT_API_URL ?= http://127.0.0.1:4200/api

server: $(VENV)/installed ## start a Prefect server on this machine, until Ctrl-C
	@$(BIN)/prefect --no-prompt server start

deploy: $(VENV)/installed ## create or update work pool, deployments and automations on the server
	@$(BIN)/python -m tasks.runtime.deploy

worker: $(VENV)/installed ## run what is scheduled or asked for, until Ctrl-C
	@$(BIN)/python -m tasks.runtime.server check
	@$(BIN)/python -m tasks.runtime.worker

benchmarks: $(VENV)/installed-dev ## compare with other ways to do the same; ARGS="--help" lists options
	@$(BIN)/python -m benchmarks.run $(ARGS)

check: $(VENV)/installed-dev ## run the linters, the formatter and the type checker
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/installed-dev ## fix and format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# Pins with hashes, for every supported platform and Python; no index addresses.
UV_COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header -q --extra make -c constraints.txt

lock: ## update the lock files from pyproject.toml and constraints.txt (needs uv: pip install uv)
	@$(UV_COMPILE) -o requirements.lock
	@$(UV_COMPILE) --extra dev -c requirements.lock -o requirements-dev.lock
	@$(UV_COMPILE) --extra gpu -c requirements.lock -o requirements-gpu.lock

# GPU=1 installs NVIDIA's libraries as well.
LOCK := $(if $(GPU),requirements-gpu.lock,requirements.lock)
CHECK_PYTHON := import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else \
	f"error: Python 3.11, 3.12 or 3.13 is needed, this is {v[0]}.{v[1]}; name one with make PYTHON=python3.12")
export PIP_USER := 0
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-deps
COUNT := awk '/^(Collecting|Requirement already)/ && ++n % 20 == 0 { print "  " n " packages"; fflush() } \
	/^Installing collected/ { print "  unpacking"; fflush() }'

# uv, where it is installed, is faster, but does not read pip's configuration: pip is the fallback.
UV_PIP := $(if $(shell command -v uv),uv pip install --quiet --python $(BIN)/python --no-deps,false)

# The lock names every package, so pip need not resolve. With hashes, pip fails to resolve a
# dependency that has an extra and is pinned below its newest version.
define INSTALL
@rm -f $@
@{ { $(UV_PIP) --require-hashes -r $< || $(PIP) --require-hashes -r $<; } && $(PIP) --quiet --no-build-isolation -e . && touch $@; } | $(COUNT)
@test -e $@ && echo "Installed."
endef

$(VENV)/installed: $(LOCK) pyproject.toml
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	@echo "Installing TensorFlow, Prefect and the other packages of $(LOCK) into $(VENV): about a minute, once."
	@$(PYTHON) -m venv $(VENV)
	$(INSTALL)

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	@echo "Installing the packages that only tests and linters need."
	$(INSTALL)

clean: ## remove the environment (artifacts/ stays)
	@rm -rf $(VENV)
