# Every target sets up what it needs. All that must be there is Python 3.11 or newer with pip, make and curl.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
UV := .tools/bin/uv
BIN := .venv/bin
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links

# Python keeps what it has compiled; without, each runtime takes three times as long to import torch.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/ready ## Serve the demo model on http://127.0.0.1:8080: no GPU, no network
	@$(BIN)/easel up examples/demo.yaml

.PHONY: test
test: check ## Everything: check, unit, contract, end-to-end on this machine and on a real cluster
	@$(BIN)/python tests/services.py
	@PYTHONPATH=tests $(BIN)/python tests/cluster/suite.py build
	@# Side by side, because the cluster mostly waits and the rest mostly computes; each says its piece when it has ended.
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target --keep-going here e2e

.PHONY: here
here: .venv/ready ## All tests but those on a cluster
	$(BIN)/pytest tests --ignore=tests/repository --ignore=tests/cluster

.PHONY: check
check: .venv/ready ## Format, lint, types, import rules, sizes, stale CRDs, docs
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest tests/repository --quiet

.PHONY: unit
unit: .venv/ready ## The quick tests alone
	$(BIN)/pytest tests/unit tests/contract --quiet

.PHONY: local
local: .venv/ready ## End-to-end on this machine: real processes, real HTTP, a real pipeline
	$(BIN)/pytest tests/local

.PHONY: fuzz
fuzz: .venv/ready ## Damaged pictures, odd forms and requests made of the OpenAPI document, at real processes
	$(BIN)/pytest tests/fuzz

.PHONY: chaos
chaos: .venv/ready ## Overload, slow and cut callers, kill -9 of everything, for two minutes each: do the books agree?
	EASEL_CHAOS_SECONDS=$${EASEL_CHAOS_SECONDS:-120} $(BIN)/pytest tests/chaos

.PHONY: e2e
e2e: .venv/ready ## End-to-end on a real cluster, started here; EASEL_E2E_CLUSTER=1: on the one that KUBECONFIG names
	@PYTHONPATH=tests $(BIN)/python tests/cluster/suite.py $(E2E)

.PHONY: bench
bench: .venv/ready .venv-bench/ready ## Speed as ratios to what it is compared with, in minutes; GOALS="C2 C4": some; WRITE=--write: docs/benchmarks.md
	@PYTHONPATH=tests $(BIN)/python -m bench $(WRITE) $(GOALS)

.PHONY: bench-gpu
bench-gpu: .venv/ready ## Speed on a GPU, with random weights of the true architectures; without a GPU it says so
	@PYTHONPATH=tests $(BIN)/python -m bench.gpu $(GPU)

.PHONY: bench-gateway
bench-gateway: .venv/ready ## The gateway beside a plain proxy and a raw echo, in minutes; GOALS, WRITE as for bench
	@PYTHONPATH=tests $(BIN)/python -m bench.gateway $(WRITE) $(GOALS)

.PHONY: train-demo
train-demo: .venv/ready ## Train the demo model from nothing, in hours, into the package; started again, it goes on. TRAIN="--help"
	@$(BIN)/python -m easel_demo $(TRAIN)

.PHONY: cluster
cluster: .venv/ready ## A shell in a real cluster with Easel's images, gone when it ends
	@PYTHONPATH=tests $(BIN)/python tests/cluster/suite.py shell

.PHONY: images
images: .venv/ready ## Build the container images as OCI archives, without a registry
	@PYTHONPATH=tests $(BIN)/python -m testbed.images

.PHONY: format
format: .venv/ready ## Put the code into its form
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

.PHONY: crds
crds: .venv/ready ## Write crds/*.yaml and docs/resources.md from the models
	$(BIN)/python -m easel_crds.schema crds
	$(BIN)/python -m easel_crds.reference docs/resources.md

.PHONY: lock
lock: $(UV) ## Write requirements/*.txt from pyproject.toml: pinned, with hashes, without addresses
	$(LOCK) pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	for extra in operator local; do \
		$(LOCK) pyproject.toml --extra $$extra --constraint requirements/dev.txt --output-file requirements/$$extra.txt; \
	done
	@# Images have what traces need: where they run, nothing can be added to them.
	for extra in gateway runtime; do \
		$(LOCK) pyproject.toml --extra $$extra --extra telemetry --constraint requirements/dev.txt --output-file requirements/$$extra.txt; \
	done
	$(LOCK) pyproject.toml --extra runtime --group bench --constraint requirements/dev.txt --output-file requirements/bench.txt

.PHONY: pictures
pictures: .venv/ready ## Make docs/pictures/*.png with a real browser: what the page looks like
	@$(BIN)/python tests/services.py
	@PYTHONPATH=tests $(BIN)/python -m support.page_pictures docs/pictures

.PHONY: clean
clean: ## Remove what the other targets made here
	rm -rf .venv .venv-bench .tools .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Easel needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m pip --version > /dev/null || { echo "pip is missing (Debian: apt install python3-pip)"; exit 1; }
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --require-hashes --upgrade --target .tools -r requirements/uv.txt
	@touch $@

.venv/ready: requirements/dev.txt pyproject.toml $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv-bench/ready: requirements/bench.txt $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-bench
	$(UV) pip sync --quiet --python .venv-bench/bin/python --require-hashes requirements/bench.txt
	@touch $@
