# The three commands of the README. Everything is installed into .venv, from pinned versions.
# PYTHON= names another Python than the first that is found, PINS= another file of versions than its own for a CPU.
PYTHON ?=
PINS ?=
VENV := .venv
MLMAT := $(VENV)/bin/mlmat
UV := .uv/bin/uv
HULLS := SELECT formula, space_group, e_above_hull, formation_energy_per_atom, decomposition FROM candidates \
	WHERE nelements > 1 ORDER BY e_above_hull NULLS LAST, formation_energy_per_atom

.PHONY: setup pins demo test test-slow test-all coverage test-faults test-slurm bench bench-full check docs clean
.DEFAULT_GOAL := help

help:
	@echo "make setup   install mlmat into $(VENV) (PYTHON=python3.12 chooses the Python)"
	@echo "make pins    write the files of exact versions, one for each Python (UPGRADE=1: the newest ones)"
	@echo "make demo    ingest the shipped crystals, screen them with MACE, print the hulls, write report.html"
	@echo "make docs    write docs/schema.md and docs/commands.md, renew the outputs in the other pages"
	@echo "make test    lint, types, import contracts and the quick tests, in minutes"
	@echo "make test-slow     real executors, models, Slurm, and at full size what make test samples"
	@echo "make test-all      both, as CI does"
	@echo "make coverage      both with branch coverage"
	@echo "make test-faults   breaks things on purpose, for a quarter of an hour"
	@echo "make test-slurm    a virtual Slurm cluster, screens on it, and what breaks them, for a quarter of an hour"
	@echo "make bench         compares speeds at small sizes, in a quarter of an hour"
	@echo "make bench-full    the same at full size, for hours, and writes docs/performance.md"

setup: $(VENV)/.ready

# A Python or pins asked for may be others than those that are there.
ifneq ($(PYTHON)$(PINS),)
.PHONY: $(VENV)/.ready
endif
$(VENV)/.ready: $(wildcard ci/environment/*.txt) pyproject.toml ci/setup
	ci/setup "$(PYTHON)" $(VENV) "$(PINS)"

$(UV):
	"$$(ci/find-python $(PYTHON))" -m venv .uv
	.uv/bin/pip --disable-pip-version-check install --quiet uv==0.13.9

pins: $(UV)
	PATH="$(dir $(abspath $(UV))):$$PATH" .uv/bin/python ci/make_pins.py $(if $(UPGRADE),--upgrade)

demo: setup
	$(MLMAT) ingest examples/crystals --db demo.duckdb
	$(MLMAT) ingest --references elements --db demo.duckdb
	$(MLMAT) screen --runner mace --db demo.duckdb
	$(MLMAT) sql "$(HULLS)" --db demo.duckdb
	$(MLMAT) report -o report.html --title "Demo crystals" --db demo.duckdb

test: setup
	ci/test

test-slow: setup
	ci/test slow

test-all: test test-slow

# By sys.monitoring where Python has it: half the cost.
coverage: setup
	$(VENV)/bin/coverage erase
	COVERAGE_CORE=sysmon ci/test --cov --cov-report=
	COVERAGE_CORE=sysmon ci/test slow --cov --cov-append --cov-report=term

test-faults: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest -m faults -n 2 --dist worksteal

# They wait more than they compute: three at a time.
test-slurm: setup
	ci/slurm
	MLMAT_TEST_SLURM=must OMP_NUM_THREADS=1 $(VENV)/bin/pytest tests/slurm -m "slurm or slow" -n 3 --dist worksteal

bench: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/python benchmarks/everything.py

bench-full: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/python benchmarks/everything.py --full --write docs/performance.md

docs: setup
	$(VENV)/bin/python docs/build.py

check: setup
	ci/check

clean:
	rm -rf demo.duckdb demo.duckdb.d report.html build dist .coverage .pytest_cache .mypy_cache .ruff_cache
