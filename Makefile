# The whole interface: make setup demo test test-fast test-long format lint
# type imports figures feedback-demo. Every target sets the environment up first
# when it has changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

BIN := .venv/bin
STAMP := .venv/.stamp
WORKERS ?= 2
PYTEST := JAX_PLATFORMS=cpu $(BIN)/python -m pytest -n $(WORKERS)
FIGURES := $(sort $(patsubst experiments/figures/%.py,%,$(wildcard \
  experiments/figures/*.py)))
CHOICE ?= world=lab,size=nano
FLAGS ?=
PYTHONS := python3.11 python3.12 python3.13 python3.14 python3

.PHONY: setup demo figures feedback-demo test test-fast test-long format lint type imports

setup: $(STAMP)

# The first install brings what builds source packages, so that nothing is
# downloaded past the hashes: build isolation would fetch its own setuptools.
$(STAMP): constraints.txt constraints-build.txt setup.py
	@python=''; for name in $(PYTHONS); do \
	  if $$name -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	      2> /dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'error: needs Python 3.11 or newer with venv on the PATH' >&2; \
	  exit 1; \
	fi; \
	test -x $(BIN)/python || $$python -m venv .venv
	$(BIN)/python -m pip install -qq --no-deps --require-hashes \
	  --requirement=constraints-build.txt
	$(BIN)/python -m pip install -qq --no-deps --require-hashes \
	  --no-build-isolation --requirement=constraints.txt
	$(BIN)/python -m pip install -qq --no-deps --no-build-isolation \
	  --editable=.
	@touch $@

demo: setup
	$(BIN)/python -m experiments.pipeline \
	  --config=configs/pipeline.py:world=lab,scale=demo --workdir=runs/demo

# Every figure in turn, on models they share; run again, it goes on. One that
# cannot be made (its data are not there) holds up no other, and is named.
# FLAGS are for all of them: FLAGS=--config.data_dir=DIR, and so on.
figures: setup
	@failed=''; for name in $(filter-out __init__,$(FIGURES)); do \
	  $(BIN)/python -m experiments.figures.$$name \
	    --config=configs/figures/$$name.py:$(CHOICE) \
	    --workdir=runs/figures $(FLAGS) || failed="$$failed $$name"; \
	done; \
	if [ -n "$$failed" ]; then echo "error: not made:$$failed" >&2; exit 2; fi

# Compares the policies of `make demo`, which is run first if it was not.
feedback-demo: setup
	test -e runs/demo/rlhf/DONE || $(MAKE) demo
	mkdir -p runs/feedback
	$(BIN)/python -m hh_jax.feedback --demo --db=runs/feedback/demo.db \
	  --policy=checkpoint:run=runs/demo/distill,max_new_tokens=40 \
	  --policy=checkpoint:run=runs/demo/rlhf,max_new_tokens=40

test: setup lint type imports
	$(PYTEST) tests

test-fast: setup
	$(PYTEST) -m 'not slow' tests

# The same tests with a deep random search by hypothesis, and 10,500 requests
# made at random.
test-long: setup
	HYPOTHESIS_PROFILE=long HH_JAX_FUZZ=10500 $(PYTEST) tests

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports
