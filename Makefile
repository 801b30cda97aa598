# Four commands are the whole interface: demo, test, check, bench.
PYTHON ?= python3
VENV := .venv
IN := $(VENV)/bin
.PHONY: demo test check bench

demo: $(VENV)/.runtime
	$(IN)/unlabeled study run projection-head

test: $(VENV)/.dev
	$(IN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.dev
	$(IN)/ruff format --check .
	$(IN)/ruff check .
	$(IN)/mypy

bench: $(VENV)/.dev
	$(IN)/python -m benchmarks

$(VENV)/.runtime: pyproject.toml constraints.txt
	@test -x $(IN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Unlabeled needs Python 3.11 or newer; run make PYTHON=/path/to/one")'
	test -x $(IN)/python || $(PYTHON) -m venv $(VENV)
	$(IN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory $(VENV)/.runtime
	$(IN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
