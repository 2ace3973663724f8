# TransST. The two commands:  make demo   make test
# Both set up what is missing first (make setup: R, Python environment, both packages).

ROOT := $(CURDIR)
PY := $(ROOT)/.venv/bin/python

export R_LIBS := $(ROOT)/.Rlib
export RETICULATE_PYTHON := $(PY)
# Data and reference numbers are no part of the repository; they are used where they lie beside it.
export TRANSST_DATA_DIR ?= $(abspath $(wildcard ../shared/data/her2st))
export TRANSST_REFERENCE_DIR ?= $(abspath $(wildcard ../shared/reference))

.PHONY: help setup demo test test-python test-r lint check bench document clean

help:
	@echo "make demo      set up, then domains, markers and imputation on real tissue -> demo_output/"
	@echo "make test      set up, then ruff, mypy, pytest, testthat, lintr and R CMD check"
	@echo "make setup     R >= 4.5 and its packages, .venv, .Rlib (see tools/setup.sh)"
	@echo "make bench     accuracy and speed, over tissues and seeds -> benchmarks/results/"
	@echo "make document  rebuild NAMESPACE, man/ and the picture of the README"
	@echo "make clean     remove everything that make made in this folder"

setup:
	@sh tools/setup.sh

demo: setup
	Rscript inst/scripts/demo.R demo_output

test: lint test-python test-r check
	@echo "All checks passed."

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	Rscript tools/lint.R

test-python: setup
	$(PY) -m pytest

test-r: setup
	Rscript tools/test_r.R

check: setup
	sh tools/check_r.sh

bench: setup
	$(PY) benchmarks/domains.py
	$(PY) benchmarks/markers.py

document: setup
	Rscript -e 'roxygen2::roxygenise()'
	Rscript tools/readme_figure.R

clean:
	rm -rf .venv .Rlib .Renviron setup.log demo_output .pytest_cache .mypy_cache .ruff_cache
