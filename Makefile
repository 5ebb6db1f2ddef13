# Every target creates and reuses .venv from the lock; nothing but Python 3.11+, make and a package index is needed.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --retries 10 --timeout 180
SPACE ?= search_spaces/cmg.yaml
ABLATION ?= ablations/table6.yaml
# Of the campaign of faults: it draws what happens to which study.
SEED ?= 3
# Of the tests: three share two cores well, since tests with Ray mostly wait. tests/groups.py spreads them.
PROCESSES ?= 3

# Where it is set, every process that a test starts compiles the project anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help sweep ablate test test-long test-fast fuzz chaos coverage check fmt fields lock bench levels ui clean

help: ## list the targets
	@echo "Mindsweep: sweeps and ablations of models that reconstruct video from fMRI."
	@echo "Run make, and every python -m platform.X, from the project's root: elsewhere Python finds its own module platform."
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

sweep: $(VENV)/installed ## set up and run search_spaces/cmg.yaml on the phantom (another: make sweep SPACE=FILE)
	$(PY) -m platform.sweep $(SPACE)

ablate: $(VENV)/installed ## set up and run ablations/table6.yaml on the phantom (another: make ablate ABLATION=FILE)
	$(PY) -m platform.ablate $(ABLATION)

test: $(VENV)/installed ## set up and run the tests
	$(PY) -m pytest -n $(PROCESSES) -m "not long"

test-long: $(VENV)/installed ## run the tests that take more than five seconds each, and those on Ceph: lost nodes, killed servers and drivers, whole studies
	$(PY) -m pytest -n 2 -m long

test-fast: $(VENV)/installed ## run the tests that need neither Ray nor a server
	$(PY) -m pytest -n 2 -m "not ray and not server and not long"

fuzz: $(VENV)/installed ## try new examples of wrong records, YAML and users' files; the tests try the same ones each time
	$(PY) -m pytest -n 2 -m "not long" -k fuzz --hypothesis-profile=fuzz --timeout 3600

chaos: $(VENV)/installed ## 20 small studies, more than 100 kills of drivers, workers, nodes and servers, full disks, wrong clocks (another: make chaos SEED=N)
	$(PY) -m tests.chaos --seed $(SEED)

coverage: $(VENV)/installed ## run the tests and print how much of the code they reach, branches included
	$(PY) -m pytest -n $(PROCESSES) --cov --cov-report=term

check: $(VENV)/installed ## check format, style and types; changes nothing
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy .

fmt: $(VENV)/installed ## format all files and repair what ruff can repair
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

fields: $(VENV)/installed ## write docs/fields.md and docs/metrics.md, the lists of fields, keys and metrics, from the code
	$(PY) -m platform.screen.field_list > docs/fields.md
	$(PY) -m platform.screen.metric_list > docs/metrics.md

lock: ## write requirements.lock from pyproject.toml; versions stay (newer: make lock UPGRADE="ray optuna", or UPGRADE=all)
	PYTHON=$(PYTHON) deploy/lock.sh $(UPGRADE)

bench: $(VENV)/installed ## run every benchmark; each prints a table of ratios
	$(PY) -m benchmarks.overhead
	$(PY) -m benchmarks.plan
	$(PY) -m benchmarks.prepare --every 200
	$(PY) -m benchmarks.prepare_readers
	$(PY) -m benchmarks.train
	$(PY) -m benchmarks.mindvideo_train
	$(PY) -m benchmarks.metrics
	$(PY) -m benchmarks.reconstruct
	$(PY) -m benchmarks.reuse --scale small
	$(PY) -m benchmarks.store --scale small
	$(PY) -m benchmarks.tracking --scale small
	$(PY) -m benchmarks.scale --scale small

levels: $(VENV)/installed ## simulate how often tests reject where nothing differs (minutes); the tables of EXPERIMENTS.md
	$(PY) -m benchmarks.levels
	$(PY) -m tests.platform.statistics.cluster_levels 4000

ui: $(VENV)/installed ## open the newest study of ./runs in the MLflow UI (this machine only)
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
