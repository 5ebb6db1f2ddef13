# Every target creates and reuses .venv from the lock; nothing but Python 3.11+, make and a package index is needed.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --retries 10 --timeout 180
SPACE ?= search_spaces/cmg.yaml
ABLATION ?= ablations/table6.yaml

.DEFAULT_GOAL := help
.PHONY: help sweep ablate test check bench ui clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

sweep: $(VENV)/installed ## set up and run search_spaces/cmg.yaml on the phantom (another: make sweep SPACE=FILE)
	$(PY) -m platform.sweep $(SPACE)

ablate: $(VENV)/installed ## set up and run ablations/table6.yaml on the phantom (another: make ablate ABLATION=FILE)
	$(PY) -m platform.ablate $(ABLATION)

test: $(VENV)/installed ## set up and run the tests
	$(PY) -m pytest

check: $(VENV)/installed ## format, lint and types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy .

bench: $(VENV)/installed ## run every benchmark; each prints a table of ratios
	$(PY) -m benchmarks.overhead
	$(PY) -m benchmarks.train
	$(PY) -m benchmarks.metrics
	$(PY) -m benchmarks.reconstruct
	$(PY) -m benchmarks.reuse --scale small
	$(PY) -m benchmarks.store --scale small
	$(PY) -m benchmarks.tracking --scale small
	$(PY) -m benchmarks.scale --scale small

ui: $(VENV)/installed ## open the studies of ./runs in the MLflow UI (loopback only)
	$(PY) -m platform.ui

clean: ## empty ./runs, where everything that a run makes lies
	rm -rf runs

# torch goes first and alone: with it in place nothing else may float it to another build. A slow or broken
# download is tried three times before it counts as a failure.
$(VENV)/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say PYTHON=... (found: $$($(PYTHON) -V))"; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing $$(wc -l < requirements.lock) packages into $(VENV); this takes some minutes"
	@for try in 1 2 3; do \
	  $(PIP) $$(grep '^torch==' requirements.lock) && $(PIP) -r requirements.lock && exit 0; \
	  echo "install attempt $$try failed"; sleep 5; \
	done; exit 1
	@touch $@
