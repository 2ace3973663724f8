# TransST. The two commands:  make demo   make test
# Both set up what is missing first (make setup: R, Python environment, both packages).

ENVIRONMENT := $(shell sh tools/environment.sh)
PY := $(ENVIRONMENT)/venv/bin/python
BENCH := $(ENVIRONMENT)/bench-venv
SITE := $(ENVIRONMENT)/docs-venv

export R_LIBS := $(ENVIRONMENT)/library
export RETICULATE_PYTHON := $(PY)
# Data and reference numbers are no part of the repository; they are used where they lie beside it.
export TRANSST_DATA_DIR ?= $(abspath $(wildcard ../shared/data/her2st))
export TRANSST_REFERENCE_DIR ?= $(abspath $(wildcard ../shared/reference))

.PHONY: help setup python demo test test-python test-distribution test-versions test-r test-vignettes fuzz lint check check-quick bench bench-status speed-check numbers document docs clean

help:
	@echo "make demo      set up, then domains, markers and imputation on real tissue -> demo_output/"
	@echo "make test      set up, then all tests of both packages, on several versions, and all checks"
	@echo "make fuzz      5000 random objects and options for every public function"
	@echo "make check     set up, then R CMD check as on CRAN, with tests and vignettes, and BiocCheck"
	@echo "make setup     R >= 4.5 and its packages, both packages (see tools/setup.sh)"
	@echo "make python    print the Python that make setup made"
	@echo "make bench     accuracy and speed next to other methods, what is not there yet -> benchmarks/results/"
	@echo "make bench-status  which of these tables are older than the code that they measure"
	@echo "make speed-check   TransST beside scikit-learn: fails where it has become slow; before every release"
	@echo "make numbers   write the numbers of README and docs from the tables"
	@echo "make docs      the documentation as a site, of both packages -> build/docs/index.html"
	@echo "make document  rebuild NAMESPACE, man/, the picture of the README and what the vignettes show"
	@echo "make clean     remove everything that make made"

setup:
	@sh tools/setup.sh

python:
	@echo "$(PY)"

demo: setup
	Rscript inst/scripts/demo.R demo_output

# Two at a time, the longest first; each prints when it ends. One at a time where make cannot keep the prints apart.
SIDE_BY_SIDE := $(if $(filter output-sync,$(.FEATURES)),--jobs=2 --output-sync=target)
test: setup
	@echo "Testing and checking both packages, two jobs at a time; each prints when it ends."
	@$(MAKE) --no-print-directory $(SIDE_BY_SIDE) --keep-going --old-file=setup test-r check-quick test-python test-distribution test-versions test-vignettes lint
	@echo "All checks passed."

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	Rscript tools/lint.R

test-python: export OMP_NUM_THREADS = 1
test-python: setup
	$(PY) -m pytest --numprocesses=2 --dist=worksteal --cov=transst_py --cov-report=term:skip-covered --cov-fail-under=90

# Random objects and options for every public function; prints the table of cases.
fuzz: export OMP_NUM_THREADS = 1
fuzz: export TRANSST_FUZZ_CASES ?= 5000
fuzz: setup
	$(PY) -m pytest tests/fuzz

# sdist -> wheel -> an empty environment without torch, and a run there
test-distribution: setup
	sh tools/test_distribution.sh $(PY)

# the lowest versions of pyproject.toml, and the newest on the newest Python that is there
test-versions: export OMP_NUM_THREADS = 1
test-versions: setup
	$(PY) tools/test_versions.py

test-r: setup
	Rscript tools/test_r.R

check:
	@sh tools/setup.sh check
	sh tools/check_r.sh --bioc --as-cran

# test-r runs the tests, and test-vignettes the code of the vignettes: not once more here.
check-quick: setup
	sh tools/check_r.sh --no-tests --no-vignettes

# runs the vignettes, and compares what comes out with what they show
test-vignettes: setup
	Rscript tools/vignettes.R --check

bench: setup $(BENCH)/installed
	$(BENCH)/bin/python benchmarks/domains.py
	$(BENCH)/bin/python benchmarks/speed.py
	$(BENCH)/bin/python benchmarks/labels.py
	$(PY) benchmarks/trust.py
	$(PY) benchmarks/transfer.py
	$(PY) benchmarks/label_noise.py
	$(PY) benchmarks/naming.py
	$(PY) benchmarks/order.py
	$(PY) benchmarks/several_sources.py
	$(PY) benchmarks/ceiling.py
	$(PY) benchmarks/graph_vae.py
	$(PY) benchmarks/markers.py
	$(PY) benchmarks/scale.py
	$(PY) benchmarks/stored.py
	$(PY) benchmarks/imputation.py
	$(PY) benchmarks/imputation_ablation.py
	Rscript benchmarks/bridge.R
	$(PY) benchmarks/texts.py

# TransST beside scikit-learn, in the same run; fails where it has become slow.
speed-check: setup
	$(PY) benchmarks/speed.py --quick

bench-status: setup
	@$(PY) benchmarks/status.py

numbers: setup
	$(PY) benchmarks/texts.py

docs: setup $(SITE)/installed
	rm -rf build/docs docs/api
	$(SITE)/bin/python -m sphinx -W --keep-going -q -d build/doctrees docs build/docs
	Rscript tools/r_reference.R build/docs/r

# The methods that we compare with, and what builds the site: on top of the environment and never in it.
SITE_PACKAGES := import site; print(site.getsitepackages()[0])
$(BENCH)/installed: benchmarks/requirements.txt
$(SITE)/installed: docs/requirements.txt
$(BENCH)/installed $(SITE)/installed:
	$(PY) -m venv --clear --without-pip $(@D)
	echo "import site; site.addsitedir('$$($(PY) -c '$(SITE_PACKAGES)')')" > $$($(@D)/bin/python -c '$(SITE_PACKAGES)')/project.pth
	$(@D)/bin/python -m pip install -q -r $<
	touch $@

document: setup
	Rscript -e 'roxygen2::roxygenise()'
	Rscript tools/readme_figure.R
	Rscript tools/vignettes.R

clean:
	rm -rf "$(ENVIRONMENT)" inst/python .Renviron setup.log demo_output build/docs build/doctrees build/jupyter_execute docs/api .pytest_cache .mypy_cache .ruff_cache
