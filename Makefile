# make demo: see it work, without a key or a network.   make test: everything that must hold.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .bench-venv

.PHONY: demo test lint soak bench docs clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/chatstep demo

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -m 'not soak' -n 2 --dist loadfile

soak: $(VENV)/.dev
	$(BIN)/pytest -m soak

docs: $(VENV)/.dev
	$(BIN)/python scripts/make_docs.py

# LiteLLM needs another openai SDK than the other peers, so it has an environment of its own.
$(BENCH)/.installed: benchmarks/requirements.txt benchmarks/requirements-litellm.txt benchmarks/requirements-flows.txt pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.txt
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	$(PYTHON) -m venv $(BENCH)/litellm
	$(BENCH)/litellm/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements-litellm.txt
	npm install --silent --no-fund --no-audit --prefix $(BENCH)/node @portkey-ai/gateway@1.15.2 || echo "No npm: Portkey's gateway will not be measured."
	$(PYTHON) -m venv $(BENCH)/flows
	$(BENCH)/flows/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements-flows.txt --editable '.[flows,postgres]'
	touch $@

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks $(NAMES)

clean:
	rm -rf $(VENV) $(BENCH) build dist .pytest_cache .mypy_cache .ruff_cache
