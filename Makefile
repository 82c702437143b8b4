# What can be made here? `make train` and `make test` are the two commands; each does its own set-up.

PYTHON ?= python3
BIN := .venv/bin
PARALLEL := -n auto --dist loadfile

.PHONY: help train test test-fast lint types unit unit-fast data benchmark clean

help:
	@echo "make train      set up, find or fetch Fashion-MNIST, train in minutes, write runs/.../report.html"
	@echo "                (OPTIONS=\"--epochs 1 --seed 3\" are handed to nin train)"
	@echo "make test       set up, lint, check types, run every test (minutes)"
	@echo "make test-fast  the same without the tests that train on real data (under a minute)"
	@echo "make benchmark  measure our speed beside the plain PyTorch loop"
	@echo "make clean      remove what was set up; runs/ stays"

train: .venv/installed
	$(BIN)/nin train $(OPTIONS)

test: lint types unit

test-fast: lint types unit-fast

lint: .venv/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-for-tests
	$(BIN)/basedpyright

# Where Fashion-MNIST can be had by no way, the tests that need it say so and are skipped.
unit: .venv/installed-for-tests
	-$(BIN)/nin data
	$(BIN)/pytest $(PARALLEL)

unit-fast: .venv/installed-for-tests
	$(BIN)/pytest $(PARALLEL) -m "not slow"

data: .venv/installed
	$(BIN)/nin data

benchmark: .venv/installed
	$(BIN)/python benchmarks/speed.py

clean:
	rm -rf .venv dist .pytest_cache .ruff_cache .hypothesis

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-for-tests: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@
