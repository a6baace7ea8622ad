# `make run` and `make test` are all that a newcomer needs; both set up .venv first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# Two tests at a time, those of one file after each other since they share what they set up.
# The files with the longest tests come first as they are called, not those with the most tests.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run demo test quick check proofs benchmarks format lock clean server deploy worker

run: $(VENV)/installed ## train on MNIST and report; ARGS="--iterations 1000" passes options on
	$(BIN)/python flows/pipeline.py $(ARGS)

demo: $(VENV)/installed ## the same in about a minute, on digits that need no network
	$(BIN)/python flows/pipeline.py --source digits --iterations 1000 --learning-rate 1e-3 $(ARGS)

test: $(VENV)/installed ## everything that a user should see pass
	$(BIN)/pytest $(PARALLEL) $(ARGS)

quick: $(VENV)/installed ## the inner loop: no server, no network, no TensorFlow
	$(BIN)/pytest $(PARALLEL) -m "not server and not network and not tensorflow" $(ARGS)

proofs: $(VENV)/installed ## longer proofs of the cache: many random edit sequences, and kills
	CACHE_SEQUENCES=10000 $(BIN)/pytest tests/engine/cache/test_properties.py $(ARGS)
	KILLS=40 $(BIN)/pytest tests/flows/test_kills.py -s $(ARGS)
	CHAMPION_KILLS=100 $(BIN)/pytest tests/champion/test_kills.py $(ARGS)

# Scheduled retraining, on the server of `make server` unless PREFECT_API_URL names another.
deploy worker: export PREFECT_API_URL ?= http://127.0.0.1:4200/api
PREFECT := $(BIN)/prefect --no-prompt
AUTOMATION := MNIST runs that fell silent have crashed

server: $(VENV)/installed ## a Prefect server on this machine, until Ctrl-C
	$(PREFECT) server start

deploy: $(VENV)/installed ## put pool, deployments and automation on the server; as often as you like
	@$(BIN)/python -m tasks.runtime.server check
	@$(PREFECT) work-pool create mnist --type process >/dev/null 2>&1 || $(PREFECT) work-pool inspect mnist >/dev/null
	$(PREFECT) deploy --all
	@$(PREFECT) automation inspect "$(AUTOMATION)" >/dev/null 2>&1 || $(PREFECT) automation create --from-file automations.yaml

worker: $(VENV)/installed ## do what is scheduled or asked for, until Ctrl-C
	@$(BIN)/python -m tasks.runtime.server check
	$(PREFECT) worker start --pool mnist

benchmarks: $(VENV)/installed ## comparisons with other ways; ARGS="--help" tells more
	$(BIN)/python -m benchmarks.run $(ARGS)

check: $(VENV)/installed ## linter, formatter and type checker
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Pins with hashes, for every platform and Python that the project supports; no index addresses.
UV_COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header -q

lock: ## remake the lock files (needs uv: pip install uv)
	$(UV_COMPILE) --extra dev -o requirements.lock
	$(UV_COMPILE) --extra dev --extra gpu -c requirements.lock -o requirements-gpu.lock

# GPU=1 installs NVIDIA's libraries as well.
LOCK := $(if $(GPU),requirements-gpu.lock,requirements.lock)

# The lock names everything, so pip need not resolve: with hashes, it stumbles over a dependency
# that is asked for with an extra and pinned to less than the newest version.
$(VENV)/installed: $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"error: Python 3.11, 3.12 or 3.13 is needed, this is {v[0]}.{v[1]}; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r $(LOCK)
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	touch $@

clean: ## remove the environment (artifacts/ stays)
	rm -rf $(VENV)
