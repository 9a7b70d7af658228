# make demo: see it work, without a key or a network.   make test: everything that must hold.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .bench-venv
CLIENTS := .clients
NPM = PATH="$(abspath $(CLIENTS))/venv/bin:$$PATH" npm install --prefix $(CLIENTS)/node --silent --no-fund --no-audit --no-package-lock

.PHONY: demo test lint soak clients bench docs clean

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

test: lint $(CLIENTS)/.installed
	$(BIN)/pytest -m 'not soak and not clients and not contract' -n 2 --dist loadfile

# Clients of the endpoint; Node comes from PyPI too. The further ones are asked by `make clients` alone.
$(CLIENTS)/.installed: tests/clients/requirements.txt tests/clients/package.json
	$(PYTHON) -m venv $(CLIENTS)/venv
	$(CLIENTS)/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/clients/requirements.txt
	mkdir -p $(CLIENTS)/node
	cp tests/clients/package.json $(CLIENTS)/node/
	$(NPM)
	touch $@

$(CLIENTS)/.all: $(CLIENTS)/.installed tests/clients/requirements-more.txt
	$(CLIENTS)/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/clients/requirements-more.txt
	$(NPM) ai@7.0.173 @ai-sdk/openai-compatible@3.0.92 @stoplight/prism-cli@5.14.2
	$(CLIENTS)/venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest $(CLIENTS) openai==3.57.0
	touch $@

# CONTRACT names OpenAI's openapi.yaml; what is held against it is left out without it.
clients: $(VENV)/.dev $(CLIENTS)/.all
	OPENAI_CONTRACT=$(abspath $(CONTRACT)) $(BIN)/pytest -m 'clients$(if $(CONTRACT), or contract)' tests/test_clients.py tests/test_contract.py

soak: $(VENV)/.dev
	$(BIN)/pytest -m soak

docs: $(VENV)/.dev
	$(BIN)/python scripts/make_docs.py

# LiteLLM needs another openai SDK than the other peers, so it has an environment of its own.
$(BENCH)/.installed: benchmarks/requirements.txt benchmarks/requirements-litellm.txt benchmarks/requirements-flows.txt pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.txt
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[flows]'
	$(PYTHON) -m venv $(BENCH)/litellm
	$(BENCH)/litellm/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements-litellm.txt
	npm install --silent --no-fund --no-audit --prefix $(BENCH)/node @portkey-ai/gateway@1.15.2 || echo "No npm: Portkey's gateway will not be measured."
	$(PYTHON) -m venv $(BENCH)/flows
	$(BENCH)/flows/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements-flows.txt --editable '.[flows,postgres]'
	touch $@

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks $(NAMES)

clean:
	rm -rf $(VENV) $(BENCH) $(CLIENTS) build dist .pytest_cache .mypy_cache .ruff_cache
